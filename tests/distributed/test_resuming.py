"""A job that several processes resume at the same moment, each with its own connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enapter_async.fleet.distributed.job_records import Control
from enapter_async.fleet.errors import AlreadyResumedError
from enapter_async.fleet.journal.job_database import SQLiteJobs
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.journal.postgres.jobs import PostgresJobs
from tests.distributed.jobs import until
from tests.distributed.test_job_records import LEASE, counts, with_job

RETRY: dict[str, Any] = {"retry_failed": True}


@pytest.fixture(params=["sqlite", "postgres"])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Control]]:
    """Two processes' controls of a job that was stopped, with a partition that failed."""
    databases: list[SQLiteJobs | PostgresJobs]
    if request.param == "sqlite":
        path = tmp_path / "job.db"
        databases = [SQLiteJobs.create(path), SQLiteJobs.open(path)]
    else:
        address = Address.parse(request.getfixturevalue("database"), with_run=False)
        databases = [PostgresJobs(address), PostgresJobs(address)]
    controls = [await with_job(databases[0], "a", "a"), Control(databases[1], "two", lease=LEASE)]
    claim = await controls[0].leases.take(None)
    assert claim is not None
    told = counts(failed=10, judged_failed=10)
    await controls[0].leases.give_back(claim, told, finished=True, failed=True, why="broken")
    await controls[0].stop("job", "by hand")
    yield controls
    for control in controls:
        await control.close()


async def resumed_at_once(two: list[Control], *options: dict[str, Any]) -> list[Any]:
    """Resume from both a job that both have seen stopped; return the answer to each."""
    records = [await control.job("job") for control in two]
    return await asyncio.gather(
        *(
            control.resume(record, each, accept=False)
            for control, record, each in zip(two, records, options, strict=True)
            if record is not None
        ),
        return_exceptions=True,
    )


async def test_of_two_that_resume_a_job_differently_one_is_refused_and_names_the_other(
    two: list[Control],
) -> None:
    told = await resumed_at_once(two, RETRY, {"retry_failed": False, "ambiguous": "skip"})
    [refused] = [each for each in told if each is not None]
    record = await two[0].job("job")
    assert record is not None
    assert isinstance(refused, AlreadyResumedError)
    winner, its = ("one", "retry_failed=True") if told[0] is None else ("two", "ambiguous=skip")
    assert f"with the options {its}: {winner} resumed it at 20" in str(refused)
    assert record.options.get("retry_failed") is (winner == "one"), "those of the one who was told"
    assert [note["what"] for note in await two[1].notes("job")][-1] == "resumed"
    assert (record.resumes, record.stop) == (1, None)
    [wave] = await two[1].waves("job")
    assert (wave.open, wave.failures, wave.judged["failed"]) == (2, 0, 0)


async def test_the_same_resume_twice_has_one_effect(two: list[Control]) -> None:
    assert await resumed_at_once(two, {}, {}) == [None, None]
    # Nobody has begun to work on it, so it may be resumed in another way, and again by both.
    assert await resumed_at_once(two, RETRY, RETRY) == [None, None]
    claim = await two[0].leases.take(None)
    assert claim is not None
    assert await two[0].leases.renew(claim, counts(failed=3, judged_failed=3)) == ""
    # The job is in progress now, so a late resume may not start its counts again.
    assert await resumed_at_once(two, RETRY, RETRY) == [None, None]
    [wave] = await two[1].waves("job")
    assert (wave.open, wave.judged["failed"]) == (2, 3)
    notes = [note["what"] for note in await two[1].notes("job")]
    assert notes.count("resumed") == 2
    told = await resumed_at_once(two, {}, {})
    assert [type(each) for each in told] == [AlreadyResumedError, AlreadyResumedError]


async def test_what_a_session_counted_before_the_resume_no_longer_counts(
    two: list[Control],
) -> None:
    one, other = two
    assert await resumed_at_once(two, RETRY, RETRY) == [None, None]
    claim = await one.leases.take(None)
    assert claim is not None
    await other.stop("job", "too many failed")
    record = await other.job("job")
    assert record is not None
    await other.resume(record, RETRY, accept=False)
    told = counts(failed=10, judged_failed=10)
    assert await one.leases.renew(claim, told) is None
    assert not await one.leases.give_back(claim, told, finished=True)
    [wave] = await other.waves("job")
    assert (wave.open, wave.judged["failed"]) == (2, 0)
    assert (await other.leases.take(None, no=claim.no)) is not None


async def test_both_wait_for_one_row_and_then_one_has_resumed_the_job(database: str) -> None:
    address = Address.parse(database, with_run=False)
    one = await with_job(PostgresJobs(address), "a")
    two = Control(PostgresJobs(address), "two", lease=LEASE)
    await one.stop("job", "by hand")
    with closing(connect(address)) as connection:

        async def locked(*waiting: Awaitable[Any]) -> list[Any]:
            """Start these while the job's row is locked, and release them together."""
            with connection.transaction():
                connection.execute("SELECT FROM enapter_fleet.job FOR UPDATE")
                tasks = [asyncio.ensure_future(each) for each in waiting]
                sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                await until(lambda: connection.execute(sql).fetchone() == (len(tasks),))
                # A partition is locked after its job, so a resume cannot deadlock.
                connection.execute("SELECT FROM enapter_fleet.part FOR UPDATE NOWAIT")
            return await asyncio.gather(*tasks, return_exceptions=True)

        records = [await each.job("job") for each in (one, two)]
        told = await locked(
            *(
                each.resume(record, options, accept=False)
                for each, record, options in zip((one, two), records, (RETRY, {}), strict=True)
                if record is not None
            )
        )
        assert sorted(type(each).__name__ for each in told) == ["AlreadyResumedError", "NoneType"]
        [claim] = await locked(one.leases.take(None))
        assert claim is not None
    await one.close()
    await two.close()
