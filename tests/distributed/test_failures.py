"""What fails around the workers of a job: networks, clocks, the primary, and the engine."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enapter_async import Client, fleet
from enapter_async.clock import Clock
from enapter_async.emulator import Emulator, Latency, World
from enapter_async.fleet.distributed.engines.temporal import TemporalEngine
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.outcomes import State
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.distributed.engines import temporal_server
from tests.distributed.jobs import LEASE, client_for, ended, sent, submitted, until, worker, written
from tests.fleet.test_postgres_troubles import unjournalled
from tests.support.cutter import Cutter
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer

DEVICES = 40


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(world=World.seeded(DEVICES, 1, role="OWNER")) as running:
        running.faults.add(Latency(seconds=0.05), times=None)
        yield running


async def row_of(job: fleet.Job) -> Any:
    """Return the row of a job's only partition."""
    control = await job._place.control()
    try:
        [row] = await control.partitions(job.name)
        return row
    finally:
        await control.close()


async def test_a_worker_that_the_database_cannot_hear_is_replaced_and_sends_nothing_more(
    emulator: Emulator, database: str
) -> None:
    job = await submitted(emulator, f"{database}#job", by=DEVICES, concurrency=2)
    lease, log = 2.0, emulator.world.log
    async with Cutter(database) as network, worker(emulator, network.address, lease=lease):
        await sent(emulator, 6)
        network.is_lost = True
        lost = time.monotonic()
        await until(lambda: time.monotonic() > lost + lease)
        before = log.count_arrivals("PATCH")
        await asyncio.sleep(0.3)  # what is wrongly sent would arrive by then
        assert log.count_arrivals("PATCH") == before < DEVICES
        async with worker(emulator, database):
            assert (await ended(job)).ok
        network.heal()  # the first one connects again, and learns that it has lost its partition
    assert unjournalled(emulator, job.address) == {}
    assert len(written(emulator)) <= DEVICES + 2, "those that were in flight are sent again"


async def test_a_worker_that_cannot_reach_the_server_returns_its_partition(
    folder: Path,
) -> None:
    port = free_port()
    emulator = Emulator(world=World.seeded(DEVICES, 1, role="OWNER"), port=port)
    base_url = f"http://127.0.0.1:{port}"
    works = [UpdateDevice(device_id=each.id, name="New") for each in emulator.world]
    job = await fleet.distribute(works, folder, base_url=base_url, max_pause=0.3)

    def client(**settings: Any) -> Client:
        return Client(emulator.token, base_url=base_url, **settings)

    control = await job._place.control()
    for failures in (1, 2, 3):
        # A new one each time, as on another machine: the same one would leave the job for seconds.
        async with fleet.Worker(client, folder, lease=LEASE):
            while (row := await row_of(job))["failures"] < failures:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)
        assert row["owner"] == ""
        assert "no connection" in row["why"]
        await control.database.execute("UPDATE {p}part SET not_before = 0")
    await control.close()
    async with fleet.Worker(client, folder, lease=LEASE):
        stopped = (await ended(job)).stopped
    assert stopped is not None
    assert stopped.startswith("a partition was returned 3 times: PausedTooLongError: nothing got")
    async with emulator, fleet.Worker(client, folder, lease=LEASE):
        await job.resume()
        assert (await ended(job)).ok
    assert emulator.world.count("update") == DEVICES


async def test_a_worker_whose_clock_is_wrong_says_so_and_works(
    emulator: Emulator, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    job = await submitted(emulator, f"{database}#job", by=DEVICES // 2)
    wrong = Clock(wall=lambda: time.time() - 3600)

    def client(**settings: Any) -> Client:
        return client_for(emulator)(clock=wrong, **settings)

    async with fleet.Worker(client, database, name="late"), worker(emulator, database):
        assert (await ended(job)).ok
    [said] = [each.getMessage() for each in caplog.records if "clock" in each.getMessage()]
    assert said.startswith("worker late: the database's clock is +3600.0 s from this machine's")
    assert len(written(emulator)) == DEVICES


def begun(emulator: Emulator) -> tuple[bool, bool]:
    """Return whether something was sent for the first half of the devices, and for the second."""
    arrived = {each.device_id for each in emulator.world.log.arrivals() if each.method != "GET"}
    names = [each.id for each in emulator.world]
    first, second = names[: DEVICES // 2], names[DEVICES // 2 :]
    return not arrived.isdisjoint(first), not arrived.isdisjoint(second)


async def test_two_workers_outlive_a_failover_to_a_replica(
    emulator: Emulator, database: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    name = database.rpartition("/")[2]
    once = [each.id for each in emulator.world if each.type == "STANDALONE"]
    works = [
        GenerateConfig(device_id=each.id, protocol="MQTT")
        if each.id in once
        else UpdateDevice(device_id=each.id, name="New")
        for each in emulator.world
    ]
    with postgres_server.replica() as replica:
        hosts = f"{database},{replica.address(name)}".replace(f"/{name},postgresql://fleet@", ",")
        place = f"{hosts}?target_session_attrs=read-write"
        job = await submitted(emulator, f"{place}#job", works, by=DEVICES // 2, concurrency=1)
        more = {"slots": 1, "credentials": tmp_path / "kept"}
        async with worker(emulator, place, **more), worker(emulator, place, **more):
            await until(lambda: all(begun(emulator)))
            postgres_server.crash()
            await asyncio.to_thread(replica.promote)
            status = await ended(job)
            assert status.ended
        with closing(connect(Address.parse(place, with_run=False))) as connection:
            rows = connection.execute("SELECT failed_over, timeline FROM enapter_fleet.run")
            assert (True, "00000002") in rows.fetchall(), "the journal remembers it"
    counts = status.counts
    assert counts[State.APPLIED] + counts[State.UNKNOWN] == DEVICES
    assert counts[State.UNKNOWN] <= len(once)
    made = Counter(e.device_id for e in emulator.world.log.effects(operation="generate_config"))
    assert set(made.values()) == {1}, "not even if the replica has lost that it was sent"
    assert len(made) >= len(once) - counts[State.UNKNOWN]
    await asyncio.to_thread(postgres_server.start)


async def test_partitions_in_progress_outlive_their_engine(
    emulator: Emulator, database: str, tmp_path: Path
) -> None:
    job = await submitted(emulator, f"{database}#job", by=DEVICES // 2, concurrency=2)
    emulator.faults.clear()
    emulator.faults.add(Latency(seconds=0.5), times=None)  # its server may need long to end
    async with temporal_server(tmp_path) as target:
        at_work = worker(emulator, database, slots=1, engine=TemporalEngine(target, heartbeat=1.5))
        await at_work.__aenter__()
        await sent(emulator, 2)
    emulator.faults.clear()
    try:
        # Its server is gone: what was begun is finished, and nothing else begins.
        await sent(emulator, DEVICES // 2)
        assert (await job.status()).finished <= 1
        async with temporal_server(tmp_path, int(target.rpartition(":")[2])):
            assert (await ended(job)).ok
            await at_work.__aexit__(None, None, None)
    finally:
        await at_work.__aexit__(None, None, None)
    assert len(written(emulator)) == DEVICES
