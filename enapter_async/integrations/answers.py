"""The responses of a backend to its browsers when an SDK call ends in an error.

A pure mapping, shared by all web frameworks. The body is a problem detail (RFC 9457,
`application/problem+json`) with this package's own texts: it contains no secret, and only the error
codes of the upstream's body.

=======================================  ======  ================================================
error                                    status  reason
=======================================  ======  ================================================
`NotFoundError`                          404     reported by the API itself
`RunNotFoundError`                       404     there is no such job
`ConflictError`, `RunRefusedError`       409     conflict with another object, or another runner
`UnprocessableError`                     422     understood, but cannot be carried out
`InputError`, `InputConflictError`       422     the operations of a job cannot be used
`BadRequestError`, `ArgumentError`       400     the values came with the request
`RateLimitedError`                       429     with Retry-After, if it is known
`HostDownError`, not sent, 503, 408, 425  503     nothing was done; it may be retried
`JournalError`                           503     the jobs cannot be read or written now
`DeadlineExceededError`                  504     out of time; a write was not done
`AuthenticationError`                    500     the backend's token is refused: a backend fault
`PermissionDeniedError`                  500     its token lacks permission: a backend fault
`ConfigurationError`                     500     a setting of the backend is wrong
anything else upstream                   502     a proxy's page, a broken answer, another 5xx
`AmbiguousOutcomeError`                  202     it is unknown whether it was done
`ResultLostError`                        202     it was done, but its answer is lost
`ResultDiffersError`                     202     it was done, but not as requested
=======================================  ======  ================================================

An upstream 401 or 403 is never passed on: a browser would relate it to its own login. It becomes
500 and not 502, because 502 invites proxies to retry, which does not help.

An unknown outcome is neither success nor failure: 4xx and 5xx would lead people to repeat an
operation that may have been done. In HTTP, 202 means "it might or might not be acted upon"
(RFC 9110, 15.3.3). Such a response has `outcome` "unknown" (or "done, answer lost") and the media
type of a problem; a page that only checks for a status below 300 would treat it as done.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import attrs

from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    ArgumentError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    DeadlineExceededError,
    EnapterError,
    ErrorDetail,
    HostDownError,
    NotFoundError,
    ProxyError,
    ResponseError,
    ResponseMismatchError,
    ResultDiffersError,
    ResultLostError,
    StillPendingError,
    TLSError,
    TransportError,
    UnprocessableError,
    api_error_type,
)
from enapter_async.fleet.errors import (
    AlreadyResumedError,
    CredentialsNotKeptError,
    EarlierError,
    InputConflictError,
    InputError,
    JournalError,
    LeftUnknownError,
    PausedTooLongError,
    RunAbortedError,
    RunBusyError,
    RunNotFoundError,
    RunRefusedError,
    WaveNotPassedError,
)
from enapter_async.logs import BACKEND
from enapter_async.text import plain

logger = logging.getLogger(BACKEND)

MEDIA_TYPE: Final = "application/problem+json"
TYPES: Final = "urn:x-enapter-async:"
"""The prefix of each problem's type, which names a kind and is not the address of a page."""
PROBLEMS_TOLD: Final = 20

_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@attrs.frozen(kw_only=True)
class HttpAnswer:
    """A response that any framework can send: status, headers and body.

    `problem` is the body before encoding to JSON, for backends that extend it.
    """

    status: int
    problem: Mapping[str, Any]
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers, including Content-Type; the response is never cached."""
        found = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
        if self.retry_after is not None:
            found["Retry-After"] = str(self.retry_after)
        return found

    @property
    def body(self) -> bytes:
        """The problem as JSON, in ASCII."""
        return json.dumps(self.problem).encode()


Answerer = Callable[[EnapterError], HttpAnswer]
"""A function from an error to a response: `answer_to`, or a backend's own that calls it."""


@attrs.frozen
class _Kind:
    """A kind of problem: its name, its status, and its text in plain words."""

    name: str
    status: int
    title: str


_NOT_FOUND = _Kind("not-found", 404, "There is no such {word}.")
_NO_JOB = _Kind("no-such-job", 404, "There is no such job.")
_CONFLICT = _Kind("conflict", 409, "It conflicts with something else; nothing was done.")
_JOB_BUSY = _Kind("job-busy", 409, "This job, or one that changes the same objects, is running.")
_JOB_REFUSED = _Kind("job-refused", 409, "The job cannot be started or continued like this.")
_UNPROCESSABLE = _Kind("unprocessable", 422, "It cannot be carried out; nothing was done.")
_BAD_INPUT = _Kind("invalid-operations", 422, "The operations are not valid; nothing was sent.")
_BAD_REQUEST = _Kind("bad-request", 400, "A value is not valid; nothing was done.")
_TOO_MANY = _Kind("too-many-requests", 429, "Too many requests; nothing was done.")
_NOT_NOW = _Kind("not-now", 503, "The device service is unavailable; try again later.")
_JOBS_AWAY = _Kind(
    "jobs-unavailable", 503, "The jobs cannot be reached; check them before you try again."
)
_TOO_LATE = _Kind("out-of-time", 504, "There was no answer in time; nothing was changed.")
_NOT_ACCEPTED = _Kind(
    "backend-not-accepted", 500, "The upstream service rejects this service's token."
)
_NOT_PERMITTED = _Kind(
    "backend-not-permitted", 500, "This service lacks the upstream permission for that."
)
_MISCONFIGURED = _Kind("backend-misconfigured", 500, "This service is not configured correctly.")
_BAD_UPSTREAM = _Kind("bad-upstream", 502, "The device service sent no usable response.")
_INTERNAL = _Kind("failed", 500, "This service has an internal error.")
_UNKNOWN = _Kind("unknown-outcome", 202, "It is unknown whether it was done.")
_DIFFERS = _Kind("differs", 202, "It was done, but with a different result.")
_PENDING = _Kind("pending", 202, "It was accepted, and has not ended yet.")
_LOST = _Kind("result-lost", 202, "It was done, but its response is lost.")


def answer_to(error: EnapterError) -> HttpAnswer:
    """Return a backend's response for a call that ended in this error; pure, and never raises.

    The body has `type`, `title` and `status`. It has `codes` if the API refused the request with
    reasons, `request_id` if the API sent its identifier, and `retry_after` in seconds. If the
    outcome is unknown or differs from the request, it has `outcome`, `hint` and `device_id` (or the
    id of another noun). If the request's own values were wrong, it has `detail` or `problems`.
    """
    kind = _kind_of(error)
    problem: dict[str, Any] = {
        "type": TYPES + kind.name,
        "title": _title(kind, error),
        "status": kind.status,
    }
    # Faults of the backend or upstream are not reported to the browser in detail.
    if isinstance(error, APIError) and kind.status < 500:
        codes = _codes(error)
        if codes:
            problem["codes"] = codes
    request_id = getattr(error, "request_id", None)
    if _plain(request_id):
        problem["request_id"] = request_id
    retry_after = _retry_after(error, kind)
    if retry_after is not None:
        problem["retry_after"] = retry_after
    problem |= _particulars(error)
    return HttpAnswer(status=kind.status, problem=problem, retry_after=retry_after)


def log_answer(error: EnapterError, status: int, method: str, path: str) -> None:
    """Log the cause of a response that hides it from the browser: 5xx, and unusual outcomes.

    Errors that the backend's operators must fix (500, 502) are logged with a traceback.
    """
    if status < 500 and not isinstance(error, _UNUSUAL):
        return
    level = logging.ERROR if status in (500, 502) else logging.WARNING
    said = f"{plain(method)} {plain(path)} was answered {status}"
    traceback = error if level == logging.ERROR else None
    logger.log(level, "%s: %s: %s", said, type(error).__name__, plain(error), exc_info=traceback)


def words_for(error: EnapterError) -> str:
    """Return one line that describes this error of a job or operation; pure, and never raises.

    As in `answer_to`, the texts are the package's own; of the upstream's, only the first code is
    used.
    """
    if isinstance(error, _OUR_WORDS):
        return str(error)
    if isinstance(error, EarlierError):
        error = _as_it_was(error)
    title = next((words for each, words in _TITLES if isinstance(error, each)), None)
    kind = _kind_of(error)
    said = title or _title(kind, error)
    if isinstance(error, APIError) and kind.status < 500:
        said += "".join(f" ({code})" for code in _codes(error)[:1])
    return said


def _title(kind: _Kind, error: EnapterError) -> str:
    """Return a problem's title in plain words, with the noun of the operation."""
    return kind.title.replace("{word}", getattr(error, "noun", "") or "object")


def _codes(error: APIError) -> list[str]:
    return [each.code for each in error.errors if each.code is not None and _plain(each.code)]


def _as_it_was(earlier: EarlierError) -> EnapterError:
    """Return the error recorded in a journal's line, without its message."""
    if earlier.status is not None:
        errors = () if earlier.code is None else (ErrorDetail(code=earlier.code),)
        error = api_error_type(earlier.status)(
            "", status=earlier.status, errors=errors, from_api=bool(errors)
        )
        if isinstance(error, NotFoundError):
            error.noun = earlier.noun
        return error
    if earlier.error_type is None:
        return AmbiguousOutcomeError("")  # it was about to be sent; nothing more is known
    return _BY_NAME.get(str(earlier.error_type), EnapterError)("")


_UNUSUAL: Final = (AmbiguousOutcomeError, ResultDiffersError, StillPendingError)
_OUR_WORDS: Final = (RunAbortedError, PausedTooLongError, WaveNotPassedError)
"""Errors whose messages contain no text from a server."""
_TITLES: Final[tuple[tuple[type[EnapterError], str], ...]] = (
    (CredentialsNotKeptError, "Credentials were generated, but could not be stored."),
    (JournalError, "The job's journal cannot be written."),
)
"""The texts for errors that occur only in jobs."""

_KINDS: Final[tuple[tuple[type[EnapterError], _Kind], ...]] = (
    (ResultDiffersError, _DIFFERS),
    (StillPendingError, _PENDING),
    (ResultLostError, _LOST),
    (AmbiguousOutcomeError, _UNKNOWN),
    (TLSError, _BAD_UPSTREAM),
    (ProxyError, _MISCONFIGURED),
    (HostDownError, _NOT_NOW),
    (DeadlineExceededError, _TOO_LATE),
    (ArgumentError, _BAD_REQUEST),
    (InputError, _BAD_INPUT),
    (InputConflictError, _BAD_INPUT),
    (RunNotFoundError, _NO_JOB),
    (RunBusyError, _JOB_BUSY),
    (RunRefusedError, _JOB_REFUSED),
    (JournalError, _JOBS_AWAY),
    (ConfigurationError, _MISCONFIGURED),
    (ResponseError, _BAD_UPSTREAM),
)
"""The first match is used; a class comes before its base classes."""
_REFUSALS: Final[tuple[tuple[type[APIError], _Kind], ...]] = (
    (NotFoundError, _NOT_FOUND),
    (ConflictError, _CONFLICT),
    (UnprocessableError, _UNPROCESSABLE),
    (BadRequestError, _BAD_REQUEST),
)
"""The statuses that only the API itself can send: a proxy's page proves nothing about a device."""
_BY_NAME: Final[Mapping[str, type[EnapterError]]] = {
    each.__name__: each
    for each in (
        *(each for each, _ in (*_TITLES, *_KINDS)),
        LeftUnknownError,
        ResponseMismatchError,
        TransportError,
    )
    if each is not InputError  # its class needs more than a message, and it never ends an operation
}
_WHOEVER_SAYS_IT: Final[Mapping[int, _Kind]] = {
    401: _NOT_ACCEPTED,
    403: _NOT_PERMITTED,
    408: _NOT_NOW,
    425: _NOT_NOW,
    429: _TOO_MANY,
    503: _NOT_NOW,
}


def _kind_of(error: EnapterError) -> _Kind:
    if isinstance(error, APIError):
        refusals = _REFUSALS if error.from_api else ()
        found = (kind for each, kind in refusals if isinstance(error, each))
        return _WHOEVER_SAYS_IT.get(error.status) or next(found, _BAD_UPSTREAM)
    if type(error) is TransportError:
        return _BAD_UPSTREAM if error.sent else _NOT_NOW
    # Any other error is the backend's own.
    return next((kind for each, kind in _KINDS if isinstance(error, each)), _INTERNAL)


def _particulars(error: EnapterError) -> dict[str, Any]:
    """Return the additional fields of such a problem: fixed texts, and the request's values."""
    match error:
        case AmbiguousOutcomeError():
            outcome = "done, answer lost" if isinstance(error, ResultLostError) else "unknown"
            word = error.noun or "object"
            hint = f"Check the {word} before you repeat it."
            return {"outcome": outcome, f"{word}_id": error.subject, "hint": hint}
        case ResultDiffersError() | StillPendingError():
            word = error.noun or "object"
            pending = isinstance(error, StillPendingError)
            outcome = "pending" if pending else "done, not as asked"
            return {"outcome": outcome, f"{word}_id": error.subject}
        case ArgumentError() | AlreadyResumedError():
            return {"detail": str(error)}
        case InputError():
            return {"problems": [str(each) for each in error.problems[:PROBLEMS_TOLD]]}
        case InputConflictError():
            return {"problems": list(error.conflicts[:PROBLEMS_TOLD])}
        case _:
            return {}


def _retry_after(error: EnapterError, kind: _Kind) -> int | None:
    """Return whole seconds, rounded up, if the response invites a retry."""
    seconds = error.retry_after if isinstance(error, APIError) else None
    if seconds is None or kind.status not in (HTTPStatus.TOO_MANY_REQUESTS, 503):
        return None
    return max(0, math.ceil(seconds)) if math.isfinite(seconds) else None


def _plain(text: str | None) -> bool:
    return text is not None and _CODE.fullmatch(text) is not None
