"""How a fleet job stands, as people watch it: counts, rate, waves, what it waits for."""

import enum
import math
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

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

RATE_SECONDS: Final = 5.0
"""The rate is that of the last so many seconds."""


RESUME_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "resume": {},
        "retry_failed": {"retry_failed": True},
        "regenerate": {"ambiguous": "regenerate"},
        "skip": {"ambiguous": "skip"},
        "accept_wave": {"accept_wave": True},
    }
)
"""The options of `Jobs.resume` that each of a job's `next_steps` stands for."""


class Phase(enum.StrEnum):
    """Where a job stands. Equal to its own text: `job.phase == "running"`."""

    RUNNING = "running"
    STOPPING = "stopping"
    """Nothing more is started; what is under way ends."""
    ELSEWHERE = "running elsewhere"
    """Another process is at work on it: another worker of the backend, or the command line."""
    STOPPED = "stopped"
    """Nobody is at work on it, and it was stopped or cut short before its end."""
    ENDED = "ended"
    """It went to its end; `counts` say how."""


@attrs.frozen(kw_only=True)
class Wave:
    """A wave of a session: `size` and `of` (how many waves) are None where unknown.

    `done` are the operations that are done; `not_done` failed or are unknown.
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
    """How a fleet job stands.

    `counts` maps each state to a number of operations, `total` is how many the job has;
    `left` have not ended: they have no state yet, or were held. `rate` is operations ended a
    second, over the last five. `waves` are those of its last session. `waiting` says in words
    what the whole job waits for, `stopped` what stopped it; both are empty where there is nothing.
    `created_at` is in UTC (RFC 3339). `next_steps` are the ways in which a job that nobody is
    at work on can go on, each a name in `RESUME_OPTIONS`; empty where nothing is left to do.
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

    @property
    def left(self) -> int:
        """How many operations have not ended, held ones included."""
        return self.total - sum(self.counts.values()) + self.counts[State.HELD]

    @property
    def active(self) -> bool:
        """Whether somebody is at work on it."""
        return self.phase in (Phase.RUNNING, Phase.STOPPING, Phase.ELSEWHERE)

    def as_json(self) -> dict[str, Any]:
        """Return the progress as plain JSON, with `left` and `active`."""
        return {
            "id": self.id,
            "phase": str(self.phase),
            "active": self.active,
            "source": self.source,
            "created_at": self.created_at,
            "counts": {str(state): number for state, number in self.counts.items()},
            "total": self.total,
            "left": self.left,
            "rate": round(self.rate, 2),
            "waves": [attrs.asdict(wave) for wave in self.waves],
            "waiting": self.waiting,
            "stopped": self.stopped,
            "next_steps": list(self.next_steps),
        }


class Rate:
    """Counts what ends in each second, and says how many a second it were of late."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._seconds: deque[list[int]] = deque()

    def take(self, now: float) -> None:
        """Take note that one operation ended."""
        second = math.floor(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0])
            self._forget(now)
        self._seconds[-1][1] += 1

    def value(self, now: float) -> float:
        """Return operations a second over the last five, or since the beginning."""
        self._forget(now)
        over = min(RATE_SECONDS, max(1.0, now - self._began))
        return sum(number for _, number in self._seconds) / over

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - RATE_SECONDS:
            self._seconds.popleft()


class Progress:
    """Takes the events of one session of a run, and knows its waves and what it waits for."""

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report
        self._ended: list[Wave] = []
        self._wave: Wave | None = None
        self._done = self._not_done = 0
        self._wait: Wait | None = None
        self.stopped = ""

    def tell(self, event: RunEvent) -> None:
        """Take one event."""
        match event:
            case RunWaiting(wait=wait):
                self._wait = wait
            case RunGoesOn():
                self._wait = None
            case WaveBegan():
                self._end_wave()
                self._done, self._not_done = self._counted()
                self._wave = Wave(number=event.number, size=event.size, of=event.waves)
            case WavePassed():
                if self._wave is not None:
                    passed = attrs.evolve(self._wave, passed=True, read_back=event.read_back)
                    self._wave = passed
                    self._end_wave()
            case RunStopped(error=error):
                self.stopped = words_for(error)

    def waves(self) -> tuple[Wave, ...]:
        """Return the waves that began in this session, in order."""
        present = self._present()
        return tuple(self._ended if present is None else [*self._ended, present])

    def waiting(self, now: float) -> str:
        """Say in words what is waited for; empty where nothing is."""
        return "" if self._wait is None else self._wait.text(now)

    def _end_wave(self) -> None:
        present = self._present()
        if present is not None:
            self._ended.append(present)
        self._wave = None

    def _present(self) -> Wave | None:
        """Count the present wave: waves follow each other, so that what ended since is its."""
        if self._wave is None:
            return None
        done, not_done = self._counted()
        return attrs.evolve(self._wave, done=done - self._done, not_done=not_done - self._not_done)

    def _counted(self) -> tuple[int, int]:
        counts = self._report().counts
        done = sum(number for state, number in counts.items() if state.done)
        return done, counts[State.DIFFERS] + counts[State.FAILED] + counts[State.UNKNOWN]
