"""Outcomes of operations, the report of a run, and the events that a run emits."""

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

import attrs

from enapter_async.converter import unstructure
from enapter_async.converter.operations import operation_to_json
from enapter_async.errors import APIError, EnapterError, reason_of
from enapter_async.fleet.errors import EarlierError
from enapter_async.fleet.waits import Wait
from enapter_async.limits.pace import Pace
from enapter_async.operation import Operation
from enapter_async.text import plain, shortened

OperationT = TypeVar("OperationT", bound=Operation[Any])

SHOWN: Final = 5
"""How many outcomes the `repr` of a report shows."""
FAILURES_KEPT: Final = 100
"""How many outcomes of each kind a report keeps: the first failed, unknown and so on."""


class State(enum.StrEnum):
    """The state of an operation. Each member equals its text: `outcome.state == "applied"`."""

    APPLIED = "applied"
    """The device is in the wanted state, according to the API's response; or, if `settled`,
    according to a read after the response was lost."""
    UNCHANGED = "unchanged"
    """The device was already in the wanted state; only a read for `check=True` was sent."""
    ABSENT = "absent"
    """The device to delete was already gone."""
    DIFFERS = "differs"
    """It was done, but not exactly as requested: for example, the server trimmed a name. `error`
    describes the difference. It is not sent again; `undo` includes it."""
    PENDING = "pending"
    """It was accepted, and had not ended when the wait for it was over. It is not sent again; a
    resumed run follows it to its end."""
    FAILED = "failed"
    """It was not done; `error` says why."""
    UNKNOWN = "unknown"
    """It may or may not have been done, or its result is lost; `error` gives details."""
    HELD = "held"
    """It was not started; `error` says why."""

    @property
    def done(self) -> bool:
        """Whether the device is now in the state that was requested."""
        return self in _DONE


_DONE: Final = frozenset({State.APPLIED, State.UNCHANGED, State.ABSENT})


@attrs.frozen(kw_only=True)
class Outcome(Generic[OperationT]):
    """The outcome of one operation.

    `result` is the operation's return value, or None if there is none. For `unchanged` it is the
    state that was read, for `differs` the state that the server actually stored, and for `pending`
    the last value that was read, if any. It is also set if generated credentials could not be
    stored and the state is `unknown`, so that a program can still save them. `error` is None if the
    state is applied, unchanged or absent. `attempts` counts the attempts of the operation itself: 0
    if nothing was sent; reads that settle or check are not counted. `elapsed` is the seconds from
    start to finish, including pauses. `settled` means that the response was lost, and that a read
    (for a deletion: a 404 when it was sent again) showed the device in the wanted state. The state
    is certain. That this run caused it, and not someone else, is only likely.
    """

    operation: OperationT
    state: State
    result: Any = attrs.field(default=None, repr=False)
    error: EnapterError | None = None
    attempts: int = 0
    elapsed: float = 0.0
    settled: bool = False


OUTCOME_COLUMNS: Final = (
    "state",
    "attempts",
    "elapsed",
    "settled",
    "error_type",
    "status",
    "code",
    "request_id",
    "error",
)
"""The columns of an outcome in a row, after the operation's own fields."""


def outcome_row(outcome: Outcome[Any], *, with_result: bool = False) -> dict[str, Any]:
    """Return an outcome as a flat row: the operation's own fields, then the outcome's.

    It never contains the result of an operation that generates credentials.
    """
    error = outcome.error
    row: dict[str, Any] = {
        **operation_to_json(outcome.operation),
        "state": str(outcome.state),
        "attempts": outcome.attempts,
        "elapsed": round(outcome.elapsed, 3),
        "settled": outcome.settled,
        "error_type": None if error is None else type(error).__name__,
        "status": error.status if isinstance(error, APIError | EarlierError) else None,
        "code": None,
        "request_id": getattr(error, "request_id", None),
        "error": None if error is None else reason_of(error),
    }
    if isinstance(error, EarlierError):
        row |= {"error_type": error.error_type, "code": error.code and plain(error.code)}
    elif isinstance(error, APIError):
        row["code"] = next((plain(each.code) for each in error.errors if each.code), None)
    operation = outcome.operation
    hidden = operation.answer.secret or operation.answer.concealed
    if with_result and not hidden and outcome.result is not None:
        row[operation.result_name or operation.target().word] = unstructure(outcome.result)
    return row


@attrs.frozen(kw_only=True, repr=False)
class Report:
    """The result of a run: counts, and the first failures, however long the run was.

    `counts` maps each state to a number, `total` is their sum. `failures`, `unknowns`, `differing`
    and `pending` hold the first 100 outcomes of those states, without results. `attempts` is the
    sum of all attempts, `retried` the number of operations with more than one attempt, and
    `settled` the number of those that a later read showed to be done. `elapsed` is in seconds.
    `complete` is true if the input was read to its end, so that all its operations are counted.
    `stopped` is the error that stopped the run early, such as a 401, or None.

    It can be pickled and copied; `to_json` returns JSON values, and its `repr` is short.

    For a run with a journal, `counts` covers all sessions, `earlier` the operations that this
    session found finished or left unchanged; `merged` is the number of operations left out
    because they equal others, and `acknowledged` the number of unknown outcomes that were
    acknowledged.
    """

    counts: Mapping[State, int]
    failures: tuple[Outcome[Any], ...] = ()
    unknowns: tuple[Outcome[Any], ...] = ()
    differing: tuple[Outcome[Any], ...] = ()
    pending: tuple[Outcome[Any], ...] = ()
    attempts: int = 0
    retried: int = 0
    settled: int = 0
    elapsed: float = 0.0
    complete: bool = False
    stopped: EnapterError | None = None
    earlier: int = 0
    merged: int = 0
    acknowledged: int = 0

    @property
    def total(self) -> int:
        """The number of operations counted."""
        return sum(self.counts.values())

    @property
    def ok(self) -> bool:
        """Whether every operation of the input was done."""
        done = sum(number for state, number in self.counts.items() if state.done)
        return self.complete and done == self.total

    def summary(self) -> dict[str, Any]:
        """Return the numbers, and the error that stopped the run, as JSON values."""
        return {
            "counts": {str(state): number for state, number in self.counts.items()},
            "complete": self.complete,
            "stopped": None if self.stopped is None else reason_of(self.stopped),
            "attempts": self.attempts,
            "retried": self.retried,
            "settled": self.settled,
            "earlier": self.earlier,
            "merged": self.merged,
            "acknowledged": self.acknowledged,
            "elapsed": round(self.elapsed, 3),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; each outcome is a flat row without its result."""
        return {
            **self.summary(),
            "failures": [outcome_row(each) for each in self.failures],
            "unknowns": [outcome_row(each) for each in self.unknowns],
            "differing": [outcome_row(each) for each in self.differing],
            "pending": [outcome_row(each) for each in self.pending],
        }

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items() if number)
        lines = [f"<Report of {self.total} operations in {self.elapsed:.1f} s: {counts or 'none'}"]
        if not self.complete:
            lines.append("the input was not read completely")
        if self.stopped is not None:
            lines.append(f"stopped by {_short(self.stopped)}")
        kept = (*self.unknowns, *self.failures, *self.differing, *self.pending)
        lines += [_line(outcome) for outcome in kept[:SHOWN]]
        if len(kept) > SHOWN:
            lines.append(
                f"and {len(kept) - SHOWN} more in unknowns, failures, differing and pending"
            )
        return "\n  ".join(lines) + ">"


def _line(outcome: Outcome[Any]) -> str:
    """Return an outcome as one line of a report."""
    operation = shortened(plain(repr(outcome.operation)), 90)
    told = "" if outcome.error is None else f": {_short(outcome.error)}"
    return f"{outcome.state} {operation}{told}"


def _short(error: EnapterError) -> str:
    return f"{type(error).__name__}: {shortened(reason_of(error), 120)}"


class Tally:
    """Counts outcomes as they arrive, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(State, 0)
        self._kept: dict[State, list[Outcome[Any]]] = {
            State.FAILED: [],
            State.UNKNOWN: [],
            State.DIFFERS: [],
            State.PENDING: [],
        }
        self._attempts = 0
        self._retried = 0
        self._settled = 0
        self._earlier = 0
        self._merged = 0
        self._acknowledged = 0

    def start_from(
        self,
        counts: Mapping[State, int],
        outcomes: Iterable[Outcome[Any]] = (),
        *,
        merged: int = 0,
        acknowledged: int = 0,
    ) -> None:
        """Start from the counts of the run's earlier sessions; keep `outcomes` for display."""
        for outcome in outcomes:
            self._keep(outcome)
        for state, number in counts.items():
            self._counts[state] += number
            self._earlier += number
        self._merged = merged
        self._acknowledged = acknowledged

    def add(self, outcome: Outcome[Any]) -> None:
        """Count one outcome."""
        self._counts[outcome.state] += 1
        self._attempts += outcome.attempts
        self._retried += outcome.attempts > 1
        self._settled += outcome.settled
        if outcome.error is not None:
            self._keep(outcome)

    def _keep(self, outcome: Outcome[Any]) -> None:
        kept = self._kept.get(outcome.state)
        if kept is not None and len(kept) < FAILURES_KEPT:
            # A result may contain a secret, and people log reports.
            kept.append(attrs.evolve(outcome, result=None))

    def report(self, *, elapsed: float, complete: bool, stopped: EnapterError | None) -> Report:
        """Return the report of the outcomes counted so far."""
        return Report(
            counts=self._counts.copy(),
            failures=tuple(self._kept[State.FAILED]),
            unknowns=tuple(self._kept[State.UNKNOWN]),
            differing=tuple(self._kept[State.DIFFERS]),
            pending=tuple(self._kept[State.PENDING]),
            attempts=self._attempts,
            retried=self._retried,
            settled=self._settled,
            elapsed=elapsed,
            complete=complete,
            stopped=stopped,
            earlier=self._earlier,
            merged=self._merged,
            acknowledged=self._acknowledged,
        )


@attrs.frozen(kw_only=True)
class RunWaiting:
    """No operation starts until `wait` is over; `wait.text(now)` describes the wait."""

    wait: Wait


@attrs.frozen(kw_only=True)
class RunGoesOn:
    """The wait is over, and the run continues."""


@attrs.frozen(kw_only=True)
class RunPaceChanged:
    """The pace that the client's limiter allows has changed; `str(pace)` describes it."""

    pace: Pace


@attrs.frozen(kw_only=True)
class WaveBegan:
    """A wave starts. `number` counts from 1; `size` and `waves` are None if unknown."""

    number: int
    size: int | None = None
    waves: int | None = None


@attrs.frozen(kw_only=True)
class WavePassed:
    """A wave has passed, and the next may start; `read_back` counts the items read back.

    `not_configured` counts the devices that its gates have read and that are not configured.
    `unmet` are the conditions of gates that no device met before the wave: they checked nothing.
    """

    number: int
    read_back: int = 0
    not_configured: int = 0
    unmet: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RunStopped:
    """Nothing more is started, because of `error`; operations in flight finish."""

    error: EnapterError


RunEvent = RunWaiting | RunGoesOn | RunPaceChanged | WaveBegan | WavePassed | RunStopped

OnEvent = Callable[[RunEvent], None]
