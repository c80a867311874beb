"""The status of a job, as its rows in the database show it."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from enapter_async.fleet.distributed.coordinator import WaveCounts
from enapter_async.fleet.distributed.job_records import JobRecord
from enapter_async.fleet.distributed.partitions import SIZE, By
from enapter_async.fleet.journal.job_database import Row
from enapter_async.fleet.outcomes import State

QUEUES_NAMED: Final = 5
"""How many queues without a worker are named."""


@attrs.frozen(kw_only=True)
class JobStatus:
    """The status of a job, as last reported by its workers.

    `counts` are the operations by state; those not started yet count as held. `partitions` is the
    number of partitions, `finished` the number of finished ones, and `at_work` the number in
    progress, which `workers` carry out; `waiting` says why none of these is sending anything. The
    wave in progress is `wave` of `waves`, counted from 1 (0: none started). `stopped` says why
    nothing more is started. `unserved` are the queues of partitions that could start now, if any
    running worker took from them. `ended` means that every partition is finished.
    `credentials` are the files, each with its worker, that may hold generated configurations.
    `facts` are those passed when it was submitted. `elapsed` is the time in seconds from its
    submission until now, or until it ended or was stopped. `by` says how it was divided into
    partitions, and `max_rate` how many requests per second all workers together may send.
    """

    name: str
    counts: Mapping[State, int]
    total: int
    partitions: int
    finished: int
    at_work: int
    workers: tuple[str, ...] = ()
    wave: int
    waves: int
    waiting: str = ""
    unserved: tuple[str, ...] = ()
    stopped: str | None
    ended: bool
    credentials: tuple[str, ...] = ()
    facts: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    elapsed: float = 0.0
    by: By = SIZE
    max_rate: float | None = None

    @property
    def running(self) -> bool:
        """Whether the job still starts operations, or has partitions in progress."""
        return not self.over and (self.stopped is None or self.at_work > 0)

    @property
    def over(self) -> bool:
        """Whether the job ended, or was stopped and has no active worker."""
        return self.ended or (self.stopped is not None and not self.at_work)

    @property
    def done(self) -> int:
        """The number of operations whose target is now as requested."""
        return sum(number for state, number in self.counts.items() if state.done)

    @property
    def ok(self) -> bool:
        """Whether everything was done."""
        return self.ended and self.done == self.total


def status_of(
    record: JobRecord,
    waves: Sequence[WaveCounts],
    rows: Sequence[Row],
    served: Sequence[Sequence[str] | None],
) -> JobStatus:
    """Return the status of a job from its rows, without I/O; `served` are the workers' queues."""
    counts = dict.fromkeys(State, 0)
    for wave in waves:
        for state, number in wave.counts.items():
            counts[state] += number
    total = sum(wave.size for wave in waves)
    counts[State.HELD] = total - sum(
        number for state, number in counts.items() if state is not State.HELD
    )
    at_work = [row for row in rows if row["owned_until"] >= row["now"]]
    waits = [row["waits"] for row in at_work]
    waiting = waits[0] if waits and all(waits) else ("" if at_work else record.waits)
    over = record.stop is not None or record.ended
    return JobStatus(
        name=record.name,
        counts=counts,
        total=total,
        partitions=len(rows),
        finished=sum(not row["open"] for row in rows),
        at_work=len(at_work),
        workers=tuple(sorted({row["owner"] for row in at_work})),
        waiting="" if over and not at_work else waiting,
        unserved=() if over else _unserved(record.position.wave, rows, served),
        wave=record.position.wave + 1,
        waves=len(waves),
        stopped=record.stop,
        ended=record.ended,
        credentials=tuple(
            sorted({file for row in rows for file in row["credentials"].split("\n")} - {""})
        ),
        facts=record.facts["run"],
        elapsed=record.elapsed,
        by=record.facts["by"],
        max_rate=record.facts["max_rate"],
    )


def _unserved(
    wave: int, rows: Sequence[Row], served: Sequence[Sequence[str] | None]
) -> tuple[str, ...]:
    """Return the queues of the partitions that come next, if no worker serves them."""
    if None in served:
        return ()
    taken = {queue for queues in served for queue in queues or ()}
    left = [row for row in rows if row["open"] and row["owned_until"] < row["now"]]
    last = max(wave, min((row["wave"] for row in left), default=0))
    return tuple(
        dict.fromkeys(
            row["queue"] for row in left if row["wave"] <= last and row["queue"] not in taken
        )
    )


def unserved_text(queues: Sequence[str]) -> str:
    """Return that these queues have no running worker; "" if there are none."""
    some = ", ".join(queues[:QUEUES_NAMED])
    more = f" and {len(queues) - QUEUES_NAMED} more" if len(queues) > QUEUES_NAMED else ""
    return f"no running worker takes from {some}{more}" if queues else ""


def worker_command(place: str, queues: Sequence[str]) -> str:
    """Return the command that starts a worker for these queues of the job at a place."""
    options = "".join(f" --queue {shlex.quote(queue)}" for queue in queues[:QUEUES_NAMED])
    return f"enapter-async fleet worker --journal {shlex.quote(place)}{options}"
