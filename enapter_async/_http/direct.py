"""The default transport: it manages its own connections and uses aiohttp's HTTP parser.

If it fails before `write`, nothing was sent; after that, the request may have been sent. There is
no hidden retry, redirect, cookie or proxy. `probe` lists everything that is used beyond aiohttp's
documented interface, and a contract test compares it with the installed aiohttp.
"""

import asyncio
import inspect
import weakref
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from multidict import istr
from yarl import URL

from enapter_async._http.connections import Connection, Connections, parser_for
from enapter_async._http.fence import MAY_SEND
from enapter_async._http.message import Failure, Message, Reply
from enapter_async._http.transport import (
    LAX_PARSER,
    Timeouts,
    client_timeout,
    connect_failure,
    maybe,
    not_sent,
    read_at_once,
    read_body,
    torn,
    unread,
)
from enapter_async._http.unpacking import unpacked
from enapter_async._http.wire import Wire
from enapter_async.errors import ConfigurationError, HostDownError, TransportError

_CONTENT_LENGTH: Final = istr("Content-Length")
RECEIVE_BYTES: Final = 64 * 1024
"""The size of the receive buffer. With asyncio's 256 KiB, glibc may request memory from the system
and return it for every answer; memory of this size is kept."""


def probe(session: aiohttp.ClientSession) -> str:
    """Return the features that `DirectTransport` needs but aiohttp lacks; empty if none."""
    loop = asyncio.get_running_loop()
    connector: Any = session.connector
    wanted = {
        "BaseConnector": (connector, ("connect",)),
        "ResponseHandler": (
            ResponseHandler,
            ("transport", "is_connected", "should_close", "connection_lost"),
        ),
        "BaseProtocol": (
            BaseProtocol,
            (
                *("transport", "connected", "resume_reading"),
                *("_loop", "_parser", "_reading_paused"),
            ),
        ),
        "Connection": (aiohttp.connector.Connection, ("protocol", "release", "close")),
        "StreamReader": (
            aiohttp.StreamReader,
            ("readany", "read_nowait", "is_eof", "exception", "set_exception", "total_bytes"),
        ),
        "RawResponseMessage": (
            aiohttp.http.RawResponseMessage,
            ("code", "headers", "chunked", "should_close"),
        ),
    }
    missing = [
        f"{owner}.{name}"
        for owner, (thing, names) in wanted.items()
        for name in names
        if not hasattr(thing, name)
    ]
    if missing:
        return ", ".join(missing)
    try:
        request = _key_request(session, URL("http://127.0.0.1/"), True)
        inspect.signature(connector.connect).bind(request, [], client_timeout(1.0))
        parser: Any = parser_for(BaseProtocol(loop), loop)
        _, _, _ = parser.feed_data(b"")
        parser.feed_eof()
        if LAX_PARSER:
            _ = parser._lines, parser._tail  # noqa: SLF001 - what `Connection.is_clean` needs
        known = request.connection_key.host == "127.0.0.1"
    except Exception as error:  # noqa: BLE001 - an unknown aiohttp version may raise anything
        return type(error).__name__
    return "" if known else "ClientRequest.connection_key"


def _key_request(session: aiohttp.ClientSession, url: URL, ssl: Any) -> ClientRequest:
    """Return a request object that only serves to identify the connection."""
    return ClientRequest("GET", url, ssl=ssl, loop=asyncio.get_running_loop(), session=session)


class DirectTransport:
    """The default transport, which manages the connection of each exchange itself."""

    def __init__(self, session: aiohttp.ClientSession, wire: Wire, ssl: Any) -> None:
        connector = session.connector
        if connector is None:
            raise ConfigurationError("the session is closed")
        self._connector = connector
        self._key_request = _key_request(session, wire.origin, ssl)
        self._origin = wire.origin
        self._host = wire.host
        self._secured = wire.origin.scheme == "https"
        self._serialize = wire.serialize
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(self._loop)
        self._pending: weakref.WeakKeyDictionary[ResponseHandler, Callable[[], object]] = (
            weakref.WeakKeyDictionary()
        )
        self._connect_timeout = client_timeout(10.0)
        self._closed = False

    @property
    def resting(self) -> int:
        """The number of idle connections that are ready for use."""
        return len(self._connections.resting)

    def take_headers(self) -> None:
        """Do nothing: the wire writes the head of each request."""

    def distrust(self) -> None:
        """Close the idle connections, including the last one used."""
        self._connections.drop()

    def close(self) -> None:
        """Start no further exchange; the session closes the connections."""
        self._closed = True
        self._connections.close()

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and return its answer, within `left` seconds."""
        if self._closed:
            return not_sent(TransportError("the client is closed"), "Closed", retries=0)
        now = self._loop.time()
        until = now + left
        connection = self._at_hand()
        if connection is None:
            opened = await self._open(min(timeouts.connect, left))
            if isinstance(opened, Failure):
                return opened
            connection = opened
            now = self._loop.time()
        connections = self._connections
        connections.work(connection, min(until, now + timeouts.read))
        special = message.headers is not None
        reply: Reply | None = None
        kind = ""
        try:
            answer = await connection.send(self._serialize(message), unpacks=not special)
            if answer is None:
                kind = type(connection.fault).__name__
            elif LAX_PARSER and torn(answer[0].headers):
                kind = "TwoLengths"
            else:
                head, body = answer
                # Almost always, the body has arrived with the head.
                found = read_at_once(body, head.code, max_bytes) or await read_body(
                    body, head.code, max_bytes
                )
                framed = head.chunked or _CONTENT_LENGTH in head.headers
                # A quarter of the time that the class's own `__new__` takes.
                reply = tuple.__new__(Reply, (head.code, head.headers, *found, framed))
        except Exception as error:  # noqa: BLE001 - after a write, it may have been sent
            kind = type(error).__name__
        finally:
            connections.end(connection, whole=reply is not None and not reply.cut)
        if reply is not None:
            reply = _in_time(reply) if connection.late else reply
            return unpacked(reply, max_bytes) if special else reply
        if connection.late:
            return maybe("no response in time", "ReadTimeout", timed_out=True)
        return maybe("the response was lost", kind)

    async def reach(self, seconds: float) -> Failure | None:
        """Open a new connection, send nothing, and close it.

        An idle connection would prove nothing: it may have died without being detected.
        """
        try:
            async with asyncio.timeout(seconds):
                transport, _ = await self._loop.create_connection(
                    asyncio.Protocol, str(self._origin.host), int(self._origin.port or 0)
                )
        except OSError as error:
            failure = connect_failure(error, seconds, self._host)
        else:
            transport.close()
            return None
        return failure

    def _at_hand(self) -> Connection | None:
        """Return an idle connection without pending data, if there is one."""
        resting = self._connections.resting
        while resting:
            connection = resting.pop()
            if connection.usable and not connection.link.is_closing() and not connection.pending():
                return connection
            connection.close()
        return None

    async def _open(self, seconds: float) -> Connection | Failure:
        """Return a connection as `_connect` does, if the caller may still send after that wait."""
        opened = await self._connect(seconds)
        may_send = MAY_SEND.get()
        if isinstance(opened, Failure) or may_send is None or may_send():
            return opened
        opened.leave()
        return not_sent(TransportError("its run was taken over, or may have been"), "Fenced")

    async def _connect(self, seconds: float) -> Connection | Failure:
        """Return a connection without pending data, from the pool or a new one.

        Stale connections are replaced immediately: the pool limits their number. An unusable new
        one fails the attempt, so that the next attempt follows only after a delay.
        """
        timeout = self._connect_timeout
        if seconds != timeout.connect:
            timeout = self._connect_timeout = client_timeout(seconds)
        until = self._loop.time() + seconds
        while self._loop.time() < until:
            try:
                pooled = await self._connector.connect(self._key_request, [], timeout)
            except Exception as error:  # noqa: BLE001 - nothing was written yet
                failure = connect_failure(error, seconds, self._host)
            else:
                protocol = pooled.protocol
                connection = None if protocol is None else self._clean(pooled, protocol)
                if connection is not None:
                    return connection
                pooled.close()
                if protocol in self._pending:
                    continue
                failure = not_sent(
                    HostDownError(
                        "a new connection was closed, or received data, before the request"
                    ),
                    "BadConnection",
                )
            return failure
        return not_sent(
            HostDownError("no clean connection in time"), "StaleConnection", timed_out=True
        )

    def _clean(
        self, pooled: aiohttp.connector.Connection, protocol: ResponseHandler
    ) -> Connection | None:
        """Return the connection, ready for an exchange, if no data arrived since its last answer.

        A pending byte belongs to no request: if it were read as an answer, this call and every
        later one would receive the answer of the previous call. A new TLS connection is not
        checked, because TLS 1.3 sends session tickets without a request.
        """
        transport = protocol.transport
        if transport is None or not protocol.is_connected() or protocol.should_close:
            return None
        pending = self._pending.get(protocol)
        if pending is None:
            pending = unread(transport.get_extra_info("socket"))
            if not self._secured and pending():
                return None
            self._pending[protocol] = pending
            if hasattr(transport, "max_size"):  # asyncio's own transport, not uvloop's
                asyncios: Any = transport
                asyncios.max_size = RECEIVE_BYTES
        elif pending():
            return None
        return Connection(self._loop, pooled, protocol, transport, pending)


def _in_time(reply: Reply) -> Reply:
    """Return the reply of an aborted connection, marked as late if the abort cut it off.

    A reply whose framing shows that it is complete arrived in time; the sweeper's abort may have
    cut off any other.
    """
    if reply.framed and not reply.cut:
        return reply
    return reply._replace(cut="the response did not end in time", late=True)
