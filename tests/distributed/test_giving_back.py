"""What a worker does with partitions that it cannot carry out, and with jobs of others."""

import asyncio
from pathlib import Path

import pytest

from enapter_async import fleet
from enapter_async.emulator import Emulator, Reply
from enapter_async.fleet.distributed.partition_run import FAILURE_DELAY_S
from enapter_async.fleet.distributed.places import place_of
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.journal.job_database import Row, partition_file
from enapter_async.fleet.journal.sqlite.lock import RunLock
from tests.distributed.jobs import client_for, submitted, until, worker, written


async def rows_of(job: fleet.Job) -> list[Row]:
    control = await place_of(job).control()
    try:
        return await control.partitions(job.name)
    finally:
        await control.close()


async def failed(job: fleet.Job) -> None:
    async with asyncio.timeout(60):
        while not (await rows_of(job))[0]["failures"]:  # noqa: ASYNC110 - the file has no event
            await asyncio.sleep(0.05)


async def test_a_partition_is_returned_with_the_error_that_ended_it(
    emulator: Emulator, folder: Path
) -> None:
    job = await submitted(emulator, folder, by=20)

    refused = Reply(status=401, content_type="application/json", body=b'{"errors": []}')
    emulator.faults.add(refused, times=None)
    began = (await rows_of(job))[0]["now"]
    async with worker(emulator, folder):
        await failed(job)
    [row] = await rows_of(job)
    assert (row["owner"], row["open"], row["failures"]) == ("", 1, 1)
    assert row["why"].startswith("AuthenticationError: ")
    assert row["not_before"] >= began + FAILURE_DELAY_S, "others get time to be better placed"
    status = await job.status()
    assert status.running
    assert emulator.world.count("update") == 0


async def test_a_partition_whose_journal_is_held_is_tried_again_later(
    emulator: Emulator, folder: Path
) -> None:
    job = await submitted(emulator, folder, by=20)
    lock = RunLock.take(partition_file(folder, 0))
    async with worker(emulator, folder):
        [row] = await rows_of(job)
        async with asyncio.timeout(60):
            while not row["tries"] or row["owner"]:
                await asyncio.sleep(0.01)
                [row] = await rows_of(job)
        assert row["failures"] == 0, "that is nobody's fault"
        assert written(emulator) == []
        lock.release()
        await until(lambda: len(written(emulator)) == 20)


async def test_a_finishing_worker_leaves_other_jobs_and_says_why(
    emulator: Emulator, folder: Path
) -> None:
    await submitted(emulator, folder, base_url="http://127.0.0.1:9")
    async with asyncio.timeout(60), worker(emulator, folder) as finishing:
        refused = await finishing.finish()
    assert refused == {"job": f"its server is http://127.0.0.1:9, not {emulator.base_url}"}
    assert written(emulator) == []


async def test_a_finishing_worker_reports_that_there_is_no_job(
    emulator: Emulator, folder: Path
) -> None:
    nowhere = fleet.Worker(client_for(emulator), folder)
    with pytest.raises(RunNotFoundError, match="there is no job"):
        async with nowhere:
            await nowhere.finish()
