"""Workers inside another program: with its open client, and with a time limit for stopping."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from enapter_async import Client, fleet
from enapter_async.emulator import Emulator, Hang, World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import State
from enapter_async.operations.devices import GenerateConfig
from tests.distributed.jobs import LEASE, QUICK, client_for, sent, submitted, until, worker


@pytest.fixture(params=["folder", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "job")
    return f"{request.getfixturevalue('database')}#job"


@pytest.fixture
def world() -> World:
    return World.seeded(12, 1, role="OWNER")


async def test_an_open_client_is_used_and_stays_open(emulator: Emulator, tmp_path: Path) -> None:
    place = tmp_path / "job"
    async with client_for(emulator)() as client:
        job = await submitted(emulator, place, max_rate=100.0)
        async with fleet.Worker(client, place, lease=LEASE) as own:
            assert "own limiter" in (await own.finish())[job.name]
        assert (await job.status()).at_work == 0
        async with worker(emulator, place):
            assert (await job.wait()).ok
        assert (await client.devices.get(next(iter(emulator.world)).id)).id
        with pytest.raises(ConfigurationError, match="limiter of the open client"):
            fleet.Worker(client, place, max_rate=5.0)


async def test_what_is_in_flight_is_cut_off_after_the_grace(emulator: Emulator, place: str) -> None:
    emulator.faults.add(Hang(), times=None, method="PATCH")
    job = await submitted(emulator, place)
    async with asyncio.timeout(25):
        async with worker(emulator, place, grace=0.1):
            await sent(emulator, 5)
    assert (await job.status()).at_work == 0, "it was returned"
    emulator.faults.clear()
    async with worker(emulator, place):
        assert (await job.wait()).counts[State.APPLIED] == 12


async def test_a_job_names_every_worker_that_may_hold_its_configurations(
    database: str, tmp_path: Path
) -> None:
    place = f"{database}#job"
    async with Emulator(world=World.seeded(60, 1, role="OWNER")) as emulator:
        able = [device.id for device in emulator.world if device.type == "STANDALONE"]
        emulator.faults.add(Hang(), method="POST", times=None, device=able[-1])
        works = [
            fleet.WorkItem(seq=seq, operation=GenerateConfig(device_id=device, protocol="MQTT"))
            for seq, device in enumerate(able)
        ]
        job = await submitted(emulator, place, works, by=60)
        async with worker(emulator, place, credentials=tmp_path / "a", name="one", grace=0.1):
            await until(lambda: emulator.world.count("generate_config") >= len(able) - 1)
            [said] = (await job.status()).credentials
            assert said.startswith(f"one: {tmp_path / 'a'}"), "before its partition has ended"
        emulator.faults.clear()
        await job.stop()
        await job.resume(ambiguous="regenerate")
        async with worker(emulator, place, credentials=tmp_path / "b", name="two"):
            assert (await job.wait()).ok
        names = [each.partition(": ")[0] for each in (await job.status()).credentials]
        assert names == ["one", "two"]
        kept = [file.read_text("utf-8") for part in "ab" for file in (tmp_path / part).iterdir()]
        assert [each.count("\n") for each in kept] == [len(able) - 1, 1]


async def test_a_job_says_why_all_of_its_workers_wait(emulator: Emulator, database: str) -> None:
    place = f"{database}#job"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        base_url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        job = await submitted(emulator, place, base_url=base_url)

        def client(**settings: Any) -> Client:
            return Client("token", base_url=base_url, retry=QUICK, **settings)

        seen: list[fleet.JobStatus] = []
        async with fleet.Worker(client, place, lease=LEASE, grace=0.1):
            watching = asyncio.ensure_future(job.wait(seen.append))
            await until(lambda: any(status.waiting for status in seen))
            watching.cancel()
    assert "paused 0:" in seen[-1].waiting
    assert "no connection" in seen[-1].waiting
    assert (await job.status()).waiting == "", "nobody is at work"
