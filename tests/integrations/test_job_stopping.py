"""A stop ends a job that runs here, in another worker, or nowhere."""

import asyncio
from pathlib import Path

from enapter_async.client import Client
from enapter_async.emulator import Emulator, Hang
from enapter_async.fleet import State
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.journal.stop_request import request_stop, stop_request
from enapter_async.integrations.jobs import Jobs, JobSettings, Phase
from tests.distributed.jobs import slow_from
from tests.fleet.fleets import fleet_of, running
from tests.integrations.backends import sessions_of
from tests.integrations.test_jobs import end_of, renames, until_applied

ONE_BY_ONE = JobSettings(concurrency=1)


async def cut_short(emulator: Emulator, client: Client, folder: Path) -> str:
    """Start a job of 20 operations, and close its backend after some."""
    slow_from(emulator, 4)
    async with Jobs(client, folder) as jobs:
        job = await jobs.start(renames(20), settings=ONE_BY_ONE)
        await until_applied(jobs, job.id, 3)
        emulator.faults.clear()
    return job.id


async def test_a_job_running_elsewhere_is_stopped_and_stays_stopped(tmp_path: Path) -> None:
    async with running(fleet_of(40)) as (emulator, client):
        slow_from(emulator, 3)
        async with Jobs(client, tmp_path) as here, Jobs(client, tmp_path, resume=False) as there:
            job = await here.start(renames(40), settings=ONE_BY_ONE)
            await until_applied(here, job.id, 2)
            for _ in range(2):
                assert (await there.stop(job.id)).phase is Phase.STOPPING
            told = (await end_of(here, job.id))[-1].data
            assert (told["phase"], told["stopped"]) == ("stopped", "it was stopped")
            assert 2 <= told["counts"]["applied"] < 30
            assert (await there.get(job.id)).as_json() == told
        async with Jobs(client, tmp_path) as jobs:
            assert sessions_of(jobs) == {}, "a stopped job does not continue by itself"
            emulator.faults.clear()
            assert (await jobs.resume(job.id)).phase is Phase.RUNNING
            told = (await end_of(jobs, job.id))[-1].data
    assert (told["phase"], told["counts"]["applied"], told["stopped"]) == ("ended", 40, "")


async def test_an_interrupted_and_stopped_job_does_not_continue_by_itself(
    tmp_path: Path,
) -> None:
    async with running(fleet_of(20)) as (emulator, client):
        job = await cut_short(emulator, client, tmp_path)
        done = emulator.world.log.count("update")
        async with Jobs(client, tmp_path, resume=False) as jobs:
            assert (await jobs.get(job)).stopped == "its process ended early"
            stopped = await jobs.stop(job)
            assert (stopped.phase, stopped.stopped) == (Phase.STOPPED, "it was stopped")
        async with Jobs(client, tmp_path) as jobs:
            assert sessions_of(jobs) == {}
            assert (await jobs.get(job)).phase is Phase.STOPPED
        assert emulator.world.log.count("update") == done < 20


async def test_an_old_stop_request_stops_no_later_session(tmp_path: Path) -> None:
    async with running(fleet_of(20)) as (emulator, client):
        job = await cut_short(emulator, client, tmp_path)
        folder = RunFolder(tmp_path / job)
        request_stop(folder)
        async with Jobs(client, tmp_path) as jobs:
            await jobs.resume(job)
            assert stop_request(folder) is None
            assert (await end_of(jobs, job))[-1].data["counts"]["applied"] == 20


async def test_a_closing_backend_waits_its_grace_and_no_longer(tmp_path: Path) -> None:
    async with running(fleet_of(3)) as (emulator, client):
        emulator.faults.add(Hang(), times=None, method="PATCH")
        # Without an answer the calls would continue for their whole deadline of a minute.
        async with (
            asyncio.timeout(60) as limit,
            Jobs(client, tmp_path, grace=0.05) as jobs,
        ):
            job = await jobs.start(renames(3))
            first = renames(1)[0].device_id
            while not emulator.world.arrivals_of(first, "PATCH"):  # noqa: ASYNC110 - another's log
                await asyncio.sleep(0.005)
            limit.reschedule(asyncio.get_running_loop().time() + 25)
        async with Jobs(client, tmp_path, resume=False) as jobs:
            counts = (await jobs.get(job.id)).counts
        assert counts[State.UNKNOWN] >= 1
        assert counts[State.UNKNOWN] + counts[State.HELD] == 3


async def test_a_watcher_elsewhere_waits_for_another_worker(tmp_path: Path) -> None:
    async with (
        running(fleet_of(20)) as (emulator, client),
        Jobs(client, tmp_path, resume=False) as there,
    ):
        job = await cut_short(emulator, client, tmp_path)
        watching = asyncio.ensure_future(end_of(there, job))
        await asyncio.sleep(0.05)
        async with Jobs(client, tmp_path):
            events = await watching
        stopped = [each.data["stopped"] for each in events if each.kind == "job"]
        assert stopped[0] == "its process ended early"
        assert (events[-1].data["phase"], events[-1].data["counts"]["applied"]) == ("ended", 20)
    async with Jobs(client, tmp_path, resume=False, patience=0) as there:
        path = tmp_path / job / "job.json"
        path.write_text(path.read_text().replace('"ended"', '"running"'))
        assert [each.kind for each in await end_of(there, job)] == ["end"]
