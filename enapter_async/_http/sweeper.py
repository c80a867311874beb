"""One timer for the time limits of all exchanges of a transport.

A timer for each exchange takes several times as long as the entry in a set that replaces it.
"""

import asyncio
from typing import Final, Generic, Protocol, TypeVar

SWEEP_SECONDS: Final = 0.05
"""The interval of checks for late exchanges, and the extra time for one after a stall."""


class Exchange(Protocol):
    """An exchange with a time limit; `until` is a time of the loop."""

    until: float
    late: bool
    spared: bool
    """Whether it was given extra time because the loop was stalled."""

    def abort(self) -> None:
        """End the exchange, because it is `late`."""


ExchangeT = TypeVar("ExchangeT", bound=Exchange)


class Sweeper(Generic[ExchangeT]):
    """Aborts exchanges that are late, at most `SWEEP_SECONDS` after their limits.

    If the timer itself is late, the process or its loop was stalled, and answers may be waiting in
    the sockets. Exchanges that are late at that moment are therefore spared until the next sweep.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.working: set[ExchangeT] = set()
        """The exchanges that are watched; discard one when it ends."""

    def work(self, exchange: ExchangeT, until: float) -> None:
        """Watch an exchange that must end by `until`."""
        exchange.until = until
        exchange.late = exchange.spared = False
        self.working.add(exchange)
        if self._timer is None:
            self._sweep_later()

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        now = self._loop.time()
        stood_still = now - self._due > SWEEP_SECONDS
        for exchange in self.working:
            if exchange.until <= now and not exchange.late:
                if stood_still and not exchange.spared:
                    exchange.spared = True
                    continue
                exchange.late = True
                exchange.abort()
        self._timer = None
        if self._tidy(now) or self.working:
            self._sweep_later()

    def _tidy(self, now: float) -> bool:
        """Do what else is due at a sweep; return whether more will be."""
        return False

    def _sweep_later(self) -> None:
        self._due = self._loop.time() + SWEEP_SECONDS
        self._timer = self._loop.call_at(self._due, self._sweep)
