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
from yarl import URL

from enapter_async._http.wire import Failure, Message, Reply, Wire
from enapter_async.errors import (
    Certainty,
    ConfigurationError,
    HostDownError,
    TLSError,
    TransportError,
)

ERROR_BODY_BYTES: Final = 64 * 1024
"""How much of an error's body is read; past it the connection is closed."""
_NEVER_ROUND: Final = 1e9


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long one attempt may take, in seconds.

    `connect` bounds everything up to a ready connection (name, TCP, TLS); `read` the time
    from sending the request to the last byte of its answer.
    """

    connect: float = 10.0
    read: float = 30.0

    def __attrs_post_init__(self) -> None:
        for name, value in (("connect", self.connect), ("read", self.read)):
            if not value > 0:
                raise ConfigurationError(
                    f"Timeouts.{name} is {value!r}; it must be above 0 seconds"
                )


class Transport(Protocol):
    """One exchange with the server."""

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and give its answer, within `left` seconds."""

    def close(self) -> None:
        """Let go of what the session's closing does not end."""


class SessionTransport:
    """The way through `ClientSession.request`, with aiohttp's own re-sending switched off."""

    def __init__(self, session: aiohttp.ClientSession, wire: Wire, ssl: Any) -> None:
        self._session = session
        self._origin = wire.origin
        self._headers = wire.headers
        self._ssl = ssl
        self._middlewares = (_never_again, *session._middlewares)  # noqa: SLF001 - a request's replace the session's, and the session must not change

    def close(self) -> None:
        """Do nothing: the session is closed by its owner."""

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and give its answer, within `left` seconds."""
        headers = self._headers
        if message.body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        reply: Reply | None = None
        if self._session.closed:
            return not_sent(TransportError("the session is closed"), "Closed", retries=0)
        try:
            response = await self._session.request(
                message.method,
                URL(f"{self._origin}{message.target}", encoded=True),
                data=message.body,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=True,
                ssl=self._ssl,
                timeout=client_timeout(
                    min(timeouts.connect, left), min(timeouts.connect + timeouts.read, left)
                ),
                middlewares=self._middlewares,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            failure = connect_failure(error, min(timeouts.connect, left))
        except TimeoutError:
            failure = maybe("no answer in time", "ReadTimeout", timed_out=True)
        except Exception as error:  # noqa: BLE001 - a session does not tell how far it came
            failure = maybe("the answer was lost", type(error).__name__)
        else:
            if response.status < 200:
                response.close()
                return maybe("the server sent no final answer", "NoFinalAnswer")
            try:
                body, cut, late = await read_body(response.content, response.status, max_bytes)
                reply = Reply(response.status, response.headers, body, cut, late)
            finally:
                if reply is None or reply.cut:
                    response.close()
                else:
                    response.release()
            return reply
        return failure


async def read_body(
    payload: aiohttp.StreamReader, status: int, max_bytes: int
) -> tuple[bytes, str, bool]:
    """Read a body up to its cap.

    Give it with the reason why it is not whole, if it is not, and whether time ran out.
    """
    if not 200 <= status < 300:
        max_bytes = min(max_bytes, ERROR_BODY_BYTES)
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await payload.readany():
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                whole = b"".join(chunks)
                return whole[:max_bytes], f"the answer is larger than {max_bytes} bytes", False
    except TimeoutError:
        return b"".join(chunks), "the answer did not end in time", True
    except Exception as error:  # noqa: BLE001 - a head arrived; whatever ends the body ends it alone
        reason = f"the answer's body was lost ({type(error).__name__})"
        return b"".join(chunks), reason, False
    return b"".join(chunks), "", False


class _Lost(Exception):  # noqa: N818 - it names what became of the request
    """Stands for the errors upon which aiohttp would send a request again."""


async def _never_again(
    request: ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Turn what aiohttp would answer with a second request into an error that it lets pass.

    It re-sends GET, PUT and DELETE once after a lost connection, even one that had taken the
    whole request. No cookie goes out either, whatever the session's jar has collected.
    """
    request.headers.pop("Cookie", None)
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        kind = type(error).__name__
    raise _Lost(kind)


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
        return not_sent(HostDownError("the host's name could not be resolved"), kind)
    if isinstance(error, TimeoutError):
        reason = f"no connection within {seconds:.3g} s"
        return not_sent(HostDownError(reason), kind, timed_out=True)
    reason = getattr(error, "strerror", None) or kind
    return not_sent(HostDownError(f"no connection could be made: {reason}"), kind)
