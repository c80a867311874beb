"""What became of each operation of a run, of all of them together, and how it is told."""

import asyncio
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

import attrs

from enapter_async.converter import operation_to_json, unstructure
from enapter_async.errors import APIError, EnapterError
from enapter_async.fleet.errors import EarlierError
from enapter_async.fleet.waits import Wait
from enapter_async.limits.pace import Pace
from enapter_async.operation import Operation
from enapter_async.text import plain, shortened

OperationT = TypeVar("OperationT", bound=Operation[Any])

SHOWN: Final = 5
"""How many outcomes the `repr` of a report shows."""
FAILURES_KEPT: Final = 100
"""How many failed and how many unknown outcomes a report keeps, the first ones of each."""


class State(enum.StrEnum):
    """What became of an operation. Equal to its own text: `outcome.state == "applied"`."""

    APPLIED = "applied"
    """The device is as the operation wants it, by the API's own answer; or, where `settled`,
    by what a look at it showed after the answer was lost."""
    UNCHANGED = "unchanged"
    """It already was so; nothing was sent but the read that `check=True` asked for."""
    ABSENT = "absent"
    """The device to delete was already gone."""
    DIFFERS = "differs"
    """It was done, and not as asked, such as a name that the server trimmed; `error` says how.
    It is not sent again, and `undo` covers it."""
    FAILED = "failed"
    """It was not done; `error` says why."""
    UNKNOWN = "unknown"
    """Nobody can say whether it was done, or its result is lost; `error` says more."""
    HELD = "held"
    """It was not started; `error` says why."""

    @property
    def done(self) -> bool:
        """Whether the device is now as the operation wants it."""
        return self in _DONE


_DONE: Final = frozenset({State.APPLIED, State.UNCHANGED, State.ABSENT})


@attrs.frozen(kw_only=True)
class Outcome(Generic[OperationT]):
    """What became of one operation.

    `result` is what the operation returns (for `unchanged`, what the read showed; for
    `differs`, what the server made of it), else None; it stays there, too, when generated
    credentials could not be stored and the state is `unknown`, so that a program can still
    save them. `error` is None where the state is applied, unchanged or absent.
    `attempts` counts how often the operation itself was tried: 0 where nothing was sent;
    reads that settle or check are not counted. `elapsed` is seconds, from being taken up
    to its end, pauses included. `settled` says that the answer was lost, and that a look
    (for a deletion: a 404 when it was sent again) showed the device to be as wanted. That
    it is so is sure; that this run did it, and nobody else, is only likely.
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
"""What a row says of an outcome, after the operation's own fields."""


def outcome_row(outcome: Outcome[Any], *, with_result: bool = False) -> dict[str, Any]:
    """Return an outcome as a flat row: the operation's own fields, then what became of it.

    The result of an operation that generates credentials is never in it.
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
    if with_result and not outcome.operation.answer.secret and outcome.result is not None:
        row[outcome.operation.target().word] = unstructure(outcome.result)
    return row


def reason_of(error: EnapterError) -> str:
    """Return in one safe line what an error says, with the code that the API gave."""
    codes = [detail.code for detail in getattr(error, "errors", ()) if detail.code]
    text = plain(error)
    missing = [plain(code) for code in codes if code not in text]
    return f"{text} ({', '.join(missing)})" if missing else text


@attrs.frozen(kw_only=True, repr=False)
class Report:
    """How a run went: counts, and the first failures, however long the run was.

    `counts` maps each state to a number, `total` is their sum. `failures`, `unknowns` and
    `differing` hold the first 100 outcomes of those states, without results. `attempts` is the
    sum of all attempts, `retried` the number of operations that took more than one, `settled`
    of those that a later read found done. `elapsed` is seconds. `complete` says that the
    input was read to its end, so that every operation of it is counted. `stopped` is the
    error that stopped the run before its end, such as a 401; None where nothing did.

    It can be pickled and copied; `to_json` returns it as JSON has it, and its `repr` is short.

    Of a run with a journal, `counts` count all sessions, `earlier` what this one found
    finished or left as it was; `merged` is the number of operations that equal others and
    were left out, `acknowledged` how many unknown ones somebody took note of.
    """

    counts: Mapping[State, int]
    failures: tuple[Outcome[Any], ...] = ()
    unknowns: tuple[Outcome[Any], ...] = ()
    differing: tuple[Outcome[Any], ...] = ()
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
        """How many operations are counted."""
        return sum(self.counts.values())

    @property
    def ok(self) -> bool:
        """Whether every operation of the input was done."""
        done = sum(number for state, number in self.counts.items() if state.done)
        return self.complete and done == self.total

    def summary(self) -> dict[str, Any]:
        """Return its numbers, and what stopped the run, as values that JSON has."""
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
        """Return all of it as values that JSON has; an outcome is a flat row without result."""
        return {
            **self.summary(),
            "failures": [outcome_row(each) for each in self.failures],
            "unknowns": [outcome_row(each) for each in self.unknowns],
            "differing": [outcome_row(each) for each in self.differing],
        }

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items() if number)
        lines = [f"<Report of {self.total} operations in {self.elapsed:.1f} s: {counts or 'none'}"]
        if not self.complete:
            lines.append("the input was not read to its end")
        if self.stopped is not None:
            lines.append(f"stopped by {_short(self.stopped)}")
        kept = (*self.unknowns, *self.failures, *self.differing)
        lines += [_line(outcome) for outcome in kept[:SHOWN]]
        if len(kept) > SHOWN:
            lines.append(f"and {len(kept) - SHOWN} more in unknowns, failures and differing")
        return "\n  ".join(lines) + ">"


def _line(outcome: Outcome[Any]) -> str:
    """Return an outcome in one line of a report."""
    operation = shortened(plain(repr(outcome.operation)), 90)
    told = "" if outcome.error is None else f": {_short(outcome.error)}"
    return f"{outcome.state} {operation}{told}"


def _short(error: EnapterError) -> str:
    return f"{type(error).__name__}: {shortened(reason_of(error), 120)}"


class Tally:
    """Counts outcomes as they come, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(State, 0)
        self._kept: dict[State, list[Outcome[Any]]] = {
            State.FAILED: [],
            State.UNKNOWN: [],
            State.DIFFERS: [],
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
        """Begin with what earlier sessions of the same run finished; `outcomes` to be shown."""
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
            # A result may hold a secret, and a report is what people log.
            kept.append(attrs.evolve(outcome, result=None))

    def report(self, *, elapsed: float, complete: bool, stopped: EnapterError | None) -> Report:
        """Return the report of what was counted so far."""
        return Report(
            counts=self._counts.copy(),
            failures=tuple(self._kept[State.FAILED]),
            unknowns=tuple(self._kept[State.UNKNOWN]),
            differing=tuple(self._kept[State.DIFFERS]),
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


def _keep(kept: list[Outcome[Any]], outcome: Outcome[Any]) -> None:
    if len(kept) < FAILURES_KEPT:
        # A result may hold a secret, and a report is what people log.
        kept.append(attrs.evolve(outcome, result=None))


@attrs.frozen(kw_only=True)
class RunWaiting:
    """Nothing new begins until what `wait` names is over; `wait.text(now)` says it in words."""

    wait: Wait


@attrs.frozen(kw_only=True)
class RunGoesOn:
    """What was waited for is over."""


@attrs.frozen(kw_only=True)
class RunPaceChanged:
    """What the client's limiter allows has changed; `str(pace)` says what and why."""

    pace: Pace


@attrs.frozen(kw_only=True)
class WaveBegan:
    """A wave begins. `number` counts from 1; `size` and `waves` are None where unknown."""

    number: int
    size: int | None = None
    waves: int | None = None


@attrs.frozen(kw_only=True)
class WavePassed:
    """A wave is over, and the next one may begin. `read_back` is how many were looked at."""

    number: int
    read_back: int = 0


@attrs.frozen(kw_only=True)
class RunStopped:
    """Nothing more is started, because of `error`; what is in flight ends."""

    error: EnapterError


RunEvent = RunWaiting | RunGoesOn | RunPaceChanged | WaveBegan | WavePassed | RunStopped

OnEvent = Callable[[RunEvent], None]


class OutcomeStream(Generic[OperationT]):
    """Keeps outcomes for the one who iterates, or hands each at once to one who listens.

    Listening is cheaper: no queue and no task stands between.
    """

    def __init__(self) -> None:
        self.on_taken: Callable[[], None] = _nothing
        """Called for each outcome that was taken."""
        self._queue: asyncio.Queue[Outcome[OperationT] | None] = asyncio.Queue()
        self.put: Callable[[Outcome[OperationT] | None], None] = self._queue.put_nowait
        """Take an outcome in; None says that there are no more."""

    async def get(self) -> Outcome[OperationT] | None:
        """Wait for the next outcome; None once there are no more, however often one asks."""
        outcome = await self._queue.get()
        if outcome is None:
            self._queue.put_nowait(None)
        else:
            self.on_taken()
        return outcome

    async def listen(self, listener: Callable[[Outcome[OperationT]], None] | None) -> None:
        """Hand every outcome to a function, until there are no more; what it raises comes out.

        None lets every outcome pass.
        """
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failure: BaseException | None = None

        def hand_on(outcome: Outcome[OperationT] | None) -> None:
            nonlocal failure
            if over.done():
                return
            if outcome is None:
                over.set_result(None)
                return
            self.on_taken()
            if listener is None:
                return
            try:
                listener(outcome)
            except BaseException as error:  # noqa: BLE001 - raised below, and not in a worker
                failure = error
                over.set_result(None)

        while not self._queue.empty():
            hand_on(self._queue.get_nowait())
        self.put = hand_on
        await over
        if failure is not None:
            raise failure


def _nothing() -> None:
    """Do what there is to do before anybody wants to know."""
