"""What one exchange is, how certain its failure is, and the way through a `ClientSession`.

A transport answers with a `Reply`, or with a `Failure` of class NOT_SENT or MAYBE. It raises
nothing but cancellation: aiohttp's exceptions hold request headers, so none gets out of here.

`SessionTransport` serves a caller's own session, and an aiohttp that `direct.probe` does not
know; `direct.DirectTransport` is the default.
"""

from typing import Any, Final, Protocol

import aiohttp
import attrs
from aiohttp.client_reqrep import ClientRequest
from multidict import CIMultiDict
from yarl import URL

from enapter_async._http.wire import Failure, Message, Reply, Wire
from enapter_async.errors import (
    Certainty,
    HostDownError,
    TLSError,
    TransportError,
    check_number,
)

ERROR_BODY_BYTES: Final = 64 * 1024
"""How much of an error's body is read; past it the connection is closed."""
_NEVER_ROUND: Final = 1e9
_APART_SECONDS: Final = 0.05
"""A session's whole time ends so much after the time to connect: else, where a deadline cuts
both, it could not be told that nothing was sent."""


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long one attempt may take, in seconds.

    `connect` bounds everything up to a ready connection (name, TCP, TLS); `read` the time
    from sending the request to the last byte of its answer. Over a session of your own the
    two are one limit, their sum, for a session does not tell when it began to send.
    """

    connect: float = 10.0
    read: float = 30.0

    def __attrs_post_init__(self) -> None:
        check_number("Timeouts.connect", self.connect, above=True)
        check_number("Timeouts.read", self.read, above=True)


class Transport(Protocol):
    """One exchange with the server."""

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and give its answer, within `left` seconds."""

    def distrust(self) -> None:
        """Take note that an answer was another call's: the next on its connection would be, too."""

    def close(self) -> None:
        """Let go of what the session's closing does not end."""


class SessionTransport:
    """The way through `ClientSession.request`, with aiohttp's own re-sending switched off."""

    def __init__(self, session: aiohttp.ClientSession, wire: Wire, ssl: Any) -> None:
        self._session = session
        self._origin = wire.origin
        # As aiohttp keeps them, so that it need not turn them into that for each request.
        self._headers = CIMultiDict(wire.headers)
        self._headers_with_body = CIMultiDict(wire.headers)
        self._headers_with_body["Content-Type"] = "application/json"
        self._timeout = client_timeout(0.0, 0.0)
        self._ssl = ssl
        others = session._middlewares  # noqa: SLF001 - a request's replace the session's, and the session must not change
        self._middlewares = (*wire.middlewares, *others)
        self._closed = False

    def distrust(self) -> None:
        """Do nothing: which connection it was, a session does not tell."""

    def close(self) -> None:
        """Begin nothing more; the session is closed by its owner."""
        self._closed = True

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and give its answer, within `left` seconds."""
        if self._closed or self._session.closed:
            return not_sent(TransportError("the client is closed"), "Closed", retries=0)
        others = self._middlewares
        way = _Way(alone=not others)
        connect = min(timeouts.connect, left)
        total = max(min(timeouts.connect + timeouts.read, left), connect + _APART_SECONDS)
        timeout = self._timeout
        if (connect, total) != (timeout.connect, timeout.total):
            timeout = self._timeout = client_timeout(connect, total)
        try:
            response = await self._session.request(
                message.method,
                self._url(message.target),
                data=message.body,
                headers=self._headers if message.body is None else self._headers_with_body,
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=True,
                ssl=self._ssl,
                timeout=timeout,
                middlewares=(way.guard, *others, way.watch) if others else (way.guard,),
            )
        except Exception as error:  # noqa: BLE001 - a session does not tell how far it came
            failure = way.failure(error, connect)
        else:
            return await self._read(response, max_bytes)
        return failure

    def _url(self, target: str) -> URL:
        if "?" in target:
            return URL(f"{self._origin}{target}", encoded=True)
        return self._origin.with_path(target, encoded=True)

    async def _read(self, response: aiohttp.ClientResponse, max_bytes: int) -> Reply | Failure:
        if response.status < 200:
            response.close()
            return maybe("the server sent no final answer", "NoFinalAnswer")
        reply: Reply | None = None
        try:
            status, content = response.status, response.content
            body, cut, late = read_at_once(content, status, max_bytes) or await read_body(
                content, status, max_bytes
            )
            reply = Reply(response.status, response.headers, body, cut, late)
        finally:
            if reply is None or reply.cut:
                response.close()
            else:
                response.release()
        return reply


def read_at_once(
    payload: aiohttp.StreamReader, status: int, max_bytes: int
) -> tuple[bytes, str, bool] | None:
    """Return what `read_body` would, where the whole body is there and fits its cap; else None."""
    if not payload.is_eof() or payload.exception() is not None:
        return None
    if payload.total_bytes > _cap(status, max_bytes):
        return None
    return payload.read_nowait(), "", False


async def read_body(
    payload: aiohttp.StreamReader, status: int, max_bytes: int
) -> tuple[bytes, str, bool]:
    """Read a body up to its cap.

    Give it with the reason why it is not whole, if it is not, and whether time ran out.
    """
    max_bytes = _cap(status, max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await payload.readany():
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                cut = f"the answer is larger than {max_bytes} bytes"
                return _beginning(chunks, min(max_bytes, ERROR_BODY_BYTES)), cut, False
    except TimeoutError:
        return b"".join(chunks), "the answer did not end in time", True
    except Exception as error:  # noqa: BLE001 - a head arrived; whatever ends the body ends it alone
        reason = f"the answer's body was lost ({type(error).__name__})"
        return b"".join(chunks), reason, False
    return b"".join(chunks), "", False


def _beginning(chunks: list[bytes], size: int) -> bytes:
    """Return so many of the first bytes, without a second copy of all."""
    begun = bytearray()
    for chunk in chunks:
        begun += chunk
        if len(begun) >= size:
            break
    return bytes(begun[:size])


def _cap(status: int, max_bytes: int) -> int:
    return max_bytes if 200 <= status < 300 else min(max_bytes, ERROR_BODY_BYTES)


class _Lost(Exception):  # noqa: N818 - it names what became of the request
    """Stands for the errors upon which aiohttp would send a request again."""


class _Way:
    """The way of one request through a session: how far it came, and that it goes once.

    aiohttp re-sends GET, PUT and DELETE once after a lost connection, even one that had taken
    the whole request; and a middleware of the session's own may do as it likes. So `guard`
    stands outside of all middlewares, and where there are others, `watch` inside: `reached` is
    True once anything but a failure to connect was seen.
    """

    __slots__ = ("_alone", "lost", "reached")

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        self.reached = False
        self.lost = ""

    async def guard(
        self, request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Let no error out that aiohttp would answer with a second request, and no cookie."""
        request.headers.pop("Cookie", None)
        try:
            return await handler(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            self.reached = self.reached or self._alone
            self.lost = type(error).__name__
        except BaseException:
            self.reached = self.reached or self._alone
            raise
        raise _Lost

    async def watch(
        self, request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Note how far the request came."""
        reached = True
        try:
            return await handler(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            reached = False
            raise
        finally:
            self.reached = self.reached or reached

    def failure(self, error: Exception, seconds: float) -> Failure:
        """Say how certain it is that a request which ended so was not sent."""
        connecting = isinstance(
            error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
        )
        if connecting and not self.reached:
            return connect_failure(error, seconds)
        if isinstance(error, TimeoutError):
            return maybe("no answer in time", "ReadTimeout", timed_out=True)
        return maybe("the answer was lost", self.lost or type(error).__name__)


def client_timeout(connect: float, total: float | None = None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=total, connect=connect, sock_connect=connect, ceil_threshold=_NEVER_ROUND
    )


def not_sent(
    error: TransportError, kind: str, *, retries: int | None = None, timed_out: bool = False
) -> Failure:
    return Failure(
        certainty=Certainty.NOT_SENT, error=error, kind=kind, retries=retries, timed_out=timed_out
    )


def maybe(reason: str, kind: str, *, timed_out: bool = False) -> Failure:
    return Failure(
        certainty=Certainty.MAYBE,
        error=TransportError(f"{reason} ({kind})", sent=True),
        kind=kind,
        timed_out=timed_out,
    )


def connect_failure(error: BaseException, seconds: float) -> Failure:
    """Say why no connection could be made, in our own words and without aiohttp's objects."""
    kind = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "verification failed"
        return not_sent(TLSError(f"the server's certificate is refused: {reason}"), kind, retries=0)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return not_sent(TLSError("no TLS connection could be agreed on"), kind, retries=2)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        # Asked three times, a name that does not exist will not begin to.
        return not_sent(HostDownError("the host's name could not be resolved"), kind, retries=2)
    if isinstance(error, TimeoutError):
        reason = f"no connection within {seconds:.3g} s"
        return not_sent(HostDownError(reason), kind, timed_out=True)
    reason = getattr(error, "strerror", None) or kind
    return not_sent(HostDownError(f"no connection could be made: {reason}"), kind)
