"""The connections of one client: those in use, watched by the sweeper, and idle ones.

aiohttp opens the connections and parses the answers. Between the two is `Connection`, in place
of aiohttp's own protocol, which has queues and timers that one exchange at a time does not need.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser

from enapter_async._http.sweeper import Sweeper
from enapter_async._http.transport import (
    LARGEST_FIELD,
    LAX_PARSER,
    WITHOUT_BODY,
    announces_body,
    is_sending,
)

REST_SECONDS: Final = 1.0
"""How long an idle connection is kept before it returns to aiohttp's pool."""
INTERIM_LIMIT: Final = 8
"""How many 1xx answers may precede the final one."""
_BUFFER_BYTES: Final = 256 * 1024
"""How much of a body may wait to be read before the connection is paused."""
_MOST_AT_ONCE: Final = 16 * 1024
"""The size of a request that the system takes at once, even if the server does not read."""
_SWITCHING: Final = 101

Answer = tuple[Any, aiohttp.StreamReader]
"""The head of an answer, as aiohttp's parser returns it, and its body as it arrives."""


parser_for: Final = partial(
    HttpResponseParser,
    limit=_BUFFER_BYTES,
    payload_exception=aiohttp.ClientPayloadError,
    read_until_eof=True,
    max_field_size=LARGEST_FIELD,
)
"""Returns a parser that feeds the bodies of answers; a full one pauses the given protocol."""
_raw_parser_for: Final = partial(parser_for, auto_decompress=False)


class Connection(BaseProtocol):
    """One connection of the client, with the data and the time limit of its current exchange.

    Until it returns to aiohttp's pool, it is the protocol of the connection, and aiohttp's own
    learns only of its loss. Bytes that arrive outside an exchange belong to no request; they close
    the connection.
    """

    __slots__ = (
        *("_answer", "_body", "_interim", "_obscure", "pooled", "fault", "handler", "late", "link"),
        *("pending", "rests_since", "spared", "until", "usable"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pooled: aiohttp.connector.Connection,
        handler: ResponseHandler,
        link: asyncio.Transport,
        pending: Callable[[], object],
    ) -> None:
        super().__init__(loop)
        self.pooled = pooled
        self.transport = self.link = link
        self.handler = handler
        """aiohttp's own protocol of the connection."""
        self.pending = pending
        """Returns something true if the socket has unread data."""
        self.usable = True
        """Whether nothing has shown yet that the connection cannot serve another exchange."""
        self.fault: BaseException | None = None
        """Why the answer cannot be read, once that is known."""
        self.until = 0.0
        self.late = False
        self.spared = False
        self.rests_since = 0.0
        self._answer: asyncio.Future[Answer | None] | None = None
        self._body: aiohttp.StreamReader | None = None
        self._interim = 0
        self._obscure = False
        """Whether a part of a large request may be unsent, which TLS does not tell."""
        link.set_protocol(self)

    def send(self, request: bytes, *, unpacks: bool = True) -> "asyncio.Future[Answer | None]":
        """Send a request; return a future for its answer, which is None if there is a `fault`.

        With `unpacks`, the parser decompresses the answer's body.
        """
        # A new parser each time: data that an old one started to read belongs to no request.
        self._parser = (parser_for if unpacks else _raw_parser_for)(self, self._loop)
        self._body = None
        self._interim = 0
        self._answer = answer = self._loop.create_future()
        if len(request) > _MOST_AT_ONCE and self.link.get_extra_info("sslcontext") is not None:
            self.usable = False
            self._obscure = True
        self.link.write(request)
        return answer

    def is_clean(self) -> bool:
        """Return whether request and answer are complete, so that another exchange may follow.

        Not if anything follows the answer, such as the beginning of another one.
        """
        body = self._body
        parser: Any = self._parser
        if not self.usable or body is None or not body.is_eof():
            return False
        if LAX_PARSER and (parser._lines or parser._tail):  # noqa: SLF001 - its end tells less
            return False
        try:
            return not self.link.get_write_buffer_size() and parser.feed_eof() is None
        except Exception:  # noqa: BLE001 - aiohttp's parsers raise many kinds
            return False

    def close(self, *, whole: bool = True) -> None:
        """Close the connection: at once, if a part of request or answer is or may be missing.

        Otherwise, a request that is still being sent would be sent to its end.
        """
        if not whole or self._obscure or is_sending(self.link):
            self.link.abort()
        self.pooled.close()

    def abort(self) -> None:
        """End the exchange, because it is late."""
        self.link.abort()

    def leave(self) -> None:
        """Return the connection to aiohttp's pool."""
        self.link.set_protocol(self.handler)
        self.pooled.release()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume reading after a pause; aiohttp calls this after each part of a body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; called with no data to continue after a pause."""
        answer, body, parser = self._answer, self._body, self._parser
        if answer is None or parser is None or (data and body is not None and body.is_eof()):
            self._break(aiohttp.ClientPayloadError("data arrived that answers no request"))
            return
        try:
            messages, _, _ = parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - aiohttp's parsers raise many kinds
            self._break(error)
            return
        for head, body in messages:
            if head.code < 200:
                self._interim += 1
                if head.code == _SWITCHING or self._interim > INTERIM_LIMIT:
                    self._break(NoFinalAnswer())
                    return
                continue
            if head.should_close or self._body is not None:
                self.usable = False  # the latter would be a second answer to one request
            if self._body is None:
                self._body = body
                shown = body
                if head.code in WITHOUT_BODY:
                    shown = aiohttp.EMPTY_PAYLOAD
                    self.usable &= not announces_body(head.code, head.headers)
                if not answer.done():
                    answer.set_result((head, shown))

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the exchange: an answer that ends with its connection is complete, any other not."""
        body, parser = self._body, self._parser
        fault: BaseException = exc or aiohttp.ServerDisconnectedError()
        if exc is None and body is not None and parser is not None and not body.is_eof():
            try:
                parser.feed_eof()
                self._body = None  # complete, even if the rest of it is still to be decompressed
            except Exception as error:  # noqa: BLE001 - aiohttp's parsers raise many kinds
                fault = error
        self._break(fault)
        super().connection_lost(exc)
        self.handler.connection_lost(exc)

    def _break(self, fault: BaseException) -> None:
        """Close the connection, and end what waits for its answer."""
        self.usable = False
        answer, body = self._answer, self._body
        if self.fault is None:
            self.fault = fault
        if answer is not None and not answer.done():
            answer.set_result(None)
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError(type(fault).__name__))
        self.link.abort()


class Connections(Sweeper[Connection]):
    """The connections of one client, both in use and idle.

    The sweeper also returns a connection that was idle for a second to aiohttp's pool, which limits
    how long it stays open.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._closed = False
        self.resting: list[Connection] = []
        """The last connection used is reused first, so few connections stay open."""

    def end(self, connection: Connection, *, whole: bool) -> None:
        """End an exchange, and keep its connection for the next one if nothing is left on it."""
        self.working.discard(connection)
        whole = whole and not connection.late
        if not (whole and connection.is_clean()):
            connection.close(whole=whole)
        elif self._closed:
            connection.leave()
        else:
            connection.rests_since = self._due  # the next sweep, at most `SWEEP_SECONDS` from now
            self.resting.append(connection)

    def drop(self) -> None:
        """Close the idle connections."""
        while self.resting:
            self.resting.pop().close()

    def close(self) -> None:
        """Stop watching, abort the exchanges, and return the idle connections to the pool."""
        self._closed = True
        super().close()
        for connection in self.working:
            connection.abort()
        self._give_back(len(self.resting))

    def _tidy(self, now: float) -> bool:
        long_ago = now - REST_SECONDS
        self._give_back(sum(connection.rests_since <= long_ago for connection in self.resting))
        return bool(self.resting)

    def _give_back(self, count: int) -> None:
        for connection in self.resting[:count]:
            connection.leave()
        del self.resting[:count]


class NoFinalAnswer(Exception):  # noqa: N818 - it names what is missing
    """The server sent too many interim answers, or asked to switch protocols."""
