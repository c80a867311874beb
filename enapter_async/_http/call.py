"""The state of one call while it runs, and the record of it afterwards."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from enapter_async._http.evidence import Seen, candidates
from enapter_async._http.message import Failure, Message
from enapter_async._http.retry import settle_reserve
from enapter_async._http.searching import looks_before
from enapter_async._http.wire import printable
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Attempt,
    Certainty,
    EnapterError,
    ResponseError,
    ResultDiffersError,
    ResultLostError,
)
from enapter_async.hooks import CallEnded, ReadBack
from enapter_async.limits.limiter import Permit
from enapter_async.operation import Operation, Repeat, Settles, described

NOT_NEWER: Final = (
    "a read shows the wanted state, which may be older than the first attempt: a cache or a "
    "lagging replica may have answered"
)


_KEY_UNKNOWN: Final = "it is unknown whether an object with its key existed before"
_KEY_TAKEN: Final = "; an object with its key existed before"


class AttemptObserver(Protocol):
    """Observes one call: it can delay attempts, and is notified when each one ends."""

    def may_begin(self) -> bool:
        """Return whether an attempt may start immediately; called again after every other wait."""
        ...

    async def begin(self) -> None:
        """Wait until an attempt may start; the wait does not count against the deadline."""

    def passed(self) -> None:
        """Record that an attempt received a successful answer."""

    def failed(self, attempt: Attempt) -> None:
        """Record that an attempt failed."""


class CallRecord:
    """The record of one call, filled while it runs and readable afterwards, even after an error.

    `attempts` are the failed attempts, and `sent` counts all attempts, including a successful one.
    `elapsed` is in seconds. `settled` and `already_absent` are as in `hooks.CallEnded`.

    `before_again` is awaited before the operation is repeated after an uncertain attempt. A journal
    can then record that the operation may arrive twice. An exception from `before_again` ends the
    call. `observer` is asked before each attempt and notified of its end. `decides` means that a
    decision depends on the answer: a 404 must be proven, and a read requests a fresh answer and
    records in `seen` how recent it is. `before` is the time of the last change that such a read
    showed before the operation, if the desired state already existed; `age` is how many seconds
    before this call the operation may first have been sent. `there` holds the ids of the objects
    that a search found before it was first sent; None if they are unknown. `shown` is the state
    that a read after an uncertain attempt showed. `permit` is a permit of the client's limiter,
    acquired in advance for the first attempt. If it is still set after the call, the caller must
    end it.
    """

    # Class attributes are the initial values, so that creating a record stays cheap.
    seen: Seen | None = None
    there: frozenset[str] | None = None
    shown: Any = None
    attempts: tuple[Attempt, ...] = ()
    sent = 0
    elapsed = 0.0
    settled = False
    already_absent = False

    def __init__(
        self,
        before_again: Callable[[], Awaitable[None]] | None = None,
        observer: AttemptObserver | None = None,
        permit: Permit | None = None,
        *,
        decides: bool = False,
        before: float | None = None,
        age: float = 0.0,
    ) -> None:
        self.before_again = before_again
        self.age = age
        self.decides = decides
        self.before = before
        self.observer = observer
        self.permit = permit


class Call:
    """The state of one call while it runs."""

    # Class attributes are the initial values, so that creating a call stays cheap.
    number = 0
    """Its number for hooks, if there are any."""
    patient = False
    """Whether time spent waiting for a permit does not count against the deadline."""
    delay = 0.0
    """How long to sleep after the last failure."""
    refusals = 0
    """How many times the server refused the call temporarily; these do not count as attempts."""
    request_id: str | None = None
    candidates: tuple[Any, ...] = ()
    """The results of the search, if the operation settles by one."""
    first: float | None = None
    """When the first attempt that may have succeeded started, on the monotonic clock."""
    seen: Seen | None = None
    """How recent the last state read for the call is."""
    still_there = False
    """Whether a read after the last attempt showed that the operation was not done."""
    uncertain: Failure | None = None
    """The last uncertain failure; a failure whose answer must be kept takes precedence."""

    def __init__(
        self, operation: Operation[Any], message: Message, record: CallRecord, end: float
    ) -> None:
        self.operation = operation
        self.message = message
        self.record = record
        self.end = end
        """When the call must end, including a read to settle it, if one is needed."""

    def note(self, failure: Failure, began: float) -> None:
        """Record a failed attempt, which becomes part of the call's error."""
        if self.first is None and failure.certainty.uncertain:
            self.first = began - self.record.age
        self.request_id = getattr(failure.error, "request_id", None) or self.request_id
        kept = self.uncertain is not None and self.uncertain.answer is not None
        if failure.answer is not None or (failure.certainty.uncertain and not kept):
            self.uncertain = failure

    def ended(self, error: EnapterError | None, *, cancelled: bool) -> CallEnded:
        """Return the event that reports the call's end to hooks."""
        record = self.record
        return CallEnded(
            call=self.number,
            operation=self.operation,
            elapsed=record.elapsed,
            attempts=record.attempts,
            error=error,
            settled=record.settled,
            already_absent=record.already_absent,
            cancelled=cancelled,
        )

    def read_back(
        self, reading: Operation[Any], elapsed: float, status: int | None, state: Any
    ) -> ReadBack:
        """Return the event that reports a read on behalf of the call to hooks."""
        return ReadBack(
            call=self.number,
            operation=self.operation,
            reading=reading,
            elapsed=elapsed,
            status=status,
            error_type=state.kind if isinstance(state, Failure) else None,
        )

    def looks_before(self) -> bool:
        """Return whether what exists before the first attempt matters and is still unknown."""
        return self.record.there is None and looks_before(self.operation)

    def put_off(self, seconds: float) -> None:
        """Extend the call's deadline by time that was spent waiting."""
        self.end += seconds

    def reserve(self, left: float) -> float:
        """Return how much of the remaining time is reserved for settling, in case it is needed."""
        uncertain = any(each.certainty.uncertain for each in self.record.attempts)
        return settle_reserve(self.operation.settles, left) if uncertain else 0.0


def unsent(error: EnapterError) -> Failure:
    """Return the failure of a call that ended before its next attempt could start."""
    return Failure(certainty=Certainty.NOT_SENT, error=error, kind=type(error).__name__, retries=0)


def doubt(call: Call, state: Any | Failure) -> str:
    """Return the reason why a state that was read does not settle an uncertain call, or ""."""
    operation, settles = call.operation, call.operation.settles
    if isinstance(state, Failure):
        return f"it could not be read back ({state.error})"
    if settles is Settles.SEARCH:
        there = call.record.there
        call.candidates = candidates(operation, state, call.seen, call.first, there)
        return f"a search found {listed(call.candidates)}{older(operation, there)}"
    if settles is Settles.KEY and call.record.there != frozenset():
        return _KEY_UNKNOWN
    if not operation.holds(state):
        return "a read does not show the change, which proves nothing"
    seen, first = call.seen, call.first
    newer = seen is None or first is None or seen.proves(first, call.record.before)
    return "" if state is None or newer else NOT_NEWER


def older(operation: Operation[Any], there: frozenset[str] | None) -> str:
    """Return a warning if it is unknown which objects existed before the operation, else ""."""
    if operation.settles is Settles.KEY:
        return f"; {_KEY_UNKNOWN}" if there is None else _KEY_TAKEN if there else ""
    if there is None and looks_before(operation):
        return "; it is unknown which of them existed before"
    return ""


def listed(candidates: Sequence[Any]) -> str:
    """Return how many candidates a search found, with the ids of the first three."""
    ids = [printable(str(each.id), 80) for each in candidates[:3] if hasattr(each, "id")]
    more = ", …" if len(candidates) > len(ids) else ""
    named = f": {', '.join(ids)}{more}" if ids else ""
    objects = "object" if len(candidates) == 1 else "objects"
    return f"{len(candidates)} {objects} that it may have created{named}"


def ambiguous(call: Call, attempt: Attempt, found: str, *, applied: bool) -> AmbiguousOutcomeError:
    """Return the error of a call whose outcome is unknown, or whose result is lost."""
    operation = call.operation
    name, target = described(operation), operation.target()
    if applied:
        kind: type[AmbiguousOutcomeError] = ResultLostError
        said = f"the server reports {name} as done, but its response is lost"
    else:
        kind = AmbiguousOutcomeError
        said = f"{name} may or may not have been done"
    look = f"Check the {target.word}"
    if target.name is None:
        look = f"Check whether there is a new {target.word}"
    if operation.repeat is Repeat.CONVERGENT:
        hint = f"{look}, or send it again: repeating it has the same result."
    else:
        hint = f"{look} before you send it again, because that would do it a second time."
    failure = call.uncertain
    reason, answer = attempt.error_type, None
    if failure is not None:
        reason = str(failure.error) if isinstance(failure.error, ResponseError) else reason
        answer = failure.answer
    how = f"attempt {attempt.number} ended in {reason}, and {found}"
    if answer is not None:
        how = f"{reason}. The response is kept unread"
        hint = (
            "Save the result of this error's `answer.reveal()`: it exists nowhere else. A job "
            f"writes it to its credentials file, as a line with `raw`. {hint}"
        )
    return kind(
        f"{said}: {how}",
        noun=target.noun,
        subject=target.name,
        hint=hint,
        request_id=call.request_id,
        candidates=call.candidates,
        answer=answer,
    )


def differing(
    operation: Operation[Any], why: str, result: Any
) -> ResultDiffersError | AmbiguousOutcomeError:
    """Return the error of a call that was done, but not as requested, or may not have been."""
    target = operation.target()
    if operation.leaves_unknown(result):
        return AmbiguousOutcomeError(
            f"{described(operation)} may or may not have happened: {why}",
            noun=target.noun,
            subject=target.name,
            hint=f"Check the {target.word} before you send it again, because that would do it a "
            f"second time.",
        )
    return ResultDiffersError(
        f"{described(operation)} was done, but with a different result: {why}",
        noun=target.noun,
        subject=target.name,
    )
