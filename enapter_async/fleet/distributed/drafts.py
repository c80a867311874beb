"""Writes a job: its settings, its partitions, and the journal of each, all or nothing."""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.partitions import Division, Partition
from enapter_async.fleet.errors import RunBusyError
from enapter_async.fleet.journal.job_database import (
    JOB_FILE,
    Row,
    SQLiteJobs,
    facts_in,
    partition_file,
)
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import driver
from enapter_async.fleet.journal.postgres.jobs import bound, partition_run, rows_of
from enapter_async.fleet.journal.postgres.rows import write_run
from enapter_async.fleet.journal.postgres.schema import SCHEMA, opened
from enapter_async.fleet.journal.records import ItemRow, item_row
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.fleet.planning.carried_out import PlanClaim
from enapter_async.fleet.rollout.waves import Rollout
from enapter_async.fleet.scratch import open_scratch

PARTITION_ROLLOUT: Final = Rollout(waves=("rest",))
"""The rollout of each partition of a job with waves: one wave, read back in the first two waves."""


@attrs.define(kw_only=True)
class Draft:
    """A job that is not written yet, with its rows sorted by partition on disk. Blocking.

    `plan` is the id of a plan that must not be carried out twice, or ""; `force` means that another
    job may be changing the same targets.
    """

    name: str
    settings: Mapping[str, Any]
    run_facts: Mapping[str, str]
    plan: str
    rollout: Rollout | None
    force: bool = False
    digest: str = ""
    partitions: tuple[Partition, ...] = ()
    merged: int = 0
    secrets: bool = False
    _scratch: sqlite3.Connection = attrs.field(factory=open_scratch)

    def divide(self, division: Division) -> None:
        """Take the items of a divided input."""
        self._scratch.execute(
            "CREATE TABLE item (part INTEGER, seq INTEGER, digest BLOB, operation TEXT,"
            " before TEXT, grp TEXT, unit INTEGER, wave INTEGER, follows INTEGER,"
            " unchanged INTEGER, PRIMARY KEY (part, seq)) WITHOUT ROWID"
        )
        whole = blake2b(digest_size=16)

        def rows() -> Iterator[tuple[Any, ...]]:
            for no, item in division.items():
                self.secrets |= item.operation.answer.secret
                if (thing := item.operation.writes_to()) is not None:
                    hashed = (_hash_of(*thing),)
                    self._scratch.execute("INSERT OR IGNORE INTO subject VALUES (?)", hashed)
                row = item_row(item)
                whole.update(b"%d " % no + row[1])
                yield (no, *row) if len(row) > 3 else (no, *row, None, "", None, 0, None, 0)

        self._scratch.execute("CREATE TABLE subject (hash INTEGER PRIMARY KEY)")
        self._scratch.execute("BEGIN")
        self._scratch.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())
        self._scratch.execute("COMMIT")
        self.digest = whole.hexdigest()
        self.partitions, self.merged = division.partitions, division.merged

    def rows(self, partition: Partition) -> Iterator[ItemRow]:
        """Yield the rows of a partition's items, in order."""
        yield from self._scratch.execute(
            "SELECT seq, digest, operation, before, grp, unit, wave, follows, unchanged"
            " FROM item WHERE part = ? ORDER BY seq",
            (partition.no,),
        )

    def subjects(self) -> Iterator[int]:
        """Yield a hash of each target that the job changes, in ascending order."""
        for (hashed,) in self._scratch.execute("SELECT hash FROM subject ORDER BY hash"):
            yield hashed

    def facts(self, partition: Partition) -> dict[str, str]:
        """Return the facts of a partition's run."""
        facts = {**self.run_facts, "count": str(partition.size)}
        if self.rollout is not None:
            rollout = attrs.evolve(PARTITION_ROLLOUT, per_group=self.rollout.per_group)
            facts["rollout"] = rollout.as_text()
        return facts

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the statements that write the job and its partitions, with their values."""
        facts = {**self.settings, "secrets": self.secrets, "run": dict(self.run_facts)}
        yield job_values(self.name, self.digest, facts, self.merged)
        for partition in self.partitions:
            yield partition_values(self.name, partition)

    def join(self, job: Row, where: str) -> None:
        """Compare the draft with an existing job.

        Raises:
            RunBusyError: the existing job has a different input or different options.
        """
        settings = {key: facts_in(job).get(key) for key in self.settings}
        if (job["digest"], settings) != (self.digest, self.settings):
            raise RunBusyError(
                f"{where} already has the job {job['name']!r} with different input or options; "
                "choose another name"
            )

    def claim_plan(self, where: str) -> None:
        """Record that this job carries out its plan.

        Raises:
            PlanCarriedOutError: another run has carried it out.
        """
        if self.plan:
            PlanClaim.take(self.plan, now=time.time(), journal=where)

    def close(self) -> None:
        """Remove the scratch file."""
        self._scratch.close()


def job_values(
    name: str, digest: str, facts: Mapping[str, Any], merged: int
) -> tuple[str, dict[str, Any]]:
    """Return the statement that writes a new job, and its values."""
    sql = (
        "INSERT INTO {p}job (name, digest, facts, merged, created_at)"
        " VALUES (:name, :digest, :facts, :merged, {now})"
    )
    return sql, {"name": name, "digest": digest, "facts": json.dumps(facts), "merged": merged}


def partition_values(job: str, partition: Partition) -> tuple[str, dict[str, Any]]:
    """Return the statement that writes a new partition, and its values."""
    sql = (
        "INSERT INTO {p}part (job, no, wave, queue, first, size)"
        " VALUES (:job, :no, :wave, :queue, :first, :size)"
    )
    return sql, {"job": job, **attrs.asdict(partition)}


def _hash_of(*thing: str) -> int:
    """Return a 64-bit hash of a target; collisions are very rare."""
    digest = blake2b("\0".join(thing).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def write_to_folder(draft: Draft, folder: Path) -> None:
    """Write a job to a folder, unless it exists already.

    Raises:
        RunBusyError: there is another job, or another process is writing one.
        PlanCarriedOutError: another run has carried out the plan.
        ConfigurationError: the folder cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot store a job: {error.strerror}") from None
    path = folder / JOB_FILE
    lock = RunLock.take(path)
    try:
        if path.is_file():
            jobs = SQLiteJobs.open(path)
            [job] = jobs.execute_now("SELECT * FROM {p}job")
            jobs.close_now()
            draft.join(job, str(folder))
            return
        draft.claim_plan(str(folder))
        for partition in draft.partitions:
            _write_journal(draft, partition, partition_file(folder, partition.no))
        # The file makes the job exist, so it has another name until it is complete.
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        jobs = SQLiteJobs.create(unfinished)
        try:
            jobs.execute_now("BEGIN")
            for sql, values in draft.statements():
                jobs.execute_now(sql, **values)
            jobs.execute_now("COMMIT")
        finally:
            jobs.close_now()
        unfinished.rename(path)
    finally:
        lock.release()


def _write_journal(draft: Draft, partition: Partition, path: Path) -> None:
    path.unlink(missing_ok=True)  # left by a killed submission: no job names it
    journal = SQLiteJournal.open(path)
    try:
        for _ in journal.begin(draft.facts(partition), draft.rows(partition)):
            pass
    finally:
        journal.close()


def write_to_database(draft: Draft, address: Address) -> None:
    """Write a job to a database in one transaction, unless it exists already.

    Raises:
        RunBusyError: there is another job, or a run, of this name.
        PlanCarriedOutError: another run has carried out the plan.
        JournalError: the database cannot be reached.
    """
    where = attrs.evolve(address, run=draft.name).name
    with opened(address) as connection:
        _write_or_join(draft, connection, where)


def _write_or_join(draft: Draft, connection: Any, where: str) -> None:
    def there() -> list[Row]:
        return rows_of(connection, "SELECT * FROM {p}job WHERE name = :job", job=draft.name)

    if not there():
        draft.claim_plan(where)
        try:
            with connection.transaction(), connection.cursor() as cursor:
                _write_subjects(draft, cursor)
                for sql, values in draft.statements():
                    cursor.execute(*bound(sql, values))
                for partition in draft.partitions:
                    run = partition_run(draft.name, partition.no)
                    write_run(cursor, run, draft.facts(partition), draft.rows(partition))
        except driver().errors.UniqueViolation:
            if not there():
                raise RunBusyError(
                    f"{where} is the beginning of another run's name; choose another name"
                ) from None
    [job] = there()
    draft.join(job, where)


def _write_subjects(draft: Draft, cursor: Any) -> None:
    """Write which objects the job changes, and compare them with those of unfinished jobs.

    Raises:
        RunBusyError: another job is changing the same objects.
    """
    # One submission at a time, so that the second of two sees the first.
    cursor.execute(f"SELECT pg_advisory_xact_lock(hashtext('{SCHEMA}.subject'))")
    cursor.execute(
        f"DELETE FROM {SCHEMA}.subject USING {SCHEMA}.job"
        " WHERE subject.job = job.name AND job.ended_at IS NOT NULL"
    )
    with cursor.copy(f"COPY {SCHEMA}.subject (hash, job) FROM STDIN") as copy:
        for hashed in draft.subjects():
            copy.write_row((hashed, draft.name))
    cursor.execute(
        f"SELECT other.job, count(*) FROM {SCHEMA}.subject AS mine"
        f" JOIN {SCHEMA}.subject AS other ON other.hash = mine.hash AND other.job <> mine.job"
        f" JOIN {SCHEMA}.job ON job.name = other.job"
        " WHERE mine.job = %s AND job.ended_at IS NULL AND job.stop IS NULL"
        " GROUP BY other.job ORDER BY count(*) DESC LIMIT 1",
        (draft.name,),
    )
    found = cursor.fetchone()
    if found is not None and not draft.force:
        raise RunBusyError(
            f"job {found[0]!r} is unfinished and changes {found[1]} of the same objects: wait for "
            "it, stop it, or submit this one anyway (force=True, --allow-overlap)"
        )
