"""Which events a watcher of a job receives, from any place of the jobs, and when the last is sent.

Nothing is queued for a watcher: a slow reader receives fewer events, but always the latest.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs

from enapter_async.clock import Clock
from enapter_async.fleet.errors import JournalError, RunRefusedError
from enapter_async.integrations.event_stream import StreamEvent
from enapter_async.integrations.progress import Job, Phase

UNREACHABLE: Final = "the database of the jobs cannot be reached"

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Seen:
    """The status of a job, and its failed and unknown operations.

    `pause` is how many seconds pass before a watcher looks again. `cut_short` means that no process
    runs the job, and that one may be about to continue it.
    """

    job: Job
    troubles: tuple[Mapping[str, Any], ...]
    pause: float
    cut_short: bool = False


class Watches:
    """Lets jobs be watched; `read` returns the status of one.

    A reading is shared by all who watch the job, for `shared` seconds. A job whose process died
    counts as over if no process resumes it within `patience` seconds.
    """

    def __init__(
        self,
        read: Callable[[str], Coroutine[Any, Any, Seen]],
        clock: Clock,
        *,
        shared: float,
        patience: float = 0.0,
    ) -> None:
        self._read = read
        self._clock = clock
        self._shared = shared
        self._patience = patience
        self._looks: dict[str, tuple[float, asyncio.Task[Seen]]] = {}
        self.closing = False
        """Whether the backend is about to close: all streams end, and no further job starts."""

    def check_open(self) -> None:
        """Raise RunRefusedError if the backend is about to close."""
        if self.closing:
            raise RunRefusedError("the backend is closing and starts no more jobs")

    async def look(self, job: str, *, shared: bool = True) -> Seen:
        """Return the status of a job; with `shared`, one reading serves all who watch it.

        Otherwise it is read now: somebody may have resumed the job a moment ago.
        """
        now = self._clock.monotonic()
        for name, (began, reading) in list(self._looks.items()):
            if reading.done() and now - began >= self._shared:
                del self._looks[name]
        if not shared or job not in self._looks:
            self._looks[job] = (now, unabandoned(self._read(job)))
        return await asyncio.shield(self._looks[job][1])

    async def watch(self, job: str, after: str | None) -> AsyncGenerator[StreamEvent, None]:
        """Return a stream of a job's status, in whichever process it is running."""
        return self._events(job, await self.look(job, shared=False), after)

    async def _events(
        self, name: str, seen: Seen, after: str | None
    ) -> AsyncGenerator[StreamEvent, None]:
        told = _Told(seen, after)
        cut_short_at: float | None = None
        while not self.closing:
            now = self._clock.monotonic()
            if not seen.cut_short:
                cut_short_at = None
            elif cut_short_at is None:
                cut_short_at = now
            given_up = cut_short_at is None or now - cut_short_at >= self._patience
            over = given_up and not seen.job.active
            for event in told.news(seen, over=over):
                yield event
            if over:
                return
            await self._clock.sleep(seen.pause)
            try:
                seen = await self.look(name)
            except JournalError:
                away = attrs.evolve(seen.job, waiting=UNREACHABLE, rate=0.0)
                seen = attrs.evolve(seen, job=away)


class _Told:
    """What one watcher has received."""

    def __init__(self, seen: Seen, after: str | None) -> None:
        self._job: Job | None = None
        self._troubles: tuple[Mapping[str, Any], ...] = ()
        self._live = False
        known, _, rest = (after or "").partition(".")
        job, _, number = rest.partition(".")
        # Anything may come from a browser, such as a number that Python refuses to parse.
        if number.isdecimal() and len(number) < len("1000"):
            troubles = seen.troubles[: int(number)]
            if known == _digest(troubles) and len(troubles) == int(number):
                self._troubles = troubles
                self._job = seen.job if job == _digest(_lasting(seen.job)) else None

    def news(self, seen: Seen, *, over: bool) -> Iterator[StreamEvent]:
        """Yield what the watcher has not received yet."""
        troubles = _continued(self._troubles, seen.troubles)
        if troubles != self._troubles:
            alike = _alike(self._troubles, troubles)
            self._troubles = troubles
            data = {"from": alike, "troubles": troubles[alike:]}
            yield StreamEvent(id=_mark(self._job, troubles), kind="troubles", data=data)
        if over or seen.job != self._job:
            self._job = seen.job
            kind, data = "end" if over else "job", seen.job.as_json()
            yield StreamEvent(id=_mark(self._job, self._troubles), kind=kind, data=data)


def _continued(told: tuple[Any, ...], now: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what is listed now, beginning with what was told if all of it is still listed.

    A session lists what was not done in the order in which it ended, and a reader of its files in
    that of the journal.
    """
    left = list(now)
    for each in told:
        if each not in left:
            return now
        left.remove(each)
    return (*told, *left)


def _alike(before: Sequence[Any], now: Sequence[Any]) -> int:
    """Return how many leading items are equal in both."""
    pairs = enumerate(zip(before, now, strict=False))
    return next((n for n, (old, new) in pairs if old != new), min(len(before), len(now)))


def _mark(job: Job | None, troubles: Sequence[Mapping[str, Any]]) -> str:
    """Return an id for what a watcher has received, the same in every process."""
    return f"{_digest(troubles)}.{_digest(job and _lasting(job))}.{len(troubles)}"


def _lasting(job: Job) -> dict[str, Any]:
    """Return a job without what differs from process to process, and from moment to moment."""
    phase = Phase.RUNNING if job.phase is Phase.ELSEWHERE else job.phase
    return attrs.evolve(job, phase=phase, rate=0.0).as_json()


def _digest(told: Any) -> str:
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()


def unabandoned(step: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Return a task that nobody needs to wait for."""
    task = asyncio.ensure_future(step)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
