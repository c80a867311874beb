"""One call while it runs, and what is readable of it after."""

from collections.abc import Awaitable, Callable
from typing import Any

from enapter_async._http.pacing import AttemptObserver
from enapter_async._http.retry import settle_reserve
from enapter_async._http.wire import Failure, Message
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Attempt,
    Certainty,
    EnapterError,
    ResponseError,
    ResultDiffersError,
    ResultLostError,
)
from enapter_async.operation import Operation, Repeat, Settles, described


class CallRecord:
    """What became of one call, filled as it goes and readable after it, also after an error.

    `attempts` are the failed ones; `sent` counts all, the last good one too; `elapsed` is
    seconds; `settled` and `already_absent` mean what they mean in `hooks.CallEnded`.

    `before_again` is awaited before the operation is sent again after an uncertain attempt:
    so a journal can say first that it may arrive once more. What it raises ends the call.
    `observer` is asked before each attempt of the operation and told how it ended.
    `decides` says that a decision rests on the answer, so that a 404 must be proven.
    """

    __slots__ = (
        "already_absent",
        "attempts",
        "before_again",
        "decides",
        "elapsed",
        "observer",
        "sent",
        "settled",
    )

    def __init__(
        self,
        before_again: Callable[[], Awaitable[None]] | None = None,
        observer: AttemptObserver | None = None,
        *,
        decides: bool = False,
    ) -> None:
        self.before_again = before_again
        self.decides = decides
        self.observer = observer
        self.attempts: tuple[Attempt, ...] = ()
        self.sent = 0
        self.elapsed = 0.0
        self.settled = False
        self.already_absent = False


class Call:
    """The state of one call while it runs."""

    __slots__ = (
        "absent_before",
        "candidates",
        "delay",
        "end",
        "message",
        "number",
        "operation",
        "patient",
        "record",
        "request_id",
        "still_there",
        "uncertain",
    )

    def __init__(
        self,
        operation: Operation[Any],
        message: Message,
        *,
        number: int,
        record: CallRecord,
        patient: bool,
        end: float,
    ) -> None:
        self.operation = operation
        self.message = message
        self.number = number
        self.record = record
        self.patient = patient
        self.end = end
        """When the call must be over, the read that may have to settle it included."""
        self.delay = 0.0
        """How long to sleep after the last failure."""
        self.request_id: str | None = None
        self.absent_before = False
        """Whether nothing had the natural key before, of an operation that settles by it."""
        self.candidates: tuple[Any, ...] = ()
        """What a search found, of an operation that settles by one."""
        self.still_there = False
        """Whether a look after the last attempt showed that it has not been done."""
        self.uncertain: Failure | None = None
        """The last uncertain failure, and of those the last that has an answer to be kept."""

    def note(self, failure: Failure) -> None:
        """Remember what a failed attempt brought, for the error that the call may end in."""
        self.request_id = getattr(failure.error, "request_id", None) or self.request_id
        kept = self.uncertain is not None and self.uncertain.answer is not None
        if failure.answer is not None or (failure.certainty.uncertain and not kept):
            self.uncertain = failure

    def put_off(self, seconds: float) -> None:
        """Let time that was spent waiting not count."""
        self.end += seconds

    def reserve(self, left: float) -> float:
        """Return how much of the time left is kept for settling, once that may be needed."""
        uncertain = any(each.certainty.uncertain for each in self.record.attempts)
        return settle_reserve(self.operation.settles, left) if uncertain else 0.0


def unsent(error: EnapterError) -> Failure:
    """Return the failure of a call that ended before its next attempt could begin."""
    return Failure(certainty=Certainty.NOT_SENT, error=error, kind=type(error).__name__, retries=0)


def doubt(call: Call, state: Any | Failure) -> str:
    """Return why a state that was read does not settle an uncertain call; "" where it does."""
    operation, settles = call.operation, call.operation.settles
    if isinstance(state, Failure):
        return f"it could not be read back ({state.error})"
    if settles is Settles.SEARCH:
        call.candidates = tuple(operation.candidates(state))
        return f"a search shows {len(call.candidates)} that may be its work"
    if settles is Settles.KEY and not call.absent_before:
        return "it is not known that nothing had its key before"
    return (
        "" if operation.holds(state) else "a read after it does not show it, which proves nothing"
    )


def ambiguous(call: Call, attempt: Attempt, found: str, *, applied: bool) -> AmbiguousOutcomeError:
    """Return the error of a call whose end is unknown, or whose result is lost."""
    operation = call.operation
    name, target = described(operation), operation.target()
    if applied:
        kind: type[AmbiguousOutcomeError] = ResultLostError
        said = f"the server reports {name} as done, and its answer is lost"
    else:
        kind = AmbiguousOutcomeError
        said = f"{name} may or may not have happened"
    look = f"Look at the {target.word}"
    if target.name is None:
        look = f"Look whether there is a new {target.word}"
    if operation.repeat is Repeat.CONVERGENT:
        hint = f"{look}, or send it again: done twice, it ends in the same place."
    else:
        hint = f"{look} before you send it again: that would do it once more."
    failure = call.uncertain
    reason, answer = attempt.error_type, None
    if failure is not None:
        reason = str(failure.error) if isinstance(failure.error, ResponseError) else reason
        answer = failure.answer
    how = f"attempt {attempt.number} ended in {reason}, and {found}"
    if answer is not None:
        how = f"{reason}. What arrived is kept, unread"
        hint = (
            "Save what `answer.reveal()` of this error returns, which exists nowhere else; with "
            f"a credentials file it is there, as a line with `raw`. {hint}"
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


def differing(operation: Operation[Any], why: str) -> ResultDiffersError:
    """Return the error of a call that was done, and not as asked."""
    target = operation.target()
    return ResultDiffersError(
        f"{described(operation)} was done, and not as asked: {why}",
        noun=target.noun,
        subject=target.name,
    )
