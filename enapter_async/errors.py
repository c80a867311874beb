"""Every error that the package raises.

::

    EnapterError
    ├── ConfigurationError (also ValueError)   the call was wrong before anything was sent
    │   └── ArgumentError                      an operation's own argument was
    ├── APIError                               the API answered "no", and nothing was done
    │   ├── RedirectError                3xx
    │   ├── BadRequestError              400
    │   ├── AuthenticationError          401
    │   ├── PermissionDeniedError        403
    │   ├── NotFoundError                404
    │   ├── ConflictError                409
    │   ├── UnprocessableError           422
    │   ├── RateLimitedError             429
    │   └── ServerError                  5xx
    ├── TransportError                         no answer; a write was not sent
    │   ├── TLSError
    │   ├── ProxyError
    │   └── HostDownError
    ├── DeadlineExceededError                  out of time; a write was not done
    ├── ResponseError                          a read's answer cannot be used
    │   ├── ResponseMismatchError
    │   └── ResponseTooLargeError
    ├── ResultDiffersError                     a write that was done, and not as asked
    └── AmbiguousOutcomeError                  a write that may or may not have happened
        └── ResultLostError                    it happened, and its answer is lost

An ambiguous error is on a branch of its own, so that `except TransportError: retry`
in a caller's code can never repeat an operation that may have been done.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self, final

import attrs


class Certainty(enum.Enum):
    """What is known of one attempt that brought no usable answer."""

    NOT_SENT = "not sent"
    """No byte of the request can have reached a server application."""
    REFUSED = "refused"
    """A well-formed answer says that it was not done."""
    MAYBE = "maybe"
    """The request may have been received; there is no trustworthy final answer."""
    APPLIED = "applied"
    """A 2xx status arrived, and its body is lost or cannot be used."""

    @property
    def uncertain(self) -> bool:
        """Whether the attempt may have changed something."""
        return self is Certainty.MAYBE or self is Certainty.APPLIED


@final
class RawAnswer:
    """The bytes of an answer that may hold secrets and could not be read.

    `reveal` returns them. They show in no `repr`, text or log, and a pickle leaves them behind.
    """

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def reveal(self) -> bytes:
        """Return the body of the answer, as the server sent it."""
        return self._body

    def __repr__(self) -> str:
        return f"<RawAnswer of {len(self._body)} bytes>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return RawAnswer, (b"",)


@attrs.frozen(kw_only=True)
class Attempt:
    """One failed attempt of a call: no headers, no bodies.

    `number` counts from 1; `elapsed` and `retry_after` are seconds; `status` is the
    HTTP status, if one arrived; `error_type` names what went wrong.
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
    """The root of all errors of this package.

    `attempts` tells the failed attempts of the call, oldest first; it is empty where
    nothing was tried.
    """

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

    Told apart because in a backend it is mostly the request's fault, and no setting's.
    """


def check_number(name: str, value: object, *, least: float = 0.0, above: bool = False) -> None:
    """Refuse a setting that is no finite number from `least` up, or `above` it."""
    good = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (value > least if above else value >= least)
    )
    if not good:
        bound = f"above {least:g}" if above else f"from {least:g} up"
        raise ConfigurationError(f"{name} is {value!r}; give a number {bound}")


class APIError(EnapterError):
    """The API refused the call, and by its own word nothing was done.

    `status` is the HTTP status; `errors` the entries of the error envelope, empty where
    the body was none; `excerpt` then the first 4 KiB of the body as text, but empty
    where the operation's answer holds a secret; `request_id` the server's name for the
    request, if it gave one; `retry_after` the seconds it asked to wait, if it did;
    `from_api` whether the answer has the API's own form, and is not some proxy's page.

    Source: API page, "Errors".
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
    """404: there is no such device, or whatever else was asked for.

    `proven` says that this is sure: the answer has the API's own form, and it was looked whether
    such an API answers at the base URL at all, where any wrong path gets a 404. It is looked
    for jobs, plans and settling reads; of a single call that was simply refused it stays False.
    """

    proven: bool = False


class ConflictError(APIError):
    """409: another entity is in the way, such as one that holds the slug already."""


class UnprocessableError(APIError):
    """422: the request was understood and cannot be carried out."""


class RateLimitedError(APIError):
    """429: too many requests, and the wait that was asked for is too long to sit out.

    Raised without an attempt, too, when the client's shared pause after a 429 would
    outlast the call's deadline.
    """


class ServerError(APIError):
    """5xx: the server failed. A write ends so only where the server said "not done"."""


class TransportError(EnapterError):
    """No answer arrived.

    `sent` is False where no byte of the request can have reached the API; for anything
    that writes it is always False. A read whose answer was lost has `sent=True`.
    """

    def __init__(
        self, message: str, *, sent: bool = False, attempts: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.sent = sent


class TLSError(TransportError):
    """The secured connection could not be made; a bad certificate is never retried."""


class ProxyError(TransportError):
    """The proxy of a session of yours refused the way to the host; it is never retried.

    `status` is what the proxy answered, such as 407 where it wants credentials.
    """

    def __init__(
        self, message: str, *, status: int | None = None, attempts: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.status = status


class HostDownError(TransportError):
    """No connection to the host could be made: unknown name, refused, unreachable, too slow."""


class DeadlineExceededError(EnapterError):
    """The call's deadline passed; a write that ends so was not done."""


class ResponseError(EnapterError):
    """A read was answered with something that cannot be used.

    `path` says where in the answer, as in `device.updated_at`, or is empty.
    """

    def __init__(self, message: str, *, path: str = "", attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message, attempts=attempts)
        self.path = path


class ResponseMismatchError(ResponseError):
    """The answer is about another thing than the one that was asked for."""


class ResponseTooLargeError(ResponseError):
    """The answer is larger than the operation allows; see `Operation.max_bytes`."""


class ResultDiffersError(EnapterError):
    """The operation was done, and not as it was asked for: a server trimmed a name, say.

    It is never sent again by itself, for it would end the same. `result` is what the API
    returned, secrets included; in a job it is None, and `Outcome.result` has it. `noun` and
    `subject` say what was written to.
    """

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


class AmbiguousOutcomeError(EnapterError):
    """The operation may or may not have happened; do not repeat it without looking.

    `noun` and `subject` say what it is about, such as "device" and an id; `hint` says how to
    find out; `request_id` is the server's name for the last request, if it gave one.
    `candidates` are what a search found that may be its work, where the operation has one.
    `answer` holds what the server sent where the result exists nowhere else, as new
    credentials do: it could not be read as such, and `answer.reveal()` returns its bytes.
    Otherwise it is None.
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
    """The API said that the operation was done, and its answer is lost or cannot be used."""


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
    """Name the error class of a status; `APIError` itself where none is more exact."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return RedirectError
    return ServerError if 500 <= status < 600 else APIError
