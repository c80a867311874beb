"""Exchanges through a `ClientSession`: the caller's, or the client's if `probe` rejects aiohttp.

The certainty of a failure follows from the phase in which it occurred, not from its class: either
writing the request had started, or it had not. If nothing was written, nothing was sent, no matter
which part failed: a middleware, a resolver, a trace, or a proxy that refuses the tunnel.
"""

import asyncio
import io
import weakref
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from multidict import CIMultiDict
from yarl import URL

from enapter_async._http.message import Failure, Message, Reply
from enapter_async._http.sweeper import Sweeper
from enapter_async._http.transport import (
    LARGEST_FIELD,
    Timeouts,
    announces_body,
    client_timeout,
    connect_failure,
    is_sending,
    maybe,
    not_sent,
    read_at_once,
    read_body,
    torn,
    unread,
)
from enapter_async._http.unpacking import unpacked
from enapter_async._http.wire import FRESH, Wire
from enapter_async.errors import HostDownError, ProxyError, TransportError

_LARGE: Final = 1024 * 1024
CONNECTING: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""The errors that aiohttp raises if there is no connection; it never retries after these."""


class SessionTransport:
    """Exchanges through `ClientSession.request`, with aiohttp's own retries switched off."""

    def __init__(
        self, session: aiohttp.ClientSession, wire: Wire, ssl: Any, *, own: bool = False
    ) -> None:
        self._session = session
        self._own = own
        self._origin = wire.origin
        self._host = wire.host
        self._wire = wire
        self.take_headers()
        self._timeout = client_timeout(0.0)
        self._ssl = ssl
        others = session._middlewares  # noqa: SLF001 - a request's middlewares replace the session's, which must not change
        self._middlewares = (*wire.middlewares, *others)
        self._loop = asyncio.get_running_loop()
        self._sweeper: Sweeper[_Exchange] = Sweeper(self._loop)
        self._closed = False

    def take_headers(self) -> None:
        """Use the wire's headers as they are now, after its token was replaced."""
        # In aiohttp's own form, which saves converting them for each request.
        headers = self._wire.headers
        self._headers = CIMultiDict(headers)
        self._fresh_headers = CIMultiDict({**headers, **FRESH})
        self._headers_with_body = CIMultiDict({**headers, "Content-Type": "application/json"})

    def distrust(self) -> None:
        """Do nothing: a session does not report which connection it used."""

    def close(self) -> None:
        """Start no further exchange, and abort those on the client's own session.

        A session waits for its connections to close, and those for what they still have to send.
        """
        self._closed = True
        for exchange in self._sweeper.working if self._own else ():
            exchange.drop()

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and return its answer, within `left` seconds."""
        if self._closed or self._session.closed:
            return not_sent(TransportError("the client is closed"), "Closed", retries=0)
        connect = min(timeouts.connect, left)
        timeout = self._timeout
        if connect != timeout.connect:
            timeout = self._timeout = client_timeout(connect)
        exchange = _Exchange()
        limit = min(timeouts.connect + timeouts.read, left)
        self._sweeper.work(exchange, self._loop.time() + limit)
        response: aiohttp.ClientResponse | None = None
        reply: Reply | Failure | None = None
        special = message.headers is not None
        try:
            response = await self._session.request(
                message.method,
                self._url(message.target),
                data=_data_of(message.body),
                headers=self._headers_of(message),
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=not special,
                max_field_size=LARGEST_FIELD,
                ssl=self._ssl,
                timeout=timeout,
                middlewares=exchange.around(self._middlewares),
            )
            reply = await self._read(response, max_bytes)
        except asyncio.CancelledError:
            if not exchange.end_late():
                raise
            failure = exchange.failure(TimeoutError(), connect, self._host)
        except Exception as error:  # noqa: BLE001 - for any error, the phase shows how far the request came
            failure = exchange.failure(error, connect, self._host)
        else:
            return unpacked(reply, max_bytes) if special else reply
        finally:
            self._sweeper.working.discard(exchange)
            exchange.end_late()
            if exchange.is_sending() or not _is_whole(reply):
                exchange.drop()
        if response is not None and failure.timed_out:
            cut = "the response did not end in time"
            return Reply(response.status, response.headers, b"", cut, late=True)
        return failure

    async def reach(self, seconds: float) -> Failure | None:
        """Connect as the session does, send nothing, and close the connection."""
        exchange = _Exchange(sends=False)
        try:
            response = await self._session.request(
                "GET",
                self._origin,
                allow_redirects=False,
                raise_for_status=False,
                ssl=self._ssl,
                timeout=client_timeout(seconds, seconds),
                middlewares=exchange.around(self._middlewares),
            )
        except Exception as error:  # noqa: BLE001 - for any error, the phase shows how far the request came
            failure = None if exchange.sent else exchange.failure(error, seconds, self._host)
        else:
            response.close()  # created by a middleware, and not needed
            return None
        return failure

    def _headers_of(self, message: Message) -> "CIMultiDict[str]":
        if message.headers is not None:
            return CIMultiDict(self._wire.headers_of(message))
        if message.body is not None:
            return self._headers_with_body
        return self._fresh_headers if message.fresh else self._headers

    def _url(self, target: str) -> URL:
        if "?" in target:
            return URL(f"{self._origin}{target}", encoded=True)
        return self._origin.with_path(target, encoded=True)

    async def _read(self, response: aiohttp.ClientResponse, max_bytes: int) -> Reply | Failure:
        if response.status < 200:
            response.close()
            return maybe("the server sent no final response", "NoFinalAnswer")
        if torn(response.headers):
            response.close()
            return maybe("the response has two lengths", "TwoLengths")
        whole = False
        try:
            status, content = response.status, response.content
            body, cut, late = read_at_once(content, status, max_bytes) or await read_body(
                content, status, max_bytes
            )
            whole = not cut
        finally:
            if whole:
                response.release()
            else:
                response.close()
        # A quarter of the time that the class's own `__new__` takes.
        return tuple.__new__(Reply, (status, response.headers, body, cut, late, True))


def _data_of(body: bytes | None) -> bytes | io.BytesIO | None:
    """Return a body in the form in which aiohttp sends it without a warning."""
    return body if body is None or len(body) <= _LARGE else io.BytesIO(body)


def _is_whole(reply: Reply | Failure | None) -> bool:
    """Return whether an answer has arrived, and nothing more can follow it."""
    if not isinstance(reply, Reply) or reply.cut:
        return False
    return not announces_body(reply.status, reply.headers)


class _Lost(Exception):  # noqa: N818 - named after the fate of the request
    """Replaces the errors after which aiohttp would send a request again."""


class _Stale(Exception):  # noqa: N818 - named after the state of the connection
    """A connection from the pool is closed, or received data that answers no request."""


_PENDING: Final[weakref.WeakKeyDictionary[ResponseHandler, Callable[[], object]]] = (
    weakref.WeakKeyDictionary()
)
"""For each connection that was used, what returns something true if it has unread data."""


class _Exchange:
    """One request through a session: whether it was sent, only once, and answered in time.

    aiohttp re-sends GET, PUT and DELETE once after a lost connection, even if the whole request
    was written; and a middleware of the session may do anything. So `guard` is the outermost
    middleware, and `watch` the innermost. If the exchange is late, its task is cancelled as
    `asyncio.timeout` does it.
    """

    __slots__ = (
        "_cancelling",
        "_link",
        "_sends",
        "_task",
        "late",
        "lost",
        "sent",
        "spared",
        "until",
    )

    def __init__(self, *, sends: bool = True) -> None:
        self._sends = sends
        """Whether the request may be sent once there is a connection."""
        self.sent = False
        """Whether there was a connection and writing the request started."""
        self.lost = ""
        self._task = task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = task.cancelling()
        self.until = 0.0
        self.late = self.spared = False
        self._link: asyncio.Transport | None = None

    def is_sending(self) -> bool:
        """Return whether a part of the request has not been sent yet."""
        return self._link is not None and is_sending(self._link)

    def drop(self) -> None:
        """Close the connection at once; a request that is still being sent ends there."""
        if self._link is not None:
            self._link.abort()

    def abort(self) -> None:
        """Cancel the task, because the exchange is late."""
        self._task.cancel()

    def end_late(self) -> bool:
        """Undo `abort`; return whether it, and nothing else, cancelled the task."""
        late, self.late = self.late, False
        return late and self._task.uncancel() <= self._cancelling

    def around(self, others: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the middlewares of the request, with the session's own in the middle."""
        return (self.guard, *others, self.watch) if others else (self.guard,)

    async def guard(
        self, request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Hide the errors after which aiohttp would send the request again, and drop cookies."""
        request.headers.pop("Cookie", None)
        self._note_sending(request)
        try:
            while True:
                try:
                    return await handler(request)
                except _Stale:
                    continue  # the pool limits their number
        except CONNECTING:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            self.lost = type(error).__name__
        finally:
            vars(request).pop("send", None)
        raise _Lost

    async def watch(
        self, request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Record the sending of a request that the session's middlewares may have replaced."""
        self._note_sending(request)
        try:
            while True:
                try:
                    return await handler(request)
                except _Stale:
                    continue
        finally:
            vars(request).pop("send", None)

    def _note_sending(self, request: ClientRequest) -> None:
        """Record when writing the request starts; a tunnel's CONNECT is a different request."""
        vars(request).pop("send", None)
        send: Any = getattr(request, "send", None)

        def noted(connection: Any) -> Any:
            if self._sends:
                self._inspect(connection)
            self.sent = True
            if not self._sends:
                raise _Lost
            self._link = connection.transport
            return send(connection)

        if send is not None:
            vars(request)["send"] = noted  # belongs to this request only
            return
        self.sent = True  # this aiohttp sends requests differently, so nothing is known
        if not self._sends:
            raise _Lost

    def _inspect(self, connection: Any) -> None:
        """Refuse a connection that has received data: it would be read as the request's answer.

        aiohttp only checks whether it is open. A new TLS connection may have data, because TLS 1.3
        sends session tickets without a request. An unusable new one fails the attempt.
        """
        protocol, transport = connection.protocol, connection.transport
        if not isinstance(protocol, ResponseHandler) or transport is None:
            return
        known = _PENDING.get(protocol)
        pending = known
        if pending is None:
            pending = _PENDING[protocol] = unread(transport.get_extra_info("socket"))
            if transport.get_extra_info("sslcontext") is not None:
                pending = bool
        if protocol.should_close or pending():
            connection.close()
            if known is not None:
                raise _Stale
            self.lost = "BadConnection"
            raise _Lost

    def failure(self, error: Exception, seconds: float, host: str) -> Failure:
        """Return the failure of a request that ended in this error."""
        kind = self.lost or type(error).__name__
        if self.sent:
            if isinstance(error, TimeoutError):
                return maybe("no answer in time", "ReadTimeout", timed_out=True)
            return maybe("the answer was lost", kind)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return _tunnel_refused(error.status)
        if isinstance(error, (*CONNECTING, TimeoutError)):
            return connect_failure(error, seconds, host)
        if self.lost:
            reason = f"the connection was lost before the request was sent ({kind})"
            return not_sent(HostDownError(reason), kind)
        reason = f"{kind} in the session's own middleware, resolver or trace; nothing was sent"
        return not_sent(TransportError(reason), kind)


def _tunnel_refused(status: int) -> Failure:
    """Return the failure of a call for which the proxy refused to connect to the host."""
    try:
        said = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"HTTP {status}"
    if status >= 500:
        error = HostDownError(f"the proxy did not reach the host: {said}")
        return not_sent(error, "ClientHttpProxyError")
    refused = ProxyError(f"the proxy refused to connect to the host: {said}", status=status)
    return not_sent(refused, "ClientHttpProxyError", retries=0)
