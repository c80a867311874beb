"""What a worker does with partitions that it cannot carry out, and with jobs of others."""

import asyncio
import logging
from pathlib import Path
from typing import Any, Literal

import pytest

from enapter_async import fleet
from enapter_async.emulator import Emulator, Reply
from enapter_async.fleet.distributed.job_records import Control
from enapter_async.fleet.distributed.keeper import Keeper
from enapter_async.fleet.distributed.partition_run import FAILURE_DELAY_S, PartitionRun
from enapter_async.fleet.distributed.places import place_of
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.journal.job_database import Row, partition_file
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.jobs import PostgresJobs
from enapter_async.fleet.journal.sqlite.lock import RunLock
from tests.distributed.jobs import LEASE, client_for, submitted, until, worker, written
from tests.support.cutter import Cutter


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


class CutAtTheEnd(PostgresJobs):
    """Loses the connection once, as a partition is returned."""

    def __init__(self, network: Cutter, way: Literal["request", "answer"]) -> None:
        super().__init__(Address.parse(network.address, with_run=False))
        self._network, self._way = network, way

    async def execute(self, sql: str, **values: Any) -> list[Row]:
        if "gave_up" in values and not self._network.cuts:
            self._network.cut_at = self._way
        return await super().execute(sql, **values)


@pytest.mark.parametrize("way", ["request", "answer"])
async def test_a_partition_is_returned_although_the_connection_is_lost_then(
    emulator: Emulator,
    database: str,
    way: Literal["request", "answer"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "enapter_async.worker")
    job = await submitted(emulator, f"{database}#job", by=20)
    async with Cutter(database) as network, client_for(emulator)() as client:
        control = Control(CutAtTheEnd(network, way), "one", LEASE)
        await Keeper(place_of(database)).keep(control, "job", client)
        claim, record = await control.leases.take(None), await control.job("job")
        assert claim is not None
        assert record is not None
        journal = f"{database}#job/0000"
        run = PartitionRun(
            control, record, claim, client, journal=journal, remote=True, credentials=None
        )
        assert (await run.carry_out()).finished
        await control.close()
        assert network.cuts == 1
    [row] = await rows_of(job)
    assert (row["owner"], row["open"], row["tries"]) == ("", 0, 1), "not only once its lease ends"
    assert "worker one finished job/0000: 20 applied, of 20" in caplog.messages


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
