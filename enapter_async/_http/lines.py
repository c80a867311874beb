"""The connections of one client: those in use, watched by the sweeper, and idle ones."""

import asyncio
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from enapter_async._http.transport import SWEEP_SECONDS

REST_SECONDS: Final = 1.0
"""How long an idle connection is kept before it returns to aiohttp's pool."""


class Line:
    """One connection of the client, with the data and the time limit of its current exchange."""

    __slots__ = (
        "connection",
        "late",
        "pending",
        "protocol",
        "rests_since",
        "spared",
        "transport",
        "until",
    )

    def __init__(
        self,
        connection: aiohttp.connector.Connection,
        protocol: ResponseHandler,
        transport: asyncio.Transport,
        pending: Callable[[], object],
    ) -> None:
        self.connection = connection
        self.protocol = protocol
        self.transport = transport
        self.pending = pending
        """Returns something true if the socket has unread data."""
        self.until = 0.0
        self.late = False
        self.spared = False
        """Whether the exchange was given extra time because the loop was stalled."""
        self.rests_since = 0.0


class Lines:
    """The connections of one client, both in use and idle.

    One timer serves all: it aborts the connections of late exchanges, and returns a connection
    that was idle for a second to aiohttp's pool, which limits how long it stays open.

    If the timer itself is late, the process or its loop was stalled, and answers may be waiting in
    the sockets. Exchanges that are late at that moment are therefore spared until the next sweep.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._closed = False
        self.working: set[Line] = set()
        self.resting: list[Line] = []
        """The last connection used is reused first, so few connections stay open."""

    def work(self, line: Line, until: float) -> None:
        """Watch an exchange that must end by `until`."""
        line.until = until
        line.late = line.spared = False
        self.working.add(line)
        if self._timer is None:
            self._sweep_later()

    def rest(self, line: Line) -> None:
        """Keep an idle connection for the next exchange."""
        if self._closed:
            line.connection.release()
            return
        line.rests_since = self._due  # the next sweep, at most `SWEEP_SECONDS` from now
        self.resting.append(line)

    def drop(self) -> None:
        """Close the idle connections."""
        while self.resting:
            self.resting.pop().connection.close()

    def close(self) -> None:
        """Stop watching, and return the idle connections to the pool."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._give_back(len(self.resting))

    def _sweep(self) -> None:
        now = self._loop.time()
        stood_still = now - self._due > SWEEP_SECONDS
        for line in self.working:
            if line.until <= now and not line.late:
                if stood_still and not line.spared:
                    line.spared = True
                    continue
                line.late = True
                line.transport.abort()
        long_ago = now - REST_SECONDS
        self._give_back(sum(line.rests_since <= long_ago for line in self.resting))
        self._timer = None
        if self.working or self.resting:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self._due = self._loop.time() + SWEEP_SECONDS
        self._timer = self._loop.call_at(self._due, self._sweep)

    def _give_back(self, count: int) -> None:
        for line in self.resting[:count]:
            line.connection.release()
        del self.resting[:count]
