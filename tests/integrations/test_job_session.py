"""Sessions of a job that several callers start at once, or whose file cannot be read."""

import asyncio
from pathlib import Path

import pytest

from enapter_async.emulator import Emulator
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import RunRefusedError
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.integrations.job_files import JobFile
from enapter_async.integrations.jobs import Jobs, JobSettings, Phase
from tests.distributed.jobs import slow_from
from tests.fleet.fleets import fleet_of, running
from tests.integrations.backends import sessions_of
from tests.integrations.test_jobs import backend, end_of, renames, until_applied


async def stopped_job(emulator: Emulator, jobs: Jobs) -> str:
    """Start a job of 20 operations, and stop it after a few."""
    slow_from(emulator, 4)
    job = await jobs.start(renames(20), settings=JobSettings(concurrency=1))
    await until_applied(jobs, job.id, 3)
    await jobs.stop(job.id)
    await end_of(jobs, job.id)
    return job.id


async def test_of_concurrent_resumes_one_wins_and_can_be_stopped(
    tmp_path: Path,
) -> None:
    async with backend(tmp_path) as (emulator, jobs):
        job = await stopped_job(emulator, jobs)
        ended = await asyncio.gather(*(jobs.resume(job) for _ in range(3)), return_exceptions=True)
        assert sorted(type(each).__name__ for each in ended) == ["Job"] + ["RunBusyError"] * 2
        assert (await jobs.stop(job)).phase is Phase.STOPPING
        assert (await end_of(jobs, job))[-1].data["counts"]["applied"] < 20


async def test_a_job_is_not_resumed_while_the_backend_closes(tmp_path: Path) -> None:
    async with running(fleet_of(20)) as (emulator, client):
        async with Jobs(client, tmp_path) as jobs:
            job = await stopped_job(emulator, jobs)
            done = emulator.world.log.count("update")
            resuming = asyncio.ensure_future(jobs.resume(job))
            await asyncio.sleep(0)
        with pytest.raises(RunRefusedError, match="closing"):
            await resuming
        assert sessions_of(jobs) == {}
        assert emulator.world.log.count("update") == done


async def test_a_job_stops_even_if_that_cannot_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: JobFile, folder: RunFolder) -> None:
        raise OSError(28, "No space left on device", str(folder.path))

    async with backend(tmp_path, patience=0) as (emulator, jobs):
        slow_from(emulator, 4)
        job = await jobs.start(renames(20), settings=JobSettings(concurrency=1))
        await until_applied(jobs, job.id, 3)
        with monkeypatch.context() as patched:
            patched.setattr(JobFile, "write", full)
            with pytest.raises(OSError, match="No space"):
                await jobs.stop(job.id)
            assert (await jobs.stop(job.id)).phase is Phase.STOPPING
            await end_of(jobs, job.id)
        assert emulator.world.log.count("update") < 20


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "null",
        '{"settings":{}}',
        '{"settings":{"abort":[{"x":1}]},"waves":[]}',
        '{"settings":{"abort":[],"of a later version":1},"waves":[]}',
        '{"settings":{"abort":[],"concurrency":"9"},"waves":[]}',
        "[" * 100_000,
    ],
)
async def test_a_damaged_job_file_does_not_stop_a_backend_from_opening(
    tmp_path: Path, text: str
) -> None:
    async with running(fleet_of(3)) as (_, client):
        async with Jobs(client, tmp_path) as jobs:
            job = await jobs.start(renames(3))
            await end_of(jobs, job.id)
        (tmp_path / job.id / "job.json").write_text(text)
        async with Jobs(client, tmp_path) as jobs:
            assert await jobs.list() == []
            with pytest.raises(ConfigurationError, match=r"job\.json"):
                await jobs.resume(job.id)
