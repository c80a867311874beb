"""The websockets of a client: opened with its connection settings, and closed with it.

They share no connections with calls: a socket occupies its connection for as long as it is open, so
the client's own sessions keep them in a pool of their own. With a caller's session, its connector,
proxy and middlewares are used. A redirect is never followed, because it would take the token along.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from enapter_async._http.dates import http_date
from enapter_async._http.headers import CarryingWire
from enapter_async._http.message import Failure, Reply
from enapter_async._http.transport import (
    Timeouts,
    client_timeout,
    connect_failure,
    not_sent,
    read_body,
)
from enapter_async._http.wire import ERROR_BODY_BYTES, Wire
from enapter_async.concealment import Secret
from enapter_async.errors import Certainty, EnapterError, TransportError
from enapter_async.streaming import Streamed

Socket = aiohttp.ClientWebSocketResponse[Any]
Renew = Callable[[float], Awaitable[EnapterError | None]]
"""Obtains another token within a number of seconds, or returns why there is none."""

HEARTBEAT: Final = 20.0
"""How many seconds of silence pass before a ping; half as many more, and the connection is lost."""
LARGEST_FRAME: Final = 1024 * 1024
_CLOSING: Final = aiohttp.ClientWSTimeout(ws_close=0.5)  # pyright: ignore[reportCallIssue]  # its class is made by attrs
"""How many seconds a server may take to answer a close frame."""


class Sockets:
    """Opens the websockets of one client."""

    def __init__(
        self,
        wire: Wire,
        tls: Any,
        *,
        timeouts: Timeouts,
        shared: aiohttp.ClientSession | None,
        proxy: Secret | None,
        renew: Renew | None,
    ) -> None:
        self._wire = wire
        self._tls = tls
        self._timeouts = timeouts
        self._shared = shared
        self._proxy = proxy
        self._renew = renew
        self._session: aiohttp.ClientSession | None = None
        self._open: set[Socket] = set()
        self._closing = asyncio.Event()
        self.heartbeat = HEARTBEAT

    def are_closed(self) -> bool:
        """Return whether no further socket can be opened."""
        return self._closing.is_set() or (self._shared is not None and self._shared.closed)

    async def pause(self, sleeping: Awaitable[None]) -> None:
        """Wait for a sleep to end, or for the client to be closed."""
        waits = [asyncio.ensure_future(sleeping), asyncio.ensure_future(self._closing.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def open(self, operation: Streamed[Any]) -> Socket | Failure:
        """Open the websocket of an operation; after a 401, try once more with a new token."""
        ended = await self._dial(operation)
        if isinstance(ended, Failure) and ended.status == 401 and self._renew is not None:
            before = self._wire.renewals
            await self._renew(self._timeouts.read)
            if self._wire.renewals != before:
                ended = await self._dial(operation)
        if isinstance(ended, Failure):
            return ended
        if self.are_closed():
            await ended.close()
            return _closed()
        self._open.add(ended)
        return ended

    async def end(self, socket: Socket) -> None:
        """Close a socket that is no longer read."""
        self._open.discard(socket)
        await socket.close()

    async def close(self) -> None:
        """Close all sockets, and open no further one."""
        self._closing.set()
        await asyncio.gather(*(each.close() for each in tuple(self._open)))
        self._open.clear()
        if self._session is not None:
            await self._session.close()

    async def _dial(self, operation: Streamed[Any]) -> Socket | Failure:
        if self.are_closed():
            return _closed()
        pool = self._pool()
        seconds = self._timeouts.connect + self._timeouts.read
        try:
            async with asyncio.timeout(seconds):
                return await pool.ws_connect(
                    self._url(operation),
                    headers=self._headers(),
                    heartbeat=self.heartbeat,
                    max_msg_size=LARGEST_FRAME,
                    timeout=_CLOSING,
                    ssl=self._tls,
                )
        except _NoSocketError as refused:
            return self._refused(operation, refused.reply)
        except Exception as error:  # noqa: BLE001 - a read can be repeated after any of them
            return connect_failure(error, seconds, self._wire.host)

    def _refused(self, operation: Streamed[Any], reply: Reply) -> Failure:
        if reply.status >= 300:
            ended = self._wire.read(operation, reply)
            if isinstance(ended, Failure):
                return ended
        told = f"HTTP {reply.status} instead of a websocket: is there a proxy without websockets?"
        return Failure(
            certainty=Certainty.NOT_SENT,
            error=TransportError(told),
            kind="NoWebsocket",
            retries=0,
            status=reply.status,
        )

    def _pool(self) -> aiohttp.ClientSession:
        """Return the session of the sockets, which is created with the first of them."""
        if self._session is not None:
            return self._session
        shared = self._shared
        others = () if shared is None else shared._middlewares  # noqa: SLF001 - as for calls
        proxy: Any = None if self._proxy is None else self._proxy.reveal()
        if shared is not None:
            proxy = shared._default_proxy  # noqa: SLF001 - the session has no public name for it
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0) if shared is None else shared.connector,
            connector_owner=shared is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=shared is not None and shared.trust_env,
            proxy=proxy,
            middlewares=(_guard, *others),
            timeout=client_timeout(self._timeouts.connect),
        )
        return self._session

    def _url(self, operation: Streamed[Any]) -> URL:
        path, mark, query = self._wire.message(operation).target.partition("?")
        slash = "/" if operation.slash else ""
        return URL(f"{self._wire.origin}{path}{slash}{mark}{query}", encoded=True)

    def _headers(self) -> dict[str, str]:
        wire = self._wire
        more = wire.asked() if isinstance(wire, CarryingWire) else {}
        return {**wire.headers, **more}


def opened_at(socket: Socket) -> float | None:
    """Return the server's time when it accepted a socket, in seconds since 1970, if it said so."""
    told = socket._response.headers.get("Date")  # noqa: SLF001 - it has no other name
    return None if told is None else http_date(told)


class _NoSocketError(Exception):
    """Carries an answer that is not a websocket past aiohttp, which would follow or discard it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


async def _guard(
    request: ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    response = await handler(request)
    if response.status == 101:
        return response
    try:
        body, cut, late = await read_body(response.content, response.status, ERROR_BODY_BYTES)
    finally:
        response.close()
    raise _NoSocketError(Reply(response.status, response.headers, body, cut, late))


def _closed() -> Failure:
    return not_sent(TransportError("the client is closed"), "Closed", retries=0)
