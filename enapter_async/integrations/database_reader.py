"""The status of a job in PostgreSQL, from its rows and the journals of its partitions."""

import contextlib
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from enapter_async.fleet.distributed.coordinator import (
    WaveCounts,
    is_wave_refused,
    without_reason,
)
from enapter_async.fleet.distributed.job_records import JobRecord
from enapter_async.fleet.distributed.job_status import (
    JobStatus,
    status_of,
    unserved_text,
    worker_command,
)
from enapter_async.fleet.journal.job_database import Row
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.postgres.address import without_password
from enapter_async.fleet.journal.postgres.jobs import partition_run
from enapter_async.fleet.journal.replay import Replay
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.progress import RecentRate
from enapter_async.fleet.reporting.status import created_at
from enapter_async.integrations.job_reader import TROUBLES_TOLD, troubles_in, unknown_in
from enapter_async.integrations.job_watch import Seen
from enapter_async.integrations.progress import (
    NOT_DONE,
    RATE_SECONDS,
    Job,
    Phase,
    Unknown,
    Wave,
    about,
    next_steps,
)

LOOK_SECONDS: Final = 0.5
"""How long one reading of a job is shared, and the minimum interval between a watcher's events."""
PARTITIONS_READ: Final = 200
"""The maximum number of partitions whose journals are read for the status of a job."""

_PARTITION: Final = re.compile(r"-[0-9]{4,}\.jsonl$")
_BAD: Final = tuple(state.value for state in NOT_DONE)


@attrs.frozen(kw_only=True)
class Rows:
    """What the tables of jobs contain about one job."""

    record: JobRecord
    waves: Sequence[WaveCounts]
    partitions: Sequence[Row]
    served: Sequence[Sequence[str] | None]

    @property
    def status(self) -> JobStatus:
        """The status of the job."""
        return status_of(self.record, self.waves, self.partitions, self.served)


@attrs.frozen(kw_only=True)
class _Partition:
    """The operations of one partition that were not done."""

    unknown: Unknown
    troubles: tuple[Mapping[str, Any], ...] = ()


class DatabaseReader:
    """Reads one job; `worker` is the name of this process's worker.

    The journal of a partition is read only if some of its operations were not done, and again only
    once their number has changed. Safe to use from several threads.
    """

    def __init__(self, database: str, job: str, worker: str) -> None:
        self._database = database
        self._place = f"{without_password(database)}#{job}"
        self._job = job
        self._worker = worker
        self._lock = threading.Lock()
        self._rate = RecentRate(RATE_SECONDS)
        self._partitions: dict[int, tuple[tuple[Any, ...], _Partition]] = {}

    def look(self, rows: Rows, now: float) -> Seen:
        """Return the status of the job; blocks if journals must be read. `now` is monotonic."""
        status = rows.status
        phase = self._phase(status)
        counts = dict(status.counts)
        with self._lock:
            partitions = list(self._not_done(rows.partitions))
            rate = self._rate.take(now, status.total - counts[State.HELD]) or 0.0
        if phase.active:
            counts[State.HELD] = 0  # unfinished operations are not held while the job is running
        unknown = Unknown(*map(sum, zip(*(each.unknown for each in partitions), strict=True)))
        refused = is_wave_refused(status.stopped or "")
        steps = next_steps(status.counts, unknown, wave_refused=refused)
        job = Job(
            id=status.name,
            phase=phase,
            **about(status.facts),
            created_at=created_at(status.facts),
            counts=counts,
            total=status.total,
            rate=rate if phase.active else 0.0,
            waves=tuple(_waves(rows)),
            waiting=_waiting(status, rows, self._place) if phase.active else "",
            stopped=without_reason(status.stopped or ""),
            next_steps=() if phase.active else tuple(steps),
            workers=status.workers,
            credentials=_files(status.credentials),
        )
        troubles = [each for partition in partitions for each in partition.troubles]
        del troubles[TROUBLES_TOLD:]
        return Seen(job=job, troubles=tuple(troubles), pause=LOOK_SECONDS)

    def _phase(self, status: JobStatus) -> Phase:
        if status.ended:
            return Phase.ENDED
        if status.stopped is not None:
            return Phase.STOPPING if status.at_work else Phase.STOPPED
        elsewhere = status.workers and self._worker not in status.workers
        return Phase.ELSEWHERE if elsewhere else Phase.RUNNING

    def _not_done(self, rows: Sequence[Row]) -> Iterator[_Partition]:
        """Yield the partitions in which something was not done, and is listed or unknown."""
        listed = read = 0
        for row in rows:
            bad = [int(row[name]) for name in _BAD]
            if any(bad) and (listed < TROUBLES_TOLD or row["unknown"]) and read < PARTITIONS_READ:
                running = row["owned_until"] >= row["now"]
                version = (row["tries"], *bad, running, listed < TROUBLES_TOLD)
                kept = self._partitions.get(row["no"])
                if kept is None or kept[0] != version:
                    partition = self._read(row["no"], running=running)
                    if listed >= TROUBLES_TOLD:
                        partition = attrs.evolve(partition, troubles=())
                    kept = self._partitions[row["no"]] = version, partition
                read += 1
                listed += sum(bad)
                yield kept[1]

    def _read(self, no: int, *, running: bool) -> _Partition:
        name = f"{self._database}#{partition_run(self._job, no)}"
        with contextlib.closing(read_journal(name)) as journal:
            replay = Replay(journal)
            return _Partition(
                unknown=unknown_in(journal, replay),
                troubles=tuple(troubles_in(journal, replay, running=running)),
            )


def _files(credentials: Sequence[str]) -> tuple[str, ...]:
    """Return one pattern for the files of a worker, of which there is one for each partition."""
    return tuple(sorted({_PARTITION.sub("-*.jsonl", file) for file in credentials}))


def _waves(rows: Rows) -> Iterator[Wave]:
    """Yield the waves that have begun, if the job has any."""
    position = rows.record.position
    if rows.record.rollout is None:
        return
    for each in rows.waves:
        if each.wave <= position.wave:
            yield Wave(
                number=each.wave + 1,
                size=each.size,
                of=len(rows.waves),
                done=sum(number for state, number in each.counts.items() if state.done),
                not_done=sum(each.counts.get(state, 0) for state in NOT_DONE),
                passed=each.wave < position.wave or rows.record.ended,
            )


def _waiting(status: JobStatus, rows: Rows, place: str) -> str:
    """Return in words why a whole job waits, or ""; `place` is its address."""
    position = rows.record.position
    if status.at_work or status.stopped is not None or status.waiting:
        return status.waiting
    if position.hold_until is not None and position.hold_until > position.now:
        seconds = math.ceil(position.hold_until - position.now)
        return f"wave {position.wave + 1} passed; the next one starts in {seconds} s"
    begun = [row for row in rows.partitions if row["open"] and row["wave"] <= position.wave]
    if not begun and position.wave >= 0 and not status.unserved:
        return "it is checked whether the next wave may start"
    if any(row["not_before"] > row["now"] for row in begun):
        return "a worker returned a part of it, which is tried again shortly"
    if status.unserved:
        command = worker_command(place, status.unserved)
        return f"{unserved_text(status.unserved)}; to start one: {command}"
    return "it waits for a worker"
