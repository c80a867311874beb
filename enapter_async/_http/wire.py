"""Conversion between values and bytes, without I/O.

`Wire.message` converts an operation to a request; `Wire.read` converts an answer to the
operation's value, or to a `Failure` that states how certain it is that nothing was done.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from string import ascii_letters, digits
from typing import Any, Final, TypeVar
from urllib.parse import quote

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from enapter_async._http.dates import parse_retry_after
from enapter_async._http.envelope import unwrap
from enapter_async._http.evidence import certainty_of, confirmed_by, is_final, told_by_cache
from enapter_async._http.json_text import decode
from enapter_async._http.masking import Mask
from enapter_async._http.media import (
    CONTENT_TYPE,
    encoded,
    is_of_media,
    media_type_of,
    special_message,
    unended,
)
from enapter_async._http.message import Failure, Message, OpenedReply, Reply
from enapter_async.concealment import RawAnswer
from enapter_async.converter import StructureError
from enapter_async.errors import (
    CachedAnswerError,
    Certainty,
    ConfigurationError,
    EnapterError,
    ErrorDetail,
    NotFoundError,
    ResponseError,
    ResponseMismatchError,
    ResponseTooLargeError,
    api_error_type,
)
from enapter_async.operation import Answer, Operation, described
from enapter_async.payload import Payload
from enapter_async.text import UNSAFE, plain

T = TypeVar("T")
E = TypeVar("E", bound=EnapterError)

ERROR_BODY_BYTES: Final = 64 * 1024
"""The maximum size of an error's body that is read; if it is larger, the connection is closed."""
EXCERPT_LENGTH: Final = 4096
FRESH: Final = {"Cache-Control": "no-cache", "Pragma": "no-cache"}
"""The headers that request the server's own answer; Pragma is for caches of HTTP/1.0."""
TOKEN: Final = "X-Enapter-Auth-Token"  # noqa: S105 - the name of its header
_BELIEVED: Final = frozenset((*range(200, 300), 404))
"""The statuses of answers that report a state."""

_PLAIN: Final = f"{ascii_letters}{digits}_-".encode()
"""The characters of a segment that need no escaping, as almost every segment has only those."""
_JSON_TYPES: Final = frozenset(("application/json", "text/json"))
_HTML_TYPES: Final = frozenset(("text/html", "application/xhtml+xml"))


class Wire:
    """The protocol of one client: base path, headers, and how answers are read."""

    middlewares: tuple[Any, ...] = ()
    """The middlewares that a session must apply to each request, in aiohttp's form."""

    def __init__(
        self,
        base_url: URL,
        headers: Mapping[str, str],
        *,
        secret: str | None,
        wall: Callable[[], float],
    ) -> None:
        self.base_url = base_url
        self.origin = base_url.origin()
        self.headers = dict(headers)
        self._prefix = base_url.raw_path.rstrip("/") + "/v3/"
        self._mask = Mask(secret)
        self._wall = wall
        self.renewals = 0
        """How often the token has been replaced."""
        host = base_url.raw_host or ""
        host = f"[{host}]" if ":" in host else host
        port = "" if base_url.is_default_port() else f":{base_url.port}"
        self.host = host + port
        self._write_heads()

    def renew(self, token: str) -> None:
        """Send another token from now on; the latest earlier ones stay masked in answers."""
        self.headers[TOKEN] = token
        self._mask = self._mask.extended(token)
        self.renewals += 1
        self._write_heads()

    def _write_heads(self) -> None:
        lines = {"Host": self.host, **self.headers}
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._end_of_head = f" HTTP/1.1\r\n{fields}"
        fresh = "".join(f"{name}: {value}\r\n" for name, value in FRESH.items())
        self._end_of_fresh_head = f"{self._end_of_head}{fresh}"
        self._end_with_body = (
            f"{self._end_of_head}Content-Type: application/json\r\nContent-Length: "
        )

    def message(self, operation: Operation[Any], *, fresh: bool = False) -> Message:
        """Return an operation as a request, with each path segment escaped separately."""
        parts = operation.request()
        path: Iterable[str] = parts.path
        if "" in parts.path or "".join(parts.path).encode().translate(None, _PLAIN):
            path = map(_segment, parts.path)
        target = self._prefix + "/".join(path)
        if parts.query:
            pairs = (
                f"{quote(name, safe='.')}={quote(value, safe=',')}" for name, value in parts.query
            )
            target += "?" + "&".join(pairs)
        body = parts.body
        if operation.answer.decode is not None or isinstance(body, Payload):
            return special_message(operation, parts.method, target, body, fresh=fresh)
        data = None if body is None else encoded(operation, body)
        # A quarter of the time that the class's own `__new__` takes.
        return tuple.__new__(Message, (parts.method, target, data, fresh, None))

    def serialize(self, message: Message) -> bytes:
        """Return the bytes of a request for HTTP/1.1."""
        if message.headers is not None:
            return self._serialize_special(message)
        start, body = f"{message.method} {message.target}", message.body
        if body is None:
            end = self._end_of_fresh_head if message.fresh else self._end_of_head
            return f"{start}{end}\r\n".encode("latin-1")
        return f"{start}{self._end_with_body}{len(body)}\r\n\r\n".encode("latin-1") + body

    def _serialize_special(self, message: Message) -> bytes:
        """Return the bytes of a request with headers of its own."""
        lines = {"Host": self.host, **self.headers_of(message)}
        body = message.body or b""
        if message.body is not None:
            lines["Content-Length"] = str(len(body))
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        head = f"{message.method} {message.target} HTTP/1.1\r\n{fields}\r\n"
        return head.encode("latin-1") + body

    def headers_of(self, message: Message) -> dict[str, str]:
        """Return the headers of a request, with those of its own in place of the client's."""
        fresh = FRESH if message.fresh else {}
        return {**self.headers, **fresh, **(message.headers or {})}

    def request_id(self, reply: Reply) -> str | None:
        """Return the server's identifier of the request that was answered, if it sent one."""
        found: str | None = self._mask.value(reply.headers.get("X-Request-Id"))
        return found

    def masked_headers(self, reply: Reply) -> CIMultiDictProxy[str]:
        """Return the headers of an answer with the token removed."""
        pairs = [(name, self._mask.text(value)) for name, value in reply.headers.items()]
        return CIMultiDictProxy(CIMultiDict(pairs))

    def read(self, operation: Operation[T], reply: Reply, *, fresh: bool = False) -> T | Failure:  # noqa: PLR0911 - one for each form of answer
        """Return the operation's value from an answer, or the failure.

        With `fresh`, an answer that came from a cache is a failure.
        """
        if fresh and reply.status in _BELIEVED and (told := told_by_cache(reply.headers)):
            return _cached(reply, told)
        if not 200 <= reply.status < 300:
            return self._refused(operation, reply)
        answer: Answer[T] = operation.answer
        if answer.decode is not None:
            return _decoded(operation, reply)
        labelled = reply.headers.get(CONTENT_TYPE) == "application/json" or _may_be_json(reply)
        if not labelled and not _looks_like_json(reply):
            reason = "something other than the API answered"
            return _unusable(operation, reply, reason, Certainty.MAYBE)
        if answer.confirms:
            return self._confirmed(operation, reply)
        if answer.key is None and labelled:
            return operation.result_of(None)
        try:
            result = unwrap(operation, reply.body, reply.cut)
        except StructureError as error:
            reason, path = error.reason, error.path
        else:
            return result if operation.accepts(result) else _mismatch(operation, reply)
        certainty = Certainty.APPLIED if labelled else Certainty.MAYBE
        return _unusable(operation, reply, reason, certainty, path=path)

    def _confirmed(self, operation: Operation[T], reply: Reply) -> T | Failure:
        """Return None if an operation without a result is confirmed, else an uncertain failure."""
        answer, body = operation.answer, None
        if reply.status == 200 and not reply.cut:
            with contextlib.suppress(ValueError, RecursionError):
                body = decode(reply.body)
        if confirmed_by(reply.status, body, answer.key):
            if not body or reply.status == 204:
                return operation.result_of(None)
            with contextlib.suppress(StructureError):
                about = operation.accepts(unwrap(operation, reply.body, reply.cut))
                return operation.result_of(None) if about else _mismatch(operation, reply)
        return Failure(
            certainty=Certainty.MAYBE,
            error=ResponseError(f"HTTP {reply.status}, which does not confirm that it was done"),
            kind="Unconfirmed",
            retries=0,
            status=reply.status,
            timed_out=reply.late,
            unconfirmed=True,
        )

    def _refused(self, operation: Operation[Any], reply: Reply) -> Failure:
        status, headers = reply.status, reply.headers
        errors = self._error_details(reply.body)
        retry_after = None
        if status in (429, 503):
            retry_after = parse_retry_after(
                headers.getall("Retry-After", ()), headers.get("Date"), self._wall()
            )
        excerpt = ""
        if not errors and not (operation.answer.secret or operation.answer.concealed):
            # Masked before it is cut, because the cut may split the token.
            excerpt = self._mask.text(reply.body.decode("utf-8", "replace"))[:EXCERPT_LENGTH]
        cut = bool(reply.cut) and reply.cut != larger_than(ERROR_BODY_BYTES) and not errors
        error = api_error_type(status)(
            _say(status, errors) + (", and the response was cut off" if cut else ""),
            status=status,
            errors=errors,
            request_id=self.request_id(reply),
            retry_after=retry_after,
            excerpt=excerpt,
            from_api=bool(errors),
        )
        self.named(error, operation)
        if isinstance(error, NotFoundError):
            error.noun = operation.target().noun
        return Failure(
            certainty=certainty_of(status, dated=bool(errors) and retry_after is not None),
            error=error,
            kind=type(error).__name__,
            retries=int(cut and not reply.late) if is_final(status) else None,
            status=status,
            retry_after=retry_after,
            from_api=bool(errors),
            cut=cut,
        )

    def named(self, error: E, operation: Operation[Any]) -> E:
        """Return an error that names the operation and the server, also in its traceback."""
        if not error.operation:
            error.operation, error.host = described(operation), self.host
            request_id = getattr(error, "request_id", None)
            request = "" if request_id is None else f", request {request_id}"
            error.add_note(plain(f"{error.operation}, at {error.host}{request}"))
        return error

    def _error_details(self, body: bytes) -> tuple[ErrorDetail, ...]:
        """Return the entries of the error envelope, or () if the body is not one."""
        try:
            data = self._mask.value(decode(body))
        except (ValueError, RecursionError):
            return ()
        entries = data.get("errors") if isinstance(data, dict) else None
        if not isinstance(entries, list):
            return ()
        return tuple(_error_detail(entry) for entry in entries if isinstance(entry, dict))


def _cached(reply: Reply, told: str) -> Failure:
    return Failure(
        certainty=Certainty.MAYBE,
        error=CachedAnswerError(f"a cache answered ({printable(told, 80)}), not the API"),
        kind="CachedAnswerError",
        retries=1,
        status=reply.status,
    )


def printable(text: str, limit: int = 200) -> str:
    """Return a server's text as one short line without control characters, for use in a message."""
    line = re.sub(f"{UNSAFE}+", " ", text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _decoded(operation: Operation[T], reply: Reply) -> T | Failure:
    """Return the value of an answer that is not JSON, or the failure."""
    if isinstance(reply, OpenedReply):
        return reply.body  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # a stream
    answer: Answer[T] = operation.answer
    certainty, reason = Certainty.MAYBE, "something other than the API answered"
    if answer.decode is not None and is_of_media(answer.media, reply.headers):
        certainty, reason = Certainty.APPLIED, reply.cut or unended(reply.headers)
        if not reason:
            try:
                return answer.decode(reply)
            except ValueError as error:
                reason = str(error)
    return _unusable(operation, reply, reason, certainty)


def _segment(text: str) -> str:
    if text in ("", ".", ".."):
        raise ConfigurationError(f"{text!r} cannot be part of an address")
    return quote(text, safe="")


def _may_be_json(reply: Reply) -> bool:
    """Return whether the content type allows this to be the API's answer."""
    media_type = media_type_of(reply.headers)
    if media_type and reply.status != 204:
        json_by_name = media_type in _JSON_TYPES or media_type.endswith("+json")
        return json_by_name or not (reply.body or reply.cut or _is_html(reply))
    return not reply.body or reply.body.lstrip()[:1] in (b"{", b"[")


def _looks_like_json(reply: Reply) -> bool:
    """Return whether the body looks like JSON despite its content type, as from Go servers."""
    return not _is_html(reply) and reply.body.lstrip()[:1] == b"{"


def _is_html(reply: Reply) -> bool:
    return media_type_of(reply.headers) in _HTML_TYPES


def _mismatch(operation: Operation[Any], reply: Reply) -> Failure:
    return Failure(
        certainty=Certainty.MAYBE,
        error=ResponseMismatchError(f"the response is about another {operation.target().word}"),
        kind="ResponseMismatchError",
        status=reply.status,
        answer=_kept(operation, reply),
    )


def larger_than(max_bytes: int) -> str:
    """Return the reason for cutting a body that is too large."""
    return f"the response is larger than {max_bytes} bytes"


def _unusable(
    operation: Operation[Any],
    reply: Reply,
    reason: str,
    certainty: Certainty,
    *,
    path: str = "",
) -> Failure:
    if path:
        reason = f"{path} {reason}" if reason.startswith("is ") else f"{path}: {reason}"
    kept = _kept(operation, reply)
    too_large = reply.cut == larger_than(operation.max_bytes())
    error_type = ResponseTooLargeError if too_large else ResponseError
    return Failure(
        certainty=certainty,
        error=error_type(f"HTTP {reply.status}, but {reason}", path=path),
        kind=error_type.__name__,
        # Asked again, the server would answer in the same way, and create new secrets.
        retries=0 if too_large or (kept is not None and not reply.cut) else None,
        status=reply.status,
        timed_out=reply.late,
        answer=kept,
    )


def _kept(operation: Operation[Any], reply: Reply) -> RawAnswer | None:
    """Return the received body if it may hold a secret that exists nowhere else."""
    if not operation.answer.secret or not reply.body:
        return None
    page = _is_html(reply) and not reply.body.lstrip().startswith(b"{")
    return None if page else RawAnswer(reply.body)


def _error_detail(entry: Mapping[str, Any]) -> ErrorDetail:
    code, message, details = entry.get("code"), entry.get("message"), entry.get("details")
    return ErrorDetail(
        code=code if isinstance(code, str) else None,
        message=message if isinstance(message, str) else None,
        details=details if isinstance(details, dict) else None,
    )


def _say(status: int, errors: tuple[ErrorDetail, ...]) -> str:
    try:
        said = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"HTTP {status}"
    for detail in errors[:1]:
        code = f" ({printable(detail.code, 80)})" if detail.code else ""
        said += f": {printable(detail.message or 'no message')}{code}"
    if len(errors) > 1:
        said += f", and {len(errors) - 1} more"
    return said
