"""How a job's files are read: once, and then only what was written since."""

import asyncio
import contextlib
import itertools
import sqlite3
from pathlib import Path

from enapter_async.client import Client
from enapter_async.clock import Clock
from enapter_async.emulator import Behaviour, Commands, Drop, Latency, Reply, World
from enapter_async.fleet import Rollout, State
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.integrations.job_reader import JobReader
from enapter_async.integrations.jobs import RESUME_OPTIONS, Jobs, JobSettings, Phase
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.fleets import fleet_of, running, uuid
from tests.integrations.test_jobs import backend, end_of, renames


def execute(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "journal.db")) as journal, journal:
        journal.execute(statement)


async def test_a_list_rereads_only_jobs_that_continued(
    tmp_path: Path,
) -> None:
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(renames(20), source="May")
        await end_of(jobs, job.id)
    folder = tmp_path / job.id
    execute(folder, "DELETE FROM item WHERE seq >= 5")
    execute(folder, "DELETE FROM event WHERE seq >= 5 AND id < (SELECT max(id) FROM event)")
    execute(folder, "UPDATE event SET seq = 0 WHERE seq >= 5")
    async with backend(tmp_path) as (_, jobs):
        [listed] = await jobs.list()
        assert (listed.total, listed.counts[State.APPLIED], listed.phase) == (20, 20, Phase.ENDED)
        execute(folder, "INSERT INTO event (seq, step, kind, at_ms) VALUES (1, 0, 'failed', 0)")
        [listed] = await jobs.list()
        assert (listed.total, listed.counts[State.FAILED]) == (5, 1)


async def test_a_job_elsewhere_is_read_from_the_last_position(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(renames(20))
        await end_of(jobs, job.id)
    folder = RunFolder(tmp_path / job.id)
    lock = RunLock.take(folder.journal)
    try:
        reader = JobReader(folder)
        assert reader.look().summary.counts[State.APPLIED] == 20
        execute(folder.path, "DELETE FROM event WHERE seq < 10")
        execute(
            folder.path, "INSERT INTO event (seq, step, kind, at_ms) VALUES (3, 0, 'failed', 0)"
        )
        seen = reader.look()
        counts = seen.summary.counts
        assert (counts[State.APPLIED], counts[State.FAILED]) == (19, 1)
        assert [each["device_id"] for each in seen.troubles] == [uuid(3)]
        # A different journal in its place is read from the beginning.
        with contextlib.closing(sqlite3.connect(folder.journal)) as old:
            old.execute("VACUUM INTO ?", (str(folder.path / "new.db"),))
        (folder.path / "new.db").replace(folder.journal)
        assert reader.look().summary.counts[State.APPLIED] == 10
    finally:
        lock.release()


async def test_a_watcher_elsewhere_receives_each_failure_once_in_order(tmp_path: Path) -> None:
    works = [*renames(3), UpdateDevice(device_id=uuid(4), name="x"), *renames(20)[10:12]]
    settings = JobSettings(concurrency=1, abort=())
    async with running(fleet_of(20)) as (emulator, client):
        emulator.faults.add(Reply(status=409, body=b"{}"), device=uuid(4), method="PATCH")
        emulator.faults.add(Latency(seconds=0.01), times=None, method="PATCH")
        async with Jobs(client, tmp_path) as here, Jobs(client, tmp_path, resume=False) as there:
            job = await here.start(works, settings=settings)
            events = await end_of(there, job.id)
    told: list[object] = []
    for event in events:
        if event.kind == "troubles":
            told = [*told[: event.data["from"]], *event.data["troubles"]]
    assert [each["device_id"] for each in told if isinstance(each, dict)] == [uuid(4)]
    assert events[-1].data["counts"]["applied"] == 5


async def test_next_steps_after_unknown_configurations(tmp_path: Path) -> None:
    async with running(fleet_of(6)) as (emulator, client), Jobs(client, tmp_path) as jobs:
        lost = Drop(after_effect=True)
        for number in (1, 2):
            emulator.faults.add(lost, device=uuid(number), method="POST")
        works = [GenerateConfig(device_id=uuid(n), protocol="MQTT") for n in (1, 2)]
        job = await jobs.start(works, settings=JobSettings(abort=()))
        told = (await end_of(jobs, job.id))[-1].data
        assert (told["counts"]["unknown"], told["next_steps"]) == (2, ["regenerate", "skip"])
        await jobs.resume(job.id)
        told = (await end_of(jobs, job.id))[-1].data
        assert told["next_steps"] == ["regenerate", "skip"], "it continues only with a decision"
        await jobs.resume(job.id, **RESUME_OPTIONS["regenerate"])
        told = (await end_of(jobs, job.id))[-1].data
        assert (told["counts"]["applied"], told["next_steps"]) == (2, [])
        assert emulator.world.log.count("generate_config") == 4

        emulator.faults.add(lost, device=uuid(3), method="POST")
        job = await jobs.start([GenerateConfig(device_id=uuid(3), protocol="MQTT")])
        await end_of(jobs, job.id)
        await jobs.resume(job.id, **RESUME_OPTIONS["skip"])
        told = (await end_of(jobs, job.id))[-1].data
        assert (told["counts"]["unknown"], told["next_steps"]) == (1, [])
        assert [each.next_steps for each in await jobs.list()] == [(), ()]


async def test_next_steps_after_commands_that_have_not_ended(tmp_path: Path) -> None:
    first, second = World.seeded(2, 1, role="OWNER").devices
    async with running([first, second]) as (emulator, client), Jobs(client, tmp_path) as jobs:
        emulator.noun(Commands).behave("reboot", Behaviour(latency=2.0))
        emulator.faults.add(Drop(after_effect=True), device=second.id, method="POST")
        works = [CreateExecution(device_id=each.id, name="reboot") for each in (first, second)]
        job = await jobs.start(works, settings=JobSettings(abort=(), wait=0.1))
        told = (await end_of(jobs, job.id))[-1].data
        assert (told["counts"]["pending"], told["counts"]["unknown"]) == (1, 1)
        assert told["next_steps"] == ["resume", "regenerate", "skip", "accept_candidates"]
        await asyncio.sleep(2.0)
        await jobs.resume(job.id, **RESUME_OPTIONS["accept_candidates"])
        told = (await end_of(jobs, job.id))[-1].data
        assert (told["counts"]["applied"], told["next_steps"]) == (2, [])
        assert emulator.world.count("ran") == 2


async def test_next_steps_after_a_wave_that_did_not_pass(tmp_path: Path) -> None:
    async with running(fleet_of(6)) as (emulator, client), Jobs(client, tmp_path) as jobs:
        works = [UpdateDevice(device_id=uuid(0), slug="device-5"), *renames(4)[1:]]
        job = await jobs.start(works, rollout=Rollout(waves=(1, "rest")))
        for _ in range(2):
            told = (await end_of(jobs, job.id))[-1].data
            assert told["next_steps"] == ["resume", "retry_failed", "accept_wave"]
            assert (told["left"], emulator.world.log.count("update")) == (3, 0)
            await jobs.resume(job.id)
        await end_of(jobs, job.id)
        await jobs.resume(job.id, **RESUME_OPTIONS["accept_wave"])
        told = (await end_of(jobs, job.id))[-1].data
        assert (told["phase"], told["next_steps"]) == ("ended", ["retry_failed"])
        assert told["counts"]["applied"] == 3


async def test_the_latest_jobs_are_those_started_last_even_if_the_clock_was_set_back(
    tmp_path: Path,
) -> None:
    hours_back = itertools.count(1_800_000_000, -3600)
    clock = Clock(wall=lambda: float(next(hours_back)))
    async with running(fleet_of(3)) as (emulator, _):
        client = Client(emulator.token, base_url=emulator.base_url, clock=clock)
        async with client, Jobs(client, tmp_path) as jobs:
            begun = [(await jobs.start(renames(1), source=f"job {n}")).id for n in range(3)]
            assert [each.id for each in await jobs.list()] == begun[::-1]


async def test_many_threads_may_read_one_job(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(renames(20))
        await end_of(jobs, job.id)
    reader = JobReader(RunFolder(tmp_path / job.id))
    seen = await asyncio.gather(*(asyncio.to_thread(reader.look) for _ in range(8)))
    assert {look.summary.counts[State.APPLIED] for look in seen} == {20}
