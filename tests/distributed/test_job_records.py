"""The statements about a job: which worker gets which partition, and the stop."""

import asyncio
import functools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.drafts import job_values, partition_values
from enapter_async.fleet.distributed.job_records import Control
from enapter_async.fleet.distributed.partitions import Partition
from enapter_async.fleet.errors import RunNotFoundError, RunRefusedError
from enapter_async.fleet.journal.job_database import COUNTED, JUDGED, SQLiteJobs
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.jobs import JobDatabase, PostgresJobs
from enapter_async.fleet.journal.waves import Seen
from enapter_async.fleet.outcomes import State

FACTS: dict[str, Any] = {"abort": [], "rollout": None, "max_rate": None, "run": {}}
LEASE = 60.0
"""None ends while a test runs, unless the test ends it."""


def counts(**told: int) -> dict[str, int]:
    names = (*COUNTED, *(f"judged_{name}" for name in JUDGED))
    return dict.fromkeys(names, 0) | told


async def let_lapse(database: JobDatabase) -> None:
    """Let all leases end, as if nothing had been reported for their time."""
    await database.execute("UPDATE {p}part SET owned_until = {now} - 1 WHERE owner <> ''")
    await database.execute("UPDATE {p}job SET keeper_until = {now} - 1")


async def with_job(database: JobDatabase, *queues: str) -> Control:
    """Write a job with one partition of ten for each queue; a queue "2/a" belongs to wave 2."""
    sql, values = job_values("job", "digest", FACTS, 0)
    await database.execute(sql, **values)
    for no, text in enumerate(queues):
        wave, _, queue = text.rpartition("/")
        partition = Partition(no=no, wave=int(wave or 0), queue=queue, first=10 * no, size=10)
        sql, values = partition_values("job", partition)
        await database.execute(sql, **values)
    control = Control(database, "one", lease=LEASE)
    record = await control.keep("job")
    assert record is not None
    assert await control.move(record, 0, Seen())
    return control


@pytest.fixture(params=["sqlite", "postgres"])
async def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JobDatabase]:
    opened: JobDatabase
    if request.param == "sqlite":
        opened = SQLiteJobs.create(tmp_path / "job.db")
    else:
        opened = PostgresJobs(Address.parse(request.getfixturevalue("database"), with_run=False))
    yield opened
    await opened.close()


async def test_a_partition_belongs_to_one_worker_until_its_lease_is_over(jobs: JobDatabase) -> None:
    one = await with_job(jobs, "a", "a", "b")
    two = Control(jobs, "two", lease=LEASE)
    first, second = await one.leases.take(("a",)), await two.leases.take(("a",))
    assert first is not None
    assert second is not None
    assert (first.no, second.no) == (0, 1)
    assert await two.leases.take(("a",)) is None
    assert await two.at_work("job") == 2
    await let_lapse(jobs)
    assert await one.leases.renew(first, counts(applied=3)) == ""
    again = await one.leases.take(("a",))
    assert again is not None
    assert (again.no, again.tries) == (1, 2), "the other worker reported nothing for a whole lease"
    assert await two.leases.renew(second, counts(applied=9)) is None
    await two.leases.give_back(second, counts(applied=9), finished=True)
    [wave] = await one.waves("job")
    assert (wave.open, wave.counts[State.APPLIED]) == (3, 3), (
        "reports of a late worker do not count"
    )
    assert (await one.leases.take(None, no=2)) is not None


async def test_no_partition_is_taken_after_a_stop_or_of_a_later_wave(jobs: JobDatabase) -> None:
    control = await with_job(jobs, "a", "1/a")
    claim = await control.leases.take(None)
    assert claim is not None
    assert await control.leases.take(None) is None, "wave 2 has not begun"
    await control.leases.give_back(claim, counts(applied=10), finished=True)
    record = await control.keep("job")
    assert record is not None
    assert await control.stop("job", "why not")
    assert not await control.stop("job", "another reason")
    assert not await control.move(record, 1, Seen()), "a stopped job starts no wave"
    assert await control.keep("job") is None
    record = await control.job("job")
    assert record is not None
    await control.resume(record, {"retry_failed": True}, accept=False)
    record = await control.keep("job")
    assert record is not None
    assert (record.stop, record.options["retry_failed"]) == (None, True)
    seen = Seen(online=("dev-1",), met={"alerts": ("dev-1", "dev-2")}, sites={"dev-2": "site"})
    assert await control.move(record, 1, seen)
    [found] = await control.unfinished()
    assert found.seen == seen
    claim = await control.leases.take(None)
    assert claim is not None
    assert await control.leases.renew(claim, counts()) == ""
    await control.stop("job", "now")
    assert await control.leases.renew(claim, counts()) == "now"
    assert [note["what"] for note in await control.notes("job")] == [
        "stopped: why not", "resumed", "stopped: now",
    ]  # fmt: skip


async def test_one_worker_at_a_time_coordinates_a_job(jobs: JobDatabase) -> None:
    one = await with_job(jobs, "a")
    two = Control(jobs, "two", lease=LEASE)
    record = await one.keep("job")
    assert record is not None
    assert await two.keep("job") is None
    await one.leave()
    assert await two.keep("job") is not None, "a worker that left coordinates nothing"
    await two.leave()
    assert await one.keep("job") is not None
    await two.leave()
    assert await two.keep("job") is None, "a worker gives up only its own jobs"
    await let_lapse(jobs)
    assert await two.keep("job") is not None
    assert not await one.move(record, 1, Seen())
    assert not await one.end(record)
    assert await two.end(record)
    assert await two.leases.take(None) is None, "no partition of an ended job is taken"


async def test_a_partition_is_open_again_if_something_in_it_is_not_done(
    jobs: JobDatabase,
) -> None:
    control = await with_job(jobs, "a", "a")
    for told in (counts(applied=10), counts(applied=8, failed=2, judged_failed=2)):
        claim = await control.leases.take(None)
        assert claim is not None
        give_back = functools.partial(control.leases.give_back, failed=True, why="broken")
        assert await give_back(claim, told, finished=True)
        assert await give_back(claim, told, finished=True), "the answer may have been lost"
    [wave] = await control.waves("job")
    assert (wave.open, wave.failures, wave.why, wave.judged["failed"]) == (0, 1, "broken", 2)
    record = await control.job("job")
    assert record is not None
    await control.resume(record, {}, accept=True)
    [wave] = await control.waves("job")
    assert (wave.open, wave.failures, wave.judged["failed"]) == (1, 0, 0)
    [record] = await control.unfinished()
    assert record.position.accepted


async def test_the_token_of_the_first_worker_is_that_of_the_job(jobs: JobDatabase) -> None:
    control = await with_job(jobs, "a")
    assert await control.adopt_token("job", "abc") == "abc"
    assert await control.adopt_token("job", "xyz") == "abc"


async def test_a_statement_that_nobody_waits_for_any_more_disturbs_no_other(
    jobs: JobDatabase,
) -> None:
    control = await with_job(jobs, "a")
    cut = asyncio.create_task(control.note("job", "cut off"))
    other = asyncio.create_task(control.partitions("job"))
    for _ in range(3):
        await asyncio.sleep(0)
    cut.cancel()
    assert len(await other) == 1
    noted = [note["what"] for note in await control.notes("job")]
    assert noted in (["cut off"], []), "on a busy machine, its thread had not begun"
    cut = asyncio.create_task(control.note("job", "at the end"))
    await asyncio.sleep(0)
    cut.cancel()
    await control.close()


def test_a_file_that_is_not_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError):
        SQLiteJobs.open(tmp_path / "job.db")
    jobs = SQLiteJobs.create(tmp_path / "job.db")
    with pytest.raises(ConfigurationError, match="cannot store a job"):
        SQLiteJobs.create(tmp_path / "job.db")
    jobs.execute_now("PRAGMA user_version=9")
    jobs.close_now()
    with pytest.raises(RunRefusedError, match="version 9"):
        SQLiteJobs.open(tmp_path / "job.db")
    (tmp_path / "text").write_text("no database, but long enough to be taken for one" * 20)
    with pytest.raises(RunRefusedError):
        SQLiteJobs.open(tmp_path / "text")
