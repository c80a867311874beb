"""The status of a fleet job for watchers: counts, rate, waves and the reason for waiting."""

import enum
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from operator import sub
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import attrs

from enapter_async.fleet.outcomes import (
    Report,
    RunEvent,
    RunGoesOn,
    RunStopped,
    RunWaiting,
    State,
    WaveBegan,
    WavePassed,
)
from enapter_async.fleet.waits import Wait
from enapter_async.integrations.answers import words_for

NOT_DONE: Final = (State.DIFFERS, State.PENDING, State.FAILED, State.UNKNOWN)
RATE_SECONDS: Final = 5.0
"""The number of seconds over which the rate is measured."""


RESUME_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "resume": {},
        "retry_failed": {"retry_failed": True},
        "regenerate": {"ambiguous": "regenerate"},
        "skip": {"ambiguous": "skip"},
        "accept_wave": {"accept_wave": True},
        "accept_candidates": {"accept_candidates": True},
    }
)
"""The options of `Jobs.resume` for each name in a job's `next_steps`."""


class Unknown(NamedTuple):
    """How many operations of a job have an unknown outcome, by what can be done about it.

    `repeatable` are sent again when the job continues; `open_ends` may be done only once (a new
    configuration) and need a decision; of those, `searchable` may have created objects that a
    search can find.
    """

    repeatable: int = 0
    open_ends: int = 0
    searchable: int = 0


def about(facts: Mapping[str, str]) -> dict[str, Any]:
    """Return what the facts of a job's journal say about its origin, as fields of `Job`."""
    return {name: facts.get(name, "") for name in ("source", "started_by")}


def next_steps(
    counts: Mapping[State, int], unknown: Unknown, *, wave_refused: bool
) -> Iterator[str]:
    """Yield the useful steps; at a wave that did not pass, merely continuing would stop again."""
    if counts[State.HELD] or counts[State.PENDING] or unknown.repeatable:
        yield "resume"
    if counts[State.FAILED]:
        yield "retry_failed"
    if unknown.open_ends:
        yield "regenerate"
        yield "skip"
    if unknown.searchable:
        yield "accept_candidates"
    if wave_refused:
        yield "accept_wave"


class Phase(enum.StrEnum):
    """The phase of a job. Equal to its own text: `job.phase == "running"`."""

    RUNNING = "running"
    STOPPING = "stopping"
    """No further operation starts; those in flight finish."""
    ELSEWHERE = "running elsewhere"
    """Another process is running it: another worker of the backend, or the command line."""
    STOPPED = "stopped"
    """No process is running it, and it was stopped or cut short before its end."""
    ENDED = "ended"
    """It ran to its end; `counts` has the results."""

    @property
    def active(self) -> bool:
        """Whether a process is running the job, or will in a moment."""
        return self not in (Phase.STOPPED, Phase.ENDED)


@attrs.frozen(kw_only=True)
class Wave:
    """A wave of a session: `size` and `of` (how many waves) are None if unknown.

    `done` counts the operations that are done; `not_done` those that failed or are unknown.
    """

    number: int
    size: int | None
    of: int | None
    done: int = 0
    not_done: int = 0
    passed: bool = False
    read_back: int = 0


@attrs.frozen(kw_only=True)
class Job:
    """The status of a fleet job.

    `counts` maps each state to a number of operations, and `total` is their number in the job.
    `left` is how many have not ended: they have no state yet, or were held. `rate` is the number of
    operations that ended per second, over the last five seconds. `waves` are those of its last
    session. `waiting` describes why the whole job waits, and `stopped` why it stopped; each is
    empty if it does not apply. `created_at` is in UTC (RFC 3339). `next_steps` are the ways to
    continue a job that is not running, each a name in `RESUME_OPTIONS`; empty if there is nothing
    left to do. `started_by` is the person who started it, as passed to `Jobs.start`. `workers` are
    those that carry out a job in PostgreSQL now. `credentials` are the files that hold generated
    configurations; in PostgreSQL, each with the name of its worker, and with `*` for the numbers of
    partitions.
    """

    id: str
    phase: Phase
    source: str
    created_at: str | None
    counts: Mapping[State, int]
    total: int
    rate: float = 0.0
    waves: tuple[Wave, ...] = ()
    waiting: str = ""
    stopped: str = ""
    next_steps: tuple[str, ...] = ()
    started_by: str = ""
    workers: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """How many operations have not ended, including held ones."""
        return self.total - sum(self.counts.values()) + self.counts[State.HELD]

    @property
    def active(self) -> bool:
        """Whether a process is running it."""
        return self.phase.active

    def as_json(self) -> dict[str, Any]:
        """Return the progress as plain JSON, with `left` and `active`."""
        fields = attrs.asdict(self)
        lists = {name: list(value) for name, value in fields.items() if isinstance(value, tuple)}
        return {
            **fields,
            **lists,
            "phase": str(self.phase),
            "active": self.active,
            "counts": {str(state): number for state, number in self.counts.items()},
            "left": self.left,
            "rate": round(self.rate, 2),
        }


class Rate:
    """Counts the operations that end in each second, and computes the recent rate."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._seconds: deque[list[int]] = deque()

    def take(self, now: float) -> None:
        """Record that one operation ended."""
        second = math.floor(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0])
            self._forget(now)
        self._seconds[-1][1] += 1

    def value(self, now: float) -> float:
        """Return operations per second over the last five seconds, or since the start."""
        self._forget(now)
        over = min(RATE_SECONDS, max(1.0, now - self._began))
        return sum(number for _, number in self._seconds) / over

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - RATE_SECONDS:
            self._seconds.popleft()


class Progress:
    """Tracks the events of one session of a run: its waves and its reason for waiting."""

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report
        self._waves: list[Wave] = []
        self._before: tuple[int, int] | None = None
        """The counts before the wave in progress."""
        self._wait: Wait | None = None
        self.stopped = ""

    def tell(self, event: RunEvent) -> None:
        """Handle one event."""
        match event:
            case RunWaiting(wait=wait):
                self._wait = wait
            case RunGoesOn():
                self._wait = None
            case WaveBegan():
                self._count()
                self._before = self._counted()
                self._waves.append(Wave(number=event.number, size=event.size, of=event.waves))
            case WavePassed():
                self._count(passed=True, read_back=event.read_back)
                self._before = None
            case RunStopped(error=error):
                self.stopped = words_for(error)

    def waves(self) -> tuple[Wave, ...]:
        """Return the waves that started in this session, in order."""
        self._count()
        return tuple(self._waves)

    def waiting(self, now: float) -> str:
        """Return in words why the run waits, or ""."""
        return "" if self._wait is None else self._wait.text(now)

    def _count(self, **passed: Any) -> None:
        """Count for the wave in progress: waves run in turn, so recent ends belong to it."""
        if self._before is not None:
            done, not_done = map(sub, self._counted(), self._before)
            last = attrs.evolve(self._waves[-1], done=done, not_done=not_done, **passed)
            self._waves[-1] = last

    def _counted(self) -> tuple[int, int]:
        counts = self._report().counts
        done = sum(number for state, number in counts.items() if state.done)
        return done, sum(counts[each] for each in NOT_DONE)
