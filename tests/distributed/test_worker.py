"""What a worker logs about its partitions, and its own rate."""

import logging
from pathlib import Path
from typing import Any

import pytest

from enapter_async import Client, fleet
from enapter_async.emulator import Emulator
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.partition_run import LOGGER
from enapter_async.fleet.distributed.places import place_of
from enapter_async.fleet.rollout.waves import Rollout
from tests.distributed.jobs import client_for, ended, sent, slow_from, submitted, worker, written


async def test_a_worker_logs_each_partition_that_it_takes_and_leaves(
    emulator: Emulator, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    job = await submitted(
        emulator, place, by=20, concurrency=1, rollout=Rollout(waves=("rest",)), max_rate=None
    )
    slow_from(emulator, 5)
    async with worker(emulator, place, name="one"):
        await sent(emulator, 5)
    left = f"{len(written(emulator))} applied, of 20"
    emulator.faults.clear()
    gone = await place_of(place).control("gone", lease=0.001)
    assert await gone.leases.take(None) is not None
    await gone.close()
    async with worker(emulator, place, name="two"):
        assert (await ended(job)).ok
    partition, said = f"{job.name}/0000", [record.getMessage() for record in caplog.records]
    assert said == [
        f"worker one: job {job.name}: wave 1 started",
        f"worker one took {partition}: 0 of 20",
        f"worker one returned {partition} (the worker stops): {left}",
        f"worker two took over {partition} from gone, which was silent for a whole lease: {left}",
        f"worker two finished {partition}: 20 applied, of 20",
        f"worker two: job {job.name} has ended",
    ]


@pytest.mark.parametrize("max_rate", [None, 1000.0])
async def test_a_worker_keeps_a_lower_rate_of_its_own(
    emulator: Emulator, folder: Path, max_rate: float | None
) -> None:
    made: list[Client] = []

    def make(**settings: Any) -> Client:
        made.append(client_for(emulator)(**settings))
        return made[-1]

    job = await submitted(emulator, folder, by=20, max_rate=max_rate)
    async with fleet.Worker(make, folder, max_rate=200):
        assert (await ended(job)).ok
        assert [each.limiter.pace().rate for each in made] == [200]


async def test_a_rate_that_makes_no_sense_is_refused(emulator: Emulator, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="max_rate is 0"):
        fleet.Worker(client_for(emulator), folder, max_rate=0)
    with pytest.raises(ConfigurationError, match="max_rate is -1"):
        await submitted(emulator, folder, max_rate=-1)
