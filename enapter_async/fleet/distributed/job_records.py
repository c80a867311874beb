"""The statements about a job: its record, its keeper and its waves, and how it stops and resumes.

Those about the worker of a partition are in `partition_lease`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from enapter_async.fleet.distributed.coordinator import Position, WaveCounts
from enapter_async.fleet.distributed.partition_lease import LEASE_S, PartitionLeases
from enapter_async.fleet.errors import AlreadyResumedError, RunBusyError
from enapter_async.fleet.journal.job_database import (
    COUNTED,
    JUDGED,
    STOP,
    Row,
    facts_in,
)
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.postgres.jobs import JobDatabase
from enapter_async.fleet.journal.waves import Seen
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.rollout.abort import AbortCriterion
from enapter_async.fleet.rollout.waves import Rollout

_SUMS: Final = ", ".join(
    [f"sum({name}) AS {name}" for name in (*COUNTED, *(f"judged_{each}" for each in JUDGED))]
)
_KEEP: Final = (
    "UPDATE {p}job SET keeper = :worker, keeper_until = {now} + :lease WHERE name = :job"
    " AND stop IS NULL AND ended_at IS NULL AND (keeper = :worker OR keeper_until < {now})"
    " RETURNING *, {now} AS now"
)
_LEAVE: Final = "UPDATE {p}job SET keeper_until = 0 WHERE keeper = :worker"
_MOVE: Final = (
    "UPDATE {p}job SET wave = :to_wave, hold_until = NULL, seen = :seen, waits = ''"
    " WHERE name = :job AND keeper = :worker AND wave = :wave AND stop IS NULL RETURNING name"
)
_HOLD: Final = (
    "UPDATE {p}job SET hold_until = {now} + :seconds"
    " WHERE name = :job AND keeper = :worker AND wave = :wave AND hold_until IS NULL"
)
_END: Final = (
    "UPDATE {p}job SET ended_at = {now} WHERE name = :job AND keeper = :worker AND stop IS NULL"
    " RETURNING name"
)
_WAVES: Final = (
    "SELECT wave, count(*) AS partitions, sum(open) AS open, sum(size) AS size,"
    " max(failures) AS failures, max(CASE WHEN failures > 0 THEN why ELSE '' END) AS why, "
    + _SUMS
    + " FROM {p}part WHERE job = :job GROUP BY wave ORDER BY wave"
)
# A session that still finishes operations in flight is taken over: it counted before the resume.
_AGAIN: Final = (
    "UPDATE {p}part SET failures = 0, not_before = 0, why = '', waits = '',"
    " owner = '', owned_until = 0, tries = tries + 1,"
    " open = CASE WHEN applied + unchanged + absent < size THEN 1 ELSE 0 END, "
    + ", ".join(f"judged_{name} = 0" for name in JUDGED)
    + " WHERE job = :job"
)
_RESUME: Final = (
    "UPDATE {p}job SET stop = NULL, stopped_at = NULL, ended_at = NULL, keeper_until = 0,"
    " hold_until = NULL, options = :options, waits = '', resumes = resumes + 1,"
    " resumed_by = :worker, resumed_at = {now},"
    " accepted = CASE WHEN :accept = 1 THEN wave ELSE accepted END"
    " WHERE name = :job AND resumes = :resumes AND (stop IS NOT NULL OR ended_at IS NOT NULL"
    "  OR NOT EXISTS (SELECT 1 FROM {p}part WHERE job = :job AND owned_until >= {now}))"
    " RETURNING name"
)


@attrs.frozen(kw_only=True)
class JobRecord:
    """A job's settings, which do not change, and its progress."""

    name: str
    facts: Mapping[str, Any]
    options: Mapping[str, Any]
    position: Position
    stop: str | None
    ended: bool
    seen: Seen
    token: str | None
    elapsed: float
    resumes: int = 0
    resumed_by: str = ""
    resumed_at: float | None = None
    waits: str = ""

    @classmethod
    def of(cls, row: Row) -> "JobRecord":
        """Return the job of a row, in which `now` is the database's time."""
        now = row["now"]
        return cls(
            name=row["name"],
            facts=facts_in(row),
            options=json.loads(row["options"]),
            position=Position(
                wave=row["wave"],
                now=now,
                hold_until=row["hold_until"],
                accepted=row["accepted"] == row["wave"],
            ),
            stop=row["stop"],
            ended=row["ended_at"] is not None,
            seen=_seen_in(row["seen"]),
            token=row["token"],
            elapsed=(row["ended_at"] or row["stopped_at"] or now) - row["created_at"],
            resumes=row["resumes"],
            resumed_by=row["resumed_by"],
            resumed_at=row["resumed_at"],
            waits=row["waits"],
        )

    @property
    def rollout(self) -> Rollout | None:
        """How the job is divided into waves."""
        text = self.facts.get("rollout")
        return None if text is None else Rollout.from_text(text)

    @property
    def criteria(self) -> tuple[AbortCriterion, ...]:
        """The criteria that stop the job."""
        return tuple(AbortCriterion(**each) for each in self.facts["abort"])


@attrs.define
class Control:
    """Controls the jobs in one database on behalf of `worker`."""

    database: JobDatabase
    worker: str = ""
    lease: float = LEASE_S
    leases: PartitionLeases = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.leases = PartitionLeases(self.database, self.worker, self.lease)

    async def close(self) -> None:
        """Close the connection."""
        await self.database.close()

    async def job(self, name: str) -> JobRecord | None:
        """Return the job of this name ("" for the only job), or None if there is none."""
        rows = await self.database.execute(
            "SELECT *, {now} AS now FROM {p}job WHERE :job = '' OR name = :job LIMIT 1", job=name
        )
        return JobRecord.of(rows[0]) if rows else None

    async def latest(self, most: int) -> list[JobRecord]:
        """Return the latest jobs, newest first."""
        rows = await self.database.execute(
            "SELECT *, {now} AS now FROM {p}job ORDER BY created_at DESC LIMIT :most", most=most
        )
        return list(map(JobRecord.of, rows))

    async def unfinished(self, only: str = "") -> list[JobRecord]:
        """Return the jobs that are neither stopped nor ended, oldest first."""
        rows = await self.database.execute(
            "SELECT *, {now} AS now FROM {p}job WHERE stop IS NULL AND ended_at IS NULL"
            " AND (:only = '' OR name = :only) ORDER BY created_at",
            only=only,
        )
        return list(map(JobRecord.of, rows))

    async def waves(self, job: str) -> list[WaveCounts]:
        """Return the counts of a job, wave by wave."""
        rows = await self.database.execute(_WAVES, job=job)
        return [_wave(row) for row in rows]

    async def partitions(self, job: str) -> list[Row]:
        """Return the rows of a job's partitions, in order."""
        return await self.database.execute(
            "SELECT *, {now} AS now FROM {p}part WHERE job = :job ORDER BY no", job=job
        )

    async def waiting(self, job: str, most: int) -> list[Row]:
        """Return the first `most` partitions that a worker may take now."""
        return await self.database.execute(
            "SELECT part.no, part.queue FROM {p}part AS part JOIN {p}job AS job"
            " ON job.name = part.job WHERE part.job = :job AND part.open = 1"
            " AND job.stop IS NULL AND part.wave <= job.wave AND part.owned_until < {now}"
            " AND part.not_before <= {now} ORDER BY part.no LIMIT :most",
            job=job,
            most=most,
        )

    async def served(self) -> list[Sequence[str] | None]:
        """Return the queues of each worker that is alive; None stands for all queues."""
        rows = await self.database.execute(
            "SELECT DISTINCT queues FROM {p}worker WHERE alive_until >= {now}"
        )
        return [json.loads(row["queues"]) for row in rows]

    async def at_work(self, job: str) -> int:
        """Return how many partitions are being worked on."""
        rows = await self.database.execute(
            "SELECT count(*) AS number FROM {p}part WHERE job = :job AND owned_until >= {now}",
            job=job,
        )
        return int(rows[0]["number"])

    async def adopt_token(self, job: str, token: str) -> str:
        """Record the fingerprint of the first worker's token; return the one that is recorded."""
        await self.database.execute(
            "UPDATE {p}job SET token = :token WHERE name = :job AND token IS NULL",
            job=job,
            token=token,
        )
        rows = await self.database.execute("SELECT token FROM {p}job WHERE name = :job", job=job)
        return str(rows[0]["token"])

    # The keeper's verbs.

    async def keep(self, job: str) -> JobRecord | None:
        """Become or stay the keeper of a job; return None if another worker is the keeper."""
        rows = await self.database.execute(_KEEP, job=job, worker=self.worker, lease=self.lease)
        return JobRecord.of(rows[0]) if rows else None

    async def leave(self) -> None:
        """Let another worker become the keeper of each job."""
        await self.database.execute(_LEAVE, worker=self.worker)

    async def move(self, job: JobRecord, wave: int, seen: Seen) -> bool:
        """Let a wave start; return whether this worker was still the keeper."""
        rows = await self.database.execute(
            _MOVE,
            job=job.name,
            worker=self.worker,
            wave=job.position.wave,
            to_wave=wave,
            seen=json.dumps(attrs.asdict(seen)),
        )
        return bool(rows)

    async def hold(self, job: JobRecord, seconds: float) -> None:
        """Start the pause after the current wave."""
        await self.database.execute(
            _HOLD, job=job.name, worker=self.worker, wave=job.position.wave, seconds=seconds
        )

    async def waits(self, job: JobRecord, text: str) -> None:
        """Record why the next wave is not starting, or that nothing is in its way ("")."""
        sql = "UPDATE {p}job SET waits = :text WHERE name = :job AND keeper = :worker"
        await self.database.execute(sql, job=job.name, worker=self.worker, text=text)

    async def end(self, job: JobRecord) -> bool:
        """Record that a job is finished."""
        return bool(await self.database.execute(_END, job=job.name, worker=self.worker))

    # Everybody's verbs.

    async def stop(self, job: str, why: str) -> bool:
        """Stop a job; return False if it was already stopped."""
        stopped = bool(await self.database.execute(STOP, job=job, why=why))
        if stopped:
            await self.note(job, f"stopped: {why}")
        return stopped

    async def resume(self, job: JobRecord, options: Mapping[str, Any], *, accept: bool) -> None:
        """Let a job continue with its unfinished operations and these options.

        `job` is the record that the caller has seen. Of several that resume the same record, only
        one has an effect; the others, and one for a job in progress, do nothing if their options
        are the same.

        Raises:
            RunBusyError: the job is in progress with other options; `AlreadyResumedError` if
                another process has resumed it.
        """
        text = json.dumps(dict(options), sort_keys=True)
        resumed = await self.database.execute_both(
            _RESUME,
            _AGAIN,
            job=job.name,
            resumes=job.resumes,
            options=text,
            worker=self.worker,
            accept=int(accept),
        )
        if resumed:
            await self.note(job.name, "resumed")
            return
        now = await self.job(job.name)
        if now is not None and _journalled(now.options) != _journalled(options):
            raise in_progress(now)

    async def note(self, job: str, what: str) -> None:
        """Write a note about a job for people to read."""
        await self.database.execute(
            "INSERT INTO {p}note VALUES (:job, {now}, :worker, :what)",
            job=job,
            worker=self.worker,
            what=what,
        )

    async def notes(self, job: str) -> list[Row]:
        """Return the notes about a job, in order."""
        return await self.database.execute(
            "SELECT at, who, what FROM {p}note WHERE job = :job ORDER BY at", job=job
        )


def _seen_in(text: str | None) -> Seen:
    if text is None:
        return Seen()
    found = json.loads(text)
    met = {gate: tuple(names) for gate, names in found["met"].items()}
    return Seen(online=tuple(found["online"]), met=met, sites=found["sites"])


def _wave(row: Row) -> WaveCounts:
    counts = {State(name): int(row[name]) for name in COUNTED}
    if not row["open"]:
        counts[State.HELD] = int(row["size"]) - sum(counts.values())
    return WaveCounts(
        wave=row["wave"],
        partitions=int(row["partitions"]),
        open=int(row["open"]),
        size=int(row["size"]),
        counts=counts,
        judged={name: int(row[f"judged_{name}"] or 0) for name in JUDGED},
        failures=int(row["failures"]),
        why=row["why"],
    )


def _journalled(options: Mapping[str, Any]) -> JournalOptions:
    return JournalOptions(path="", **options)


def in_progress(job: JobRecord) -> RunBusyError:
    """Return the error that a job cannot be resumed now, because it is in progress."""
    changed = ", ".join(
        f"{name}={value}" for name, value in job.options.items() if value and value != "report"
    )
    options = f"with the options {changed}" if changed else "with the default options"
    said = f"job {job.name} is in progress {options}"
    advice = "to resume it with others, stop it first"
    if job.resumed_at is None:
        return RunBusyError(f"{said}; {advice}")
    moment = datetime.fromtimestamp(job.resumed_at, UTC)
    return AlreadyResumedError(
        f"{said}: {job.resumed_by} resumed it at {moment:%Y-%m-%d %H:%M:%S} UTC; {advice}"
    )
