"""What one exchange is, and how certain its failure is.

A transport answers with a `Reply`, or with a `Failure` of class NOT_SENT or MAYBE. It raises
nothing but cancellation: aiohttp's exceptions hold request headers, so none gets out of here.

`direct.DirectTransport` is the default; `session.SessionTransport` serves a caller's own
session, and an aiohttp that `direct.probe` does not know.
"""

from typing import Any, Final, Protocol

import aiohttp
import attrs
from aiohttp.http_parser import HttpResponseParser

from enapter_async._http.wire import Failure, Message, Reply, larger_than
from enapter_async.errors import (
    Certainty,
    HostDownError,
    TLSError,
    TransportError,
    check_number,
)

ERROR_BODY_BYTES: Final = 64 * 1024
"""How much of an error's body is read; past it the connection is closed."""
SWEEP_SECONDS: Final = 0.05
"""How often late exchanges are looked for, and how long one is spared after a standstill."""
LARGEST_FIELD: Final = 64 * 1024
"""How many bytes one header of an answer may have: the types of some 7,000 columns of a
time series come in one. A head has 128 headers at most, as aiohttp bounds it."""
LAX_PARSER: Final = HttpResponseParser.__module__ == "aiohttp.http_parser"
"""Whether aiohttp parses in Python: that parser takes the first of two lengths, and the one in
C refuses them."""
_NEVER_ROUND: Final = 1e9


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
        """Send one request once and return its answer, within `left` seconds."""
        ...

    async def reach(self, seconds: float) -> Failure | None:
        """Make a connection by the way that requests take, send nothing, and end it."""

    def distrust(self) -> None:
        """Take note that an answer was another call's: the next on its connection would be, too."""

    def close(self) -> None:
        """Let go of what the session's closing does not end."""


def torn(headers: Any) -> bool:
    """Return whether an answer with these headers has two lengths, so that none is to be believed.

    Where the answer would end, the next one on the connection would begin: in another's body.
    """
    return LAX_PARSER and len(headers.getall("Content-Length", ())) > 1


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
    cap = _cap(status, max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await payload.readany():
            chunks.append(chunk)
            size += len(chunk)
            if size > cap:
                cut = larger_than(cap)
                return _beginning(chunks, ERROR_BODY_BYTES), cut, False
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
    return max_bytes if 200 <= status < 300 else ERROR_BODY_BYTES


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


def connect_failure(error: BaseException, seconds: float, host: str) -> Failure:
    """Say why no connection could be made, in our own words and without aiohttp's objects."""
    kind = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "verification failed"
        refused = TLSError(f"the certificate of {host} is refused: {reason.rstrip('.')}")
        return not_sent(refused, kind, retries=0)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return not_sent(
            TLSError(f"no TLS connection to {host} could be agreed on"), kind, retries=2
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        # Asked three times, a name that does not exist will not begin to. It may be a proxy's.
        unknown = HostDownError(f"the name {error.host} could not be resolved")
        return not_sent(unknown, kind, retries=2)
    if isinstance(error, TimeoutError):
        reason = f"no connection to {host} within {seconds:.3g} s"
        return not_sent(HostDownError(reason), kind, timed_out=True)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        host = f"the proxy {error.host}:{error.port}"
    reason = getattr(error, "strerror", None) or kind
    return not_sent(HostDownError(f"no connection to {host} could be made: {reason}"), kind)
