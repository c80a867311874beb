"""Every error that the package raises.

::

    EnapterError
    ├── ConfigurationError (also ValueError)   the call was invalid; nothing was sent
    │   └── ArgumentError                      an operation's argument was invalid
    ├── APIError                               the API refused; nothing was done
    │   ├── RedirectError                3xx
    │   ├── BadRequestError              400
    │   ├── AuthenticationError          401
    │   ├── PermissionDeniedError        403
    │   ├── NotFoundError                404
    │   ├── ConflictError                409
    │   ├── UnprocessableError           422
    │   ├── RateLimitedError             429
    │   └── ServerError                  5xx
    ├── TransportError                         no answer arrived; a write was not sent
    │   ├── TLSError
    │   ├── ProxyError
    │   └── HostDownError
    ├── DeadlineExceededError                  out of time; a write was not done
    ├── ResponseError                          the answer to a read cannot be used
    │   ├── CachedAnswerError
    │   ├── ResponseMismatchError
    │   ├── ResponseTooLargeError
    │   └── StreamBrokenError
    ├── ResultDiffersError                     a write was done, with a different result
    ├── StillPendingError                      it was accepted, and has not ended yet
    └── AmbiguousOutcomeError                  a write may or may not have been done
        └── ResultLostError                    it was done, but its answer is lost

Ambiguous errors have a separate branch. A caller's `except TransportError: retry` can therefore
never repeat an operation that may have been done.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from enapter_async.concealment import RawAnswer
from enapter_async.text import plain


class Certainty(enum.Enum):
    """What is known about an attempt that returned no usable answer."""

    NOT_SENT = "not sent"
    """No byte of the request can have reached a server application."""
    REFUSED = "refused"
    """A well-formed answer states that the operation was not done."""
    MAYBE = "maybe"
    """The request may have been received; there is no trustworthy final answer."""
    APPLIED = "applied"
    """A 2xx status arrived, and its body is lost or cannot be used."""

    @property
    def uncertain(self) -> bool:
        """Whether the attempt may have changed something."""
        return self is Certainty.MAYBE or self is Certainty.APPLIED


@attrs.frozen(kw_only=True)
class Attempt:
    """One failed attempt of a call, without headers and bodies.

    `number` counts from 1. `elapsed` and `retry_after` are seconds. `status` is the HTTP status, if
    one arrived, and `error_type` is the name of the error.
    """

    number: int
    certainty: Certainty
    error_type: str
    elapsed: float
    status: int | None = None
    retry_after: float | None = None


@attrs.frozen(kw_only=True)
class ErrorDetail:
    """One entry of the API's error envelope `{"errors": [{code, message, details}]}`."""

    code: str | None = None
    message: str | None = None
    details: Mapping[str, Any] | None = None


class EnapterError(Exception):
    """The base class of all errors raised by this package.

    `attempts` lists the failed attempts of the call, oldest first; it is empty if nothing was
    attempted. If the error ended a call, `operation` names the operation and its target, and `host`
    the server; a traceback shows both.
    """

    operation: str = ""
    host: str = ""

    def __init__(self, message: str, *, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message)
        self.attempts = attempts

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(
    kind: type[EnapterError], args: tuple[Any, ...], state: dict[str, Any]
) -> EnapterError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(EnapterError, ValueError):
    """An argument, a setting or a file is wrong; nothing was sent."""


class ArgumentError(ConfigurationError):
    """An argument of an operation is wrong, such as an id with a slash; nothing was sent.

    It is a separate class because in a backend its usual cause is a request, not a setting.
    """


def check_number(name: str, value: object, *, least: float = 0.0, above: bool = False) -> None:
    """Raise if a setting is not a finite number of at least `least`, or above `above`."""
    good = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (value > least if above else value >= least)
    )
    if not good:
        bound = f"above {least:g}" if above else f"of at least {least:g}"
        raise ConfigurationError(f"{name} is {value!r}; it must be a number {bound}")


class APIError(EnapterError):
    """The API refused the call and reports that nothing was done.

    `status` is the HTTP status. `errors` holds the entries of the error envelope. If there was no
    envelope, `errors` is empty and `excerpt` holds the first 4 KiB of the body as text, unless the
    operation's answer is secret. `request_id` is the server's identifier of the request, and
    `retry_after` the requested wait in seconds, if the server sent them. `from_api` is True if the
    answer has the API's own form and is not, for example, a proxy's page. Source: API page,
    "Errors".
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        errors: tuple[ErrorDetail, ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        excerpt: str = "",
        from_api: bool = False,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.from_api = from_api
        self.status = status
        self.errors = errors
        self.request_id = request_id
        self.retry_after = retry_after
        self.excerpt = excerpt


class RedirectError(APIError):
    """The server answered with a redirect, which is never followed: check `base_url`."""


class BadRequestError(APIError):
    """400: the request could not be parsed or was not valid."""


class AuthenticationError(APIError):
    """401: there is no token, or it is not accepted."""


class PermissionDeniedError(APIError):
    """403: the token's role is too low, or the token is invalid or expired."""


class NotFoundError(APIError):
    """404: the device, or other object that was addressed, does not exist.

    `proven` is True if that is certain: the answer has the API's own form, and an API is known to
    answer at this base URL. (A wrong base URL returns a 404 too.) Jobs, plans and settling reads
    check this; for a single call that was simply refused, `proven` stays False. After a deletion
    it means only that the object does not exist now: a proxy may have delivered the deletion twice.
    `noun` names the kind of object that was addressed, such as "device".
    """

    noun: str = ""
    proven: bool = False


class ConflictError(APIError):
    """409: the request conflicts with another object, such as one that already has the slug."""


class UnprocessableError(APIError):
    """422: the request was understood but cannot be carried out."""


class RateLimitedError(APIError):
    """429: too many requests, and the server requests a longer wait than the call allows.

    With `RetryPolicy(attempts=1)` it is raised at the first refusal.
    """


class ServerError(APIError):
    """5xx: the server failed. A write raises this only if it was certainly not done."""


class TransportError(EnapterError):
    """No answer arrived.

    `sent` is False if no byte of the request can have reached the API, which is always the
    case for a write. A read whose answer was lost has `sent=True`.
    """

    def __init__(
        self, message: str, *, sent: bool = False, attempts: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.sent = sent


class TLSError(TransportError):
    """The TLS connection could not be established; a bad certificate is never retried."""


class ProxyError(TransportError):
    """The proxy of the caller's session refused to connect to the host; never retried.

    `status` is the proxy's answer, such as 407 if it requires credentials.
    """

    def __init__(
        self, message: str, *, status: int | None = None, attempts: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.status = status


class HostDownError(TransportError):
    """No connection to the host: name unknown, refused, unreachable, or too slow."""


class DeadlineExceededError(EnapterError):
    """The call's deadline passed; if it was a write, it was not done."""


class ResponseError(EnapterError):
    """The answer to a read cannot be used.

    `path` is the place in the answer, such as `device.updated_at`, or empty.
    """

    def __init__(self, message: str, *, path: str = "", attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message, attempts=attempts)
        self.path = path


class CachedAnswerError(ResponseError):
    """A cache answered a read that decides something and must therefore come from the server."""


class ResponseMismatchError(ResponseError):
    """The answer is about a different object than the requested one."""


class ResponseTooLargeError(ResponseError):
    """The answer is larger than the operation allows; see `Operation.max_bytes`."""


class StreamBrokenError(ResponseError):
    """A streamed answer, such as a time series, broke after its first items were yielded.

    `after` is the time of the last one, from which the stream can be resumed.
    """

    def __init__(
        self, message: str, *, after: datetime | None = None, attempts: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.after = after


class _AcceptedError(EnapterError):
    """An error about an operation that the API accepted; `result` is not pickled."""

    def __init__(
        self,
        message: str,
        *,
        result: Any = None,
        noun: str = "",
        subject: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.result = result
        self.noun = noun
        self.subject = subject

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, {**self.__dict__, "result": None})


class ResultDiffersError(_AcceptedError):
    """The operation was done, but not as requested; for example, the server trimmed a name.

    It is never repeated automatically, because the result would be the same. `result` is the
    value the API returned, including secrets; it is not pickled. In a job it is None, and
    `Outcome.result` has the value. `noun` and `subject` name the object that was written to.
    """


class StillPendingError(_AcceptedError):
    """The API accepted the operation, but it did not end in the given time.

    For example, a command that its device has not answered yet. Do not send it again: read its
    outcome later. `result` is the last value that was read, and None in a job; `noun` and `subject`
    name the object that was written to.
    """


class AmbiguousOutcomeError(EnapterError):
    """The operation may or may not have been done; check before repeating it.

    `noun` and `subject` name its target, such as "device" and an id; `hint` explains how to
    check; `request_id` is the server's identifier of the last request, if it sent one.
    If the operation has a search, `candidates` holds the objects found that it may have created.
    `answer` is set if the server's answer could not be read and may hold a result that exists
    nowhere else, such as new credentials; `answer.reveal()` returns its bytes.
    """

    def __init__(
        self,
        message: str,
        *,
        noun: str = "",
        subject: str | None = None,
        hint: str = "",
        request_id: str | None = None,
        candidates: Sequence[Any] = (),
        answer: RawAnswer | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.noun = noun
        self.subject = subject
        self.hint = hint
        self.request_id = request_id
        self.candidates = tuple(candidates)
        self.answer = answer


class ResultLostError(AmbiguousOutcomeError):
    """The API reports the operation as done, but its answer is lost or cannot be used."""


_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableError,
    429: RateLimitedError,
}


def api_error_type(status: int) -> type[APIError]:
    """Return the error class for a status; `APIError` itself if none is more specific."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return RedirectError
    return ServerError if 500 <= status < 600 else APIError


def reason_of(error: EnapterError) -> str:
    """Return the message of an error as one safe line, with the API's error codes."""
    codes = [detail.code for detail in getattr(error, "errors", ()) if detail.code]
    text = plain(error)
    missing = [plain(code) for code in codes if code not in text]
    return f"{text} ({', '.join(missing)})" if missing else text
