"""Two submitters at the same time, and a worker of another version."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from enapter_async import fleet
from enapter_async.emulator import Emulator
from enapter_async.fleet.errors import RunBusyError, RunRefusedError
from enapter_async.fleet.journal.job_database import JOB_FILE, SQLiteJobs
from enapter_async.fleet.journal.postgres.address import Address, is_address
from enapter_async.fleet.journal.postgres.connections import connect
from tests.distributed.jobs import ended, renames, submitted, until, worker, written


async def test_two_submitters_at_once_make_one_job(emulator: Emulator, place: str) -> None:
    found = await asyncio.gather(
        *(submitted(emulator, place) for _ in range(4)), return_exceptions=True
    )
    jobs = [each for each in found if isinstance(each, fleet.Job)]
    assert jobs, found
    # In a folder, one that arrives while another one writes is refused.
    assert all(isinstance(each, fleet.Job | RunBusyError) for each in found), found
    async with worker(emulator, place), worker(emulator, place):
        assert (await ended(jobs[0])).total == 20
    assert len(written(emulator)) == 20


async def test_of_two_different_jobs_of_one_name_one_is_refused(
    emulator: Emulator, place: str
) -> None:
    works = renames(emulator)
    found = await asyncio.gather(
        *(submitted(emulator, place, works[:number]) for number in (5, 6, 7, 8)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in found) == ["Job", *["RunBusyError"] * 3], found


async def test_a_worker_of_another_version_carries_out_nothing(
    emulator: Emulator, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    await submitted(emulator, place)
    if is_address(place):
        with closing(connect(Address.parse(place))) as connection:
            connection.execute("UPDATE enapter_fleet.version SET version = 1")
        advice = "uses version 2: stop the workers, and run `enapter-async fleet journal prepare "
    else:
        jobs = SQLiteJobs.open(Path(place) / JOB_FILE)
        jobs.execute_now("PRAGMA user_version=99")
        jobs.close_now()
        advice = "version 99, but this release works on version 2: finish it with the release "
    with pytest.raises(RunRefusedError, match=advice):
        await submitted(emulator, place)
    finishing = worker(emulator, place)
    with pytest.raises(RunRefusedError, match=advice):
        async with finishing:
            await finishing.finish()
    async with worker(emulator, place, name="other"):  # one that stays waits for another release
        await until(lambda: "worker other waits: " in caplog.text)
    assert written(emulator) == []
