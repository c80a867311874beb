"""One exchange on a connection of our own, spoken through aiohttp's HTTP parser.

Truth by construction: what fails before `write` was not sent, what fails after it may have
been; there is no hidden re-send, redirect, cookie or proxy on this path. All that is relied
upon beyond aiohttp's documented interface is named in `probe`, and a contract test holds the
installed aiohttp against it.
"""

import asyncio
import inspect
import select
import socket
import weakref
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import attrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from enapter_async._http.transport import (
    Timeouts,
    client_timeout,
    connect_failure,
    maybe,
    not_sent,
    read_body,
)
from enapter_async._http.wire import Failure, Message, Reply, Wire
from enapter_async.errors import ConfigurationError, HostDownError, TransportError

INTERIM_LIMIT: Final = 8
"""How many 1xx answers may come before the final one."""
SWEEP_SECONDS: Final = 0.05
"""How often late exchanges are looked for."""


class _Watch:
    """One exchange under the sweeper's eye."""

    __slots__ = ("late", "transport", "until")

    def __init__(self, transport: asyncio.Transport, until: float) -> None:
        self.transport = transport
        self.until = until
        self.late = False


class _Sweeper:
    """Aborts the connections of late exchanges, with one timer for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[_Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, transport: asyncio.Transport, until: float) -> _Watch:
        watch = _Watch(transport, until)
        self._watched.add(watch)
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        return watch

    def forget(self, watch: _Watch) -> None:
        self._watched.discard(watch)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        now = self._loop.time()
        for watch in self._watched:
            if watch.until <= now and not watch.late:
                watch.late = True
                watch.transport.abort()
        self._timer = None
        if self._watched:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)


def probe(session: aiohttp.ClientSession) -> str:
    """Say what this aiohttp lacks for `DirectTransport`, or nothing where all is there."""
    loop = asyncio.get_running_loop()
    connector: Any = session.connector
    wanted = {
        "BaseConnector": (connector, ("connect",)),
        "ResponseHandler": (
            ResponseHandler,
            ("transport", "set_response_params", "read", "is_connected", "should_close"),
        ),
        "Connection": (aiohttp.connector.Connection, ("protocol", "release", "close")),
        "StreamReader": (aiohttp.StreamReader, ("readany",)),
        "RawResponseMessage": (aiohttp.http.RawResponseMessage, ("code", "headers", "chunked")),
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
        ResponseHandler(loop).set_response_params(read_until_eof=True, auto_decompress=True)
        known = request.connection_key.host == "127.0.0.1"
    except Exception as error:  # noqa: BLE001 - an aiohttp that is not known may raise anything
        return type(error).__name__
    return "" if known else "ClientRequest.connection_key"


def _key_request(session: aiohttp.ClientSession, url: URL, ssl: Any) -> ClientRequest:
    """Make the one request object whose only use is to name the connection."""
    return ClientRequest("GET", url, ssl=ssl, loop=asyncio.get_running_loop(), session=session)


class DirectTransport:
    """The fast and exact way: one exchange on a connection that we hold ourselves."""

    def __init__(self, session: aiohttp.ClientSession, wire: Wire, ssl: Any) -> None:
        connector = session.connector
        if connector is None:
            raise ConfigurationError("the session is closed")
        self._connector = connector
        self._key_request = _key_request(session, wire.origin, ssl)
        self._secured = wire.origin.scheme == "https"
        self._serialize = wire.serialize
        self._loop = asyncio.get_running_loop()
        self._sweeper = _Sweeper(self._loop)
        self._pending: weakref.WeakKeyDictionary[ResponseHandler, Callable[[], bool]] = (
            weakref.WeakKeyDictionary()
        )
        self._connect_timeout = client_timeout(10.0)
        self._closed = False

    def close(self) -> None:
        """Begin nothing more; the session closes the connections."""
        self._closed = True
        self._sweeper.stop()

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and give its answer, within `left` seconds."""
        if self._closed:
            return not_sent(TransportError("the client is closed"), "Closed", retries=0)
        until = self._loop.time() + left
        connection = await self._connect(min(timeouts.connect, left))
        if isinstance(connection, Failure):
            return connection
        protocol = connection.protocol
        transport = protocol.transport if protocol is not None else None
        if protocol is None or transport is None:
            connection.close()
            return not_sent(
                TransportError("the connection was lost before sending"), "Disconnected"
            )
        protocol.set_response_params(read_until_eof=True, auto_decompress=True)
        watch = self._sweeper.watch(transport, min(until, self._loop.time() + timeouts.read))
        reply: Reply | None = None
        kind = ""
        try:
            transport.write(self._serialize(message))
            reply = await self._receive(protocol, max_bytes)
        except Exception as error:  # noqa: BLE001 - whatever fails after the write: it may have been sent
            kind = type(error).__name__
        finally:
            self._sweeper.forget(watch)
            if reply is None or reply.cut or watch.late:
                connection.close()
            else:
                connection.release()
        if reply is not None:
            return _in_time(reply) if watch.late else reply
        if watch.late:
            return maybe("no answer in time", "ReadTimeout", timed_out=True)
        return maybe("the answer was lost", kind)

    async def _connect(self, seconds: float) -> aiohttp.connector.Connection | Failure:
        """Take a connection on which nothing is pending, from the pool or newly made.

        Stale ones are replaced at once, for there are never more than the pool held; a new one
        that is no good fails the attempt, so that the next comes only after a delay.
        """
        timeout = self._connect_timeout
        if seconds != timeout.connect:
            timeout = self._connect_timeout = client_timeout(seconds)
        until = self._loop.time() + seconds
        while self._loop.time() < until:
            try:
                connection = await self._connector.connect(self._key_request, [], timeout)
            except Exception as error:  # noqa: BLE001 - nothing was written yet, whatever it is
                failure = connect_failure(error, seconds)
            else:
                protocol = connection.protocol
                if protocol is not None and self._is_clean(protocol):
                    return connection
                connection.close()
                if protocol in self._pending:
                    continue
                failure = not_sent(
                    HostDownError("a new connection was closed, or spoken on, before the request"),
                    "BadConnection",
                )
            return failure
        return not_sent(
            HostDownError("no clean connection in time"), "StaleConnection", timed_out=True
        )

    def _is_clean(self, protocol: ResponseHandler) -> bool:
        """Whether nothing came on this connection since its last answer ended.

        A byte that is pending belongs to no request of ours: taken for an answer, it would
        give this call, and each after it, its predecessor's. A new TLS connection is not looked
        at, for TLS 1.3 sends session tickets of its own accord.
        """
        if not protocol.is_connected() or protocol.should_close or protocol.transport is None:
            return False
        pending = self._pending.get(protocol)
        if pending is None:
            pending = _readable(protocol.transport.get_extra_info("socket"))
            if not self._secured and pending():
                return False
            self._pending[protocol] = pending
            return True
        return not pending()

    async def _receive(self, protocol: ResponseHandler, max_bytes: int) -> Reply:
        head, payload = await protocol.read()
        interim = 0
        while head.code < 200 and head.code != 101 and interim < INTERIM_LIMIT:
            interim += 1
            head, payload = await protocol.read()
        if head.code < 200:
            raise NoFinalAnswer
        body, cut, late = await read_body(payload, head.code, max_bytes)
        framed = head.chunked or "Content-Length" in head.headers
        return Reply(head.code, head.headers, body, cut, late, framed)


def _in_time(reply: Reply) -> Reply:
    """Give what a reply is worth whose connection the sweeper aborted.

    One that was whole by its own framing came in time after all; of another the end was
    the connection's end, and that was our own doing.
    """
    if reply.framed and not reply.cut:
        return reply
    return attrs.evolve(reply, cut="the answer did not end in time", late=True)


def _readable(sock: socket.socket) -> Callable[[], bool]:
    """Give a quick question: has this socket bytes, or an end, that nobody read?"""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return lambda: bool(poll.poll(0))
    return lambda: bool(select.select([sock], [], [], 0)[0])


class NoFinalAnswer(Exception):  # noqa: N818 - it names what is missing
    """The server sent interim answers without end, or asked to switch protocols."""
