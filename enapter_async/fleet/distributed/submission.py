"""Writes a job: its settings, its partitions, and the journal of each, all or nothing."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import attrs

from enapter_async._http.security import parse_base_url
from enapter_async.client import DEFAULT_BASE_URL
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.control import job_values, partition_values
from enapter_async.fleet.distributed.job import Job
from enapter_async.fleet.distributed.partitions import SIZE, By, Division, Partition
from enapter_async.fleet.distributed.places import Address, Folder, place_of
from enapter_async.fleet.errors import RunBusyError
from enapter_async.fleet.inputs import Input, Operations
from enapter_async.fleet.journal.job_database import JOB_FILE, SQLiteJobs, facts_in, partition_file
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.records import ItemRow, item_row
from enapter_async.fleet.journal.resume import new_facts
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.fleet.obstacles import MAX_PAUSE
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.planning.carried_out import PlanClaim
from enapter_async.fleet.planning.drift import GuardMode
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT, Abort
from enapter_async.fleet.rollout.waves import Rollout
from enapter_async.fleet.scratch import open_scratch

PARTITION_ROLLOUT: Final = Rollout(waves=("rest",))
"""The rollout of each partition of a job with waves: all at once, read back in the first two."""


class _Nobody:
    """Stands for the client of a run that no worker has begun yet: it has no token."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def fingerprint(self, salt: bytes) -> str:
        return ""

    def call(self, operation: Any, *, record: Any, patient: bool = False) -> Any:
        raise NotImplementedError


async def distribute(
    operations: Operations[Any] | Plan,
    address: Address,
    *,
    name: str | None = None,
    by: By = SIZE,
    max_rate: float | None = None,
    rollout: Rollout | None = None,
    abort: Abort = DEFAULT_ABORT,
    base_url: str | None = None,
    concurrency: int = 64,
    check: bool = False,
    guard: GuardMode | str = GuardMode.AUTO,
    max_pause: float = MAX_PAUSE,
    again: bool = False,
    facts: Mapping[str, str] | None = None,
) -> Job:
    """Write a job that any number of `fleet.Worker` processes carry out together.

    `address` is a folder, for processes of one machine. The input is divided into partitions:
    `by` is a number of operations, or "site" for one partition per site, which only workers of the
    queue `site:<site id>` take. All operations of a device are in one partition. `max_rate` is the
    highest number of requests per second of all workers together. The other options are those of
    `fleet.Run`; `abort` counts over the whole job, and `rollout` too: a wave starts once the
    previous one is finished and has passed, whichever workers carried it out.

    Nothing is sent, and no token is needed: each worker has its own. `base_url` is the server that
    the job is about, by default that of the plan. Submitting the same job again joins it.

    Raises:
        RunBusyError: there is a job of this name with another input.
        InputConflictError: operations contradict each other.
        PlanCarriedOutError: another run has carried out the plan.
        ConfigurationError: an option is invalid, or the job cannot be written.
    """
    options = RunOptions(
        concurrency=concurrency, abort=abort, check=check, guard=guard, rollout=rollout,
        max_pause=max_pause,
    )  # fmt: skip
    if not isinstance(options.guard, GuardMode):
        raise ConfigurationError("guard must be a mode of StateGuard: workers cannot share another")
    place = place_of(address)
    about = base_url or (
        operations.header.base_url if isinstance(operations, Plan) else DEFAULT_BASE_URL
    )
    given = Input(operations)
    settings = {
        "abort": [attrs.asdict(each) for each in options.abort],
        "rollout": None if rollout is None else rollout.as_text(),
        "max_rate": max_rate,
        "concurrency": concurrency,
        "check": check,
        "guard": str(options.guard),
        "max_pause": options.max_pause,
    }
    job = name or place.default_name
    run_facts = {
        **JournalOptions(path=place.name, facts=facts or {}).facts,
        "level": "process",
        **new_facts(
            _Nobody(str(parse_base_url(about, allow_insecure_http=True))),
            at_ms=int(time.time() * 1000), known=True,
        ),
    }  # fmt: skip
    writing = _Submission(
        place=place, name=job, given=given, by=by, rollout=rollout, settings=settings,
        run_facts=run_facts,
    )  # fmt: skip
    plan = "" if again else given.plan
    await asyncio.to_thread(writing.write, plan)
    return Job(place, job)


@attrs.define(kw_only=True)
class _Submission:
    """The writing of one job; blocking."""

    _place: Folder
    _name: str
    _given: Input
    _by: By
    _rollout: Rollout | None
    _settings: Mapping[str, Any]
    _run_facts: Mapping[str, str]
    _scratch: sqlite3.Connection = attrs.field(factory=open_scratch)

    def write(self, plan: str) -> None:
        """Write the job, unless it is there already with the same input.

        Raises:
            RunBusyError: it is there with another input.
        """
        try:
            division = Division(self._given, by=self._by, rollout=self._rollout)
            digest = self._collect(division)
            self._write(division, digest, plan)
        finally:
            self._scratch.close()

    def _collect(self, division: Division) -> str:
        """Sort the rows by partition, on disk; return a digest of all of them."""
        self._scratch.execute(
            "CREATE TABLE item (part INTEGER, seq INTEGER, digest BLOB, operation TEXT,"
            " before TEXT, grp TEXT, unit INTEGER, wave INTEGER, follows INTEGER,"
            " unchanged INTEGER, PRIMARY KEY (part, seq)) WITHOUT ROWID"
        )
        whole = blake2b(digest_size=16)

        def rows() -> Iterator[tuple[Any, ...]]:
            for no, item in division.items():
                row = item_row(item)
                whole.update(b"%d " % no + row[1])
                yield (no, *row) if len(row) > 3 else (no, *row, None, "", None, 0, None, 0)

        self._scratch.execute("BEGIN")
        self._scratch.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())
        self._scratch.execute("COMMIT")
        return whole.hexdigest()

    def _rows_of(self, partition: Partition) -> Iterator[ItemRow]:
        yield from self._scratch.execute(
            "SELECT seq, digest, operation, before, grp, unit, wave, follows, unchanged"
            " FROM item WHERE part = ? ORDER BY seq",
            (partition.no,),
        )

    def _facts_of(self, partition: Partition) -> dict[str, str]:
        facts = {**self._run_facts, "count": str(partition.size)}
        if self._rollout is not None:
            rollout = attrs.evolve(PARTITION_ROLLOUT, per_group=self._rollout.per_group)
            facts["rollout"] = rollout.as_text()
        return facts

    def _write(self, division: Division, digest: str, plan: str) -> None:
        folder = self._place.path
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = RunLock.take(folder / JOB_FILE)
        try:
            if self._place.exists():
                self._join(digest)
                return
            if plan:
                PlanClaim.take(plan, now=time.time(), journal=str(folder))
            for partition in division.partitions:
                self._write_partition(partition)
            self._write_job(division.partitions, digest, division.merged)
        finally:
            lock.release()

    def _write_partition(self, partition: Partition) -> None:
        path = partition_file(self._place.path, partition.no)
        path.unlink(missing_ok=True)  # of a submission that was killed: no job names it
        journal = SQLiteJournal.open(path)
        try:
            for _ in journal.begin(self._facts_of(partition), self._rows_of(partition)):
                pass
        finally:
            journal.close()

    def _write_job(self, partitions: Sequence[Partition], digest: str, merged: int) -> None:
        """Write the file that makes the job exist, under another name until it is complete."""
        path = self._place.path / JOB_FILE
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        facts = {**self._settings, "run": dict(self._run_facts)}
        jobs = SQLiteJobs.create(unfinished)
        try:
            jobs.execute_now("BEGIN")
            sql, values = job_values(self._name, digest, facts, merged)
            jobs.execute_now(sql, **values)
            for partition in partitions:
                sql, values = partition_values(self._name, partition)
                jobs.execute_now(sql, **values)
            jobs.execute_now("COMMIT")
        finally:
            jobs.close_now()
        unfinished.rename(path)

    def _join(self, digest: str) -> None:
        jobs = SQLiteJobs.open(self._place.path / JOB_FILE)
        try:
            [row] = jobs.execute_now("SELECT * FROM {p}job")
        finally:
            jobs.close_now()
        settings = {key: value for key, value in facts_in(row).items() if key != "run"}
        if (row["digest"], settings) != (digest, self._settings):
            raise RunBusyError(
                f"{self._place.name} holds the job {row['name']!r} with another input or other "
                "options; name another place"
            )
