"""Gates between the waves of a job: checked by one worker for the partitions of all."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async import Client, fleet
from enapter_async.clock import Clock
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.faults import ServerFailure
from enapter_async.emulator.telemetry import Telemetry
from enapter_async.fleet import Rollout, State
from enapter_async.fleet.patience import FIRST_PAUSE
from tests.distributed.jobs import (
    LEASE,
    at_arrival,
    client_for,
    ended,
    submitted,
    until,
    worker,
    written,
)
from tests.emulator.fleets import NOON
from tests.fleet.test_gates import MANIFEST, raise_on

SIZE = 20


@pytest.fixture
def world() -> World:
    world = World.seeded(3 * SIZE, 1, role="OWNER", now=lambda: NOON)
    for device in world.devices:
        world.change(
            device.id, manifest=MANIFEST, raised_alert_names=(), properties={"status": "ok"}
        )
    return world


async def test_alerts_that_a_wave_raises_stop_the_job_on_all_workers(
    emulator: Emulator, place: str
) -> None:
    log = emulator.world.log
    alerts = partial(raise_on, emulator, 60, "hot", "not_configured")
    for last in (SIZE, 2 * SIZE):  # of wave 1, and of wave 2
        at_arrival(emulator, last, alerts)
    rollout = Rollout(waves=(SIZE, SIZE, "rest"), gates=("alerts(error)", "status=ok"))
    job = await submitted(emulator, place, rollout=rollout)
    async with worker(emulator, place, slots=1), worker(emulator, place, slots=1):
        status = await ended(job)
        assert (
            "wave 1 did not pass: 20 of 20 devices that met 'alerts(error)' before it no longer "
            "do; the limit is 5 %; 20 devices are not configured"
        ) in str(status.stopped)
        assert len(written(emulator)) == SIZE
        sites = {device.site_id for device in emulator.world.devices}
        assert log.count_arrivals("GET") - SIZE <= 2 * len(sites), "20 were read back, singly"
        await job.resume()
        assert "wave 1 did not pass" in str((await ended(job)).stopped), "they are still raised"
        raise_on(emulator, 60, "warm", "not_configured")
        await job.resume()
        assert "wave 2 did not pass" in str((await ended(job)).stopped)
        await job.resume(accept_wave=True)
        status = await ended(job)
    assert status.ok
    assert len(written(emulator)) == 3 * SIZE
    assert {"wave 2 started; 20 devices are not configured", "wave 3 started"} <= await notes(job)


async def notes(job: fleet.Job) -> set[str]:
    control = await job._place.control()
    try:
        return {str(row["what"]) for row in await control.notes(job.name)}
    finally:
        await control.close()


@attrs.define
class Waiting:
    """A clock that skips the pauses of reads, once the job has been seen to wait."""

    job: fleet.Job
    skipped: float = 0.0
    seen: str = ""

    async def sleep(self, seconds: float) -> None:
        if seconds < FIRST_PAUSE / 2:
            await asyncio.sleep(seconds)
            return
        async with asyncio.timeout(60):
            while not self.seen:
                self.seen = (await self.job.status()).waiting
                await asyncio.sleep(0.01)
        self.skipped += seconds

    def client(self, emulator: Emulator, **settings: Any) -> Client:
        clock = Clock(monotonic=lambda: time.monotonic() + self.skipped, sleep=self.sleep)
        return client_for(emulator)(clock=clock, **settings)


async def test_an_unavailable_server_passes_no_gate_and_fails_none(
    emulator: Emulator, place: str
) -> None:
    # One device, so one reader: a pause skipped by another would count against its request.
    first = next(iter(emulator.world)).id
    emulator.world.change(first, connectivity="ONLINE")
    emulator.faults.add(ServerFailure(status=503), method="GET", times=None)
    gates = Rollout(waves=(1, "rest"), health=fleet.HealthGate(most_lost=10))
    job = await submitted(emulator, place, rollout=gates, max_pause=900)
    waiting = Waiting(job)
    async with fleet.Worker(partial(waiting.client, emulator), place, lease=LEASE):
        status = await ended(job)
        assert waiting.seen.startswith("paused 0:0")
        assert waiting.seen.endswith("the host responds with HTTP 503")
        assert status.stopped == (
            "wave 1 cannot start without a check: nothing got through for 15:00: "
            "the host responds with HTTP 503"
        )
        assert (written(emulator), status.waiting) == ([], "")
        emulator.faults.clear()
        emulator.faults.add(ServerFailure(status=503), method="GET", times=3)
        fall_silent = partial(emulator.world.change, first, connectivity="OFFLINE")
        at_arrival(emulator, 1, fall_silent)
        await job.resume()
        stopped = (await ended(job)).stopped
    assert stopped is not None
    assert "1 of 1 devices that were online before it are no longer" in stopped
    assert len(written(emulator)) == 1


@attrs.define
class Watching:
    """A clock that skips the time between two checks of a gate."""

    act: Callable[[], None] = lambda: None
    looks: int = 0
    skipped: float = 0.0
    held: asyncio.Event | None = None
    cut_off: int = 0

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: time.monotonic() + self.skipped, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        if seconds < 15:
            await asyncio.sleep(seconds)
            return
        self.looks += 1
        self.act()
        if self.held is not None:
            try:
                await self.held.wait()
            except asyncio.CancelledError:
                self.cut_off += 1
                raise
        self.skipped += seconds

    def worker(self, emulator: Emulator, place: str) -> fleet.Worker:
        make = client_for(emulator)

        def make_with_clock(**settings: Any) -> Any:
            return make(clock=self.clock(), **settings)

        return fleet.Worker(make_with_clock, place, slots=1, lease=LEASE)


@pytest.fixture
def powered(emulator: Emulator) -> set[str]:
    """The devices whose latest power is above 0."""
    telemetry = emulator.noun(Telemetry)
    found = set()
    for device in emulator.world.devices:
        emulator.world.change(device.id, manifest={"telemetry": {"power": {"type": "integer"}}})
        value = telemetry.value(device.id, "power", "integer", int(NOON))
        if value is not None and value > 0:
            found.add(device.id)
    return found


async def test_telemetry_is_watched_between_waves_and_stops_the_job(
    emulator: Emulator, place: str, powered: set[str]
) -> None:
    one, two = Watching(), Watching()

    def lose_power() -> None:
        for watching in (one, two):
            watching.act = fall_silent

    def fall_silent() -> None:
        for device in powered:
            emulator.world.change(device, manifest={"telemetry": {}})

    at_arrival(emulator, 2 * SIZE, lose_power)
    rollout = Rollout(waves=(SIZE, SIZE, "rest"), gates="power>0 for 5m")
    job = await submitted(emulator, place, rollout=rollout)
    async with one.worker(emulator, place), two.worker(emulator, place):
        status = await ended(job)
    assert one.looks + two.looks == 2 * 10, "every half minute, by one worker, after each wave"
    assert "wave 2 did not pass" in str(status.stopped)
    assert "before it no longer do" in str(status.stopped)
    assert (status.counts[State.APPLIED], status.counts[State.HELD]) == (2 * SIZE, SIZE)


@pytest.mark.usefixtures("powered")
async def test_a_worker_that_watches_stops_at_once_and_another_begins_again(
    emulator: Emulator, folder: Path
) -> None:
    place = str(folder)
    one, two = Watching(held=asyncio.Event()), Watching()
    job = await submitted(
        emulator, place, rollout=Rollout(waves=(SIZE, "rest"), gates="power>0 for 5m")
    )
    async with one.worker(emulator, place):
        await until(lambda: one.looks == 1)
        await job.stop("not now")
        await until(lambda: one.cut_off == 1)
        await job.resume()
        await until(lambda: one.looks == 2)
    assert one.cut_off == 2
    assert len(written(emulator)) == SIZE
    async with two.worker(emulator, place):
        assert (await ended(job)).ok
    assert two.looks == 10
