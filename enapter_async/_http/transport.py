"""The interface of a transport, and the certainty of its failures.

A transport returns a `Reply`, or a `Failure` that is NOT_SENT or MAYBE. It raises only
cancellation: aiohttp's exceptions hold request headers, so none may leave it.

`direct.DirectTransport` is the default; `session.SessionTransport` serves a caller's own
session, and an aiohttp that `direct.probe` does not recognize.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import aiohttp
import attrs
from aiohttp.http_parser import HttpResponseParser
from multidict import istr

from enapter_async._http.message import Failure, Message, Reply
from enapter_async._http.wire import ERROR_BODY_BYTES, larger_than
from enapter_async.errors import (
    Certainty,
    HostDownError,
    TLSError,
    TransportError,
    check_number,
)

LARGEST_FIELD: Final = 64 * 1024
"""The maximum size of one header of an answer, in bytes. One header contains the types of all
columns of a time series, about 7,000 at this size. aiohttp allows at most 128 headers.
"""
LAX_PARSER: Final = HttpResponseParser.__module__ == "aiohttp.http_parser"
"""Whether aiohttp uses its Python parser, which accepts the first of two lengths; its C parser
refuses them."""
WITHOUT_BODY: Final = frozenset((204, 304))
_LENGTH: Final = istr("Content-Length")
_NEVER_ROUND: Final = 1e9


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long one attempt may take, in seconds.

    `connect` limits the time until the connection is ready (name, TCP, TLS); `read` limits the time
    from sending the request to the last byte of its answer. With your own session, their sum is one
    limit, because a session does not report when it started to send.
    """

    connect: float = 10.0
    read: float = 30.0

    def __attrs_post_init__(self) -> None:
        check_number("Timeouts.connect", self.connect, above=True)
        check_number("Timeouts.read", self.read, above=True)

    def longer(self, wait: float) -> "Timeouts":
        """Return the same limits, with this many more seconds for the answer."""
        return attrs.evolve(self, read=self.read + wait)


class Transport(Protocol):
    """One exchange with the server."""

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request once and return its answer, within `left` seconds."""
        ...

    async def reach(self, seconds: float) -> Failure | None:
        """Connect as requests do, send nothing, and close the connection."""

    def take_headers(self) -> None:
        """Use the wire's headers as they are now, after its token was replaced."""

    def distrust(self) -> None:
        """Stop using the last connection, because its answers no longer match its requests."""

    def close(self) -> None:
        """Release the resources that closing the session does not release."""


def torn(headers: Any) -> bool:
    """Return whether an answer has two lengths, so that neither can be trusted.

    With the wrong length, the next answer on the connection would start inside this one's body.
    """
    return LAX_PARSER and len(headers.getall("Content-Length", ())) > 1


def announces_body(status: int, headers: Any) -> bool:
    """Return whether an answer announces a body that its status rules out.

    It is read as if it had none, but the server may still send it, before its next answer.
    """
    if status not in WITHOUT_BODY:
        return False
    return headers.get(_LENGTH, "0") != "0" or "Transfer-Encoding" in headers


def is_sending(link: asyncio.WriteTransport) -> bool:
    """Return whether a part of a request was written to a connection but not sent yet.

    Closing such a connection would only take effect once the server has read that part.
    """
    try:
        return link.get_write_buffer_size() > 0
    except AttributeError:  # asyncio's TLS transport forgets its connection once it is closed
        return False


def unread(sock: socket.socket) -> Callable[[], object]:
    """Return a fast function; its result is true if the socket has unread bytes or was closed."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select([sock], [], [], 0)[0]


def read_at_once(
    payload: aiohttp.StreamReader, status: int, max_bytes: int
) -> tuple[bytes, str, bool] | None:
    """Return the result of `read_body` if the whole body has arrived and fits, else None."""
    if not payload.is_eof() or payload.exception() is not None:
        return None
    if payload.total_bytes > (max_bytes if 200 <= status < 300 else ERROR_BODY_BYTES):
        return None
    return payload.read_nowait(), "", False


async def read_body(
    payload: aiohttp.StreamReader, status: int, max_bytes: int
) -> tuple[bytes, str, bool]:
    """Read a body up to its cap.

    Return the body, the reason why it is incomplete (if it is), and whether time ran out.
    """
    cap = max_bytes if 200 <= status < 300 else ERROR_BODY_BYTES
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
        return b"".join(chunks), "the response did not end in time", True
    except Exception as error:  # noqa: BLE001 - the head arrived, so any error affects only the body
        reason = f"the response's body was lost ({type(error).__name__})"
        return b"".join(chunks), reason, False
    return b"".join(chunks), "", False


def _beginning(chunks: list[bytes], size: int) -> bytes:
    """Return the first `size` bytes without copying everything twice."""
    begun = bytearray()
    for chunk in chunks:
        begun += chunk
        if len(begun) >= size:
            break
    return bytes(begun[:size])


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
    """Return the failure of a connection, without any of aiohttp's objects."""
    kind = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "verification failed"
        refused = TLSError(f"the certificate of {host} was refused: {reason.rstrip('.')}")
        return not_sent(refused, kind, retries=0)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        code = getattr(error.os_error, "reason", None) or type(error.os_error).__name__
        reason = code.replace("_", " ").lower()
        if code == "WRONG_VERSION_NUMBER":
            reason += "; the server there may not speak TLS"
        broken = TLSError(f"no TLS connection to {host} could be established: {reason}")
        return not_sent(broken, kind, retries=2)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        # After three failed lookups, more do not help. The name may be a proxy's.
        unknown = HostDownError(f"the name {error.host} could not be resolved")
        return not_sent(unknown, kind, retries=2)
    if isinstance(error, TimeoutError):
        reason = f"no connection to {host} within {seconds:.3g} s"
        return not_sent(HostDownError(reason), kind, timed_out=True)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        host = f"the proxy {error.host}:{error.port}"
    reason = getattr(error, "strerror", None) or kind
    return not_sent(HostDownError(f"no connection to {host} could be made: {reason}"), kind)
