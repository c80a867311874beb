"""A job that undoes another one, carried out by workers as well."""

from pathlib import Path

import pytest

from enapter_async import fleet
from enapter_async.emulator import Emulator, World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import Rollout, RunBusyError, UndoOnly
from enapter_async.operations.devices import UpdateDevice
from tests.distributed.jobs import client_for, ended, submitted, worker


@pytest.fixture
def world() -> World:
    return World.seeded(40, 1, role="OWNER")


async def test_a_job_is_undone_in_parts_by_several_workers(emulator: Emulator, place: str) -> None:
    before = [each.name for each in emulator.world]
    operations = [UpdateDevice(device_id=each.id, name="New") for each in emulator.world]
    async with client_for(emulator)() as client:
        with await fleet.plan(client, operations) as plan:
            job = await submitted(emulator, place, plan, max_rate=500.0)
        async with worker(emulator, place):
            assert (await ended(job)).ok

        first = await job.undo(client, f"{place}-a", only=UndoOnly(items=frozenset(range(8))))
        assert (await first.status()).total == 8
        changed = list(emulator.world)[30].id
        emulator.world.change(changed, name="by hand")
        async with worker(emulator, f"{place}-a"):
            assert (await ended(first)).ok
        undo = await job.undo(client, rollout=Rollout(waves=(1, "rest")))
        assert undo.address == f"{job.address}-undo"
        async with (
            worker(emulator, undo.address, slots=1),
            worker(emulator, undo.address, slots=1),
        ):
            status = await ended(undo)
        assert status.ok
        assert (status.by, status.max_rate, status.waves) == (10, 500.0, 2)
        # Eight were undone already, and one is no longer as the job left it.
        assert (status.total, status.partitions) == (31, 4)
        assert fleet.status(undo).facts["source"] == f"undo of {job.name}"
        names = [each.name for each in emulator.world]
        assert names[:30] + names[31:] == before[:30] + before[31:]
        assert names[30] == "by hand"
        with pytest.raises(RunBusyError, match="different input"):
            await job.undo(client)


async def test_a_job_on_another_server_is_not_undone(emulator: Emulator, folder: Path) -> None:
    job = await submitted(emulator, folder, base_url="http://127.0.0.1:9")
    async with client_for(emulator)() as client:
        with pytest.raises(ConfigurationError, match=r"that run used http://127\.0\.0\.1:9"):
            await job.undo(client)
