"""Several workers of one backend, as separate processes, on one folder of jobs."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from enapter_async.emulator import Emulator
from tests.distributed.jobs import slow_from
from tests.integrations.test_examples import (
    DEVICES,
    backend,
    begun,
    check_the_log,
    emulator,
    events_of,
    until_effects,
)

__all__ = ["emulator"]

WORKERS = ("aiohttp_app.py", "fastapi_app.py")


@contextlib.asynccontextmanager
async def two_workers(
    server: Emulator, jobs: Path, effects: int
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """Start a worker on each framework; return the process of the first, and both addresses.

    A job that has had so many effects continues slowly.
    """
    server.faults.clear()
    slow_from(server, effects + 1)
    async with (
        backend(WORKERS[0], server, jobs) as (process, first),
        backend(WORKERS[1], server, jobs) as (_, second),
    ):
        yield process, first, second


async def test_any_worker_can_stop_the_job_of_another(emulator: Emulator, tmp_path: Path) -> None:
    """A browser stops one the other way round, in `test_live_page`."""
    async with (
        two_workers(emulator, tmp_path / "jobs", 8) as (_, other, at_work),
        aiohttp.ClientSession() as session,
    ):
        job = await begun(session, at_work)
        await until_effects(emulator, 8)
        async with session.get(f"{other}/jobs/{job}") as response:
            assert (await response.json())["phase"] == "running elsewhere"
        async with session.put(f"{other}/jobs/{job}/stop") as response:
            assert (response.status, (await response.json())["phase"]) == (200, "stopping")
        async with asyncio.timeout(60):
            streams = await asyncio.gather(
                *(events_of(session, url, job) for url in (at_work, other))
            )
        for kind, told in (events[-1] for events in streams):
            assert (kind, told["phase"], told["stopped"]) == ("end", "stopped", "it was stopped")
            assert 8 <= told["counts"]["applied"] < DEVICES
    check_the_log_of_part(emulator)


async def test_the_death_of_a_worker_does_not_end_the_watch_of_another(
    emulator: Emulator, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs"
    async with (
        two_workers(emulator, jobs, DEVICES // 3) as (process, first, second),
        aiohttp.ClientSession() as session,
    ):
        job = await begun(session, first)
        watching = asyncio.ensure_future(events_of(session, second, job))
        # In the last wave, so that an unknown outcome of the kill makes no earlier wave fail.
        await until_effects(emulator, DEVICES // 3)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async with asyncio.timeout(60):
            while (await told_by(session, second, job))["phase"] != "stopped":  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        # Longer than a watcher waits between two reads.
        assert await asyncio.wait({watching}, timeout=1.5) == (set(), {watching})
        emulator.faults.clear()
        async with backend(WORKERS[0], emulator, jobs), asyncio.timeout(60):
            events = await watching
    assert [kind for kind, _ in events].count("end") == 1
    kind, told = events[-1]
    assert (kind, told["phase"]) == ("end", "ended")
    assert told["counts"]["applied"] + told["counts"]["unknown"] == DEVICES
    assert "its process ended early" in {each["stopped"] for _, each in events if "stopped" in each}
    check_the_log(emulator)


async def told_by(session: aiohttp.ClientSession, url: str, job: str) -> dict[str, object]:
    async with session.get(f"{url}/jobs/{job}") as response:
        told: dict[str, object] = await response.json()
        return told


def check_the_log_of_part(server: Emulator) -> None:
    """Of a stopped job, nothing was done twice."""
    log = server.world.log
    for operation in ("generate_config", "update"):
        devices = [effect.device_id for effect in log.effects(operation=operation)]
        assert len(devices) == len(set(devices))
