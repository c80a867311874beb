"""Jobs over an emulator, for tests of workers in this process."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enapter_async import Client, RetryPolicy, fleet
from enapter_async.emulator import Emulator, Latency
from enapter_async.emulator.faults import Target
from enapter_async.operations.devices import UpdateDevice

LEASE = 30.0
"""Long enough that no partition changes hands because the machine is busy."""
QUICK = RetryPolicy(attempts=2, base_delay=0.001)


def renames(emulator: Emulator, *, sites: int = 0) -> list[fleet.WorkItem]:
    """Return a rename for each device, grouped by its own site or over `sites` others."""
    return [
        fleet.WorkItem(
            seq=seq,
            operation=UpdateDevice(device_id=device.id, name=f"Name {seq}"),
            before={"name": device.name},
            group=f"site-{seq % sites}" if sites else device.site_id or "",
        )
        for seq, device in enumerate(emulator.world)
    ]


def client_for(emulator: Emulator) -> Callable[..., Client]:
    def make(**settings: Any) -> Client:
        return Client(emulator.token, base_url=emulator.base_url, retry=QUICK, **settings)

    return make


def worker(emulator: Emulator, address: Any, **how: Any) -> fleet.Worker:
    return fleet.Worker(client_for(emulator), address, **({"lease": LEASE} | how))


async def submitted(
    emulator: Emulator, folder: Path | str, works: Any = None, **how: Any
) -> fleet.Job:
    given = renames(emulator) if works is None else works
    options: dict[str, Any] = {
        "by": 10,
        "guard": "none",
        "abort": None,
        "base_url": emulator.base_url,
    } | how
    return await fleet.distribute(given, folder, **options)


async def ended(job: fleet.Job) -> fleet.JobStatus:
    """Wait until a job has ended or was stopped."""
    async with asyncio.timeout(60):
        return await job.wait()


async def until(reached: Callable[[], bool]) -> None:
    """Wait until something that other tasks do has happened."""
    async with asyncio.timeout(60):
        while not reached():  # noqa: ASYNC110 - the emulator has no event for it
            await asyncio.sleep(0.01)


async def sent(emulator: Emulator, number: int) -> None:
    """Wait until that many requests that change something have arrived."""
    await until(lambda: len(written(emulator)) >= number)


class Arrivals:
    """The condition of a fault: the `number`-th request that changes something, and later ones."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._count = 0

    def __call__(self, target: Target) -> bool:
        self._count += target.method != "GET"
        return self._count >= self._number


def slow_from(emulator: Emulator, number: int, seconds: float = 0.4) -> None:
    """Let the `number`-th request that changes something, and all later ones, take long.

    Those before are answered at once, and a busy machine still finds the job in progress.
    """
    emulator.faults.add(Latency(seconds=seconds), when=Arrivals(number), times=None)


def at_arrival(emulator: Emulator, number: int, act: Callable[[], object]) -> None:
    """Do something when the `number`-th request that changes something arrives."""
    arrived = Arrivals(number)
    done = False

    def watch(target: Target) -> bool:
        nonlocal done
        if arrived(target) and not done:
            done = True
            act()
        return False  # it is not a fault

    emulator.faults.add(Latency(seconds=0), when=watch, times=None)


def written(emulator: Emulator) -> list[str]:
    """Return the devices to which something was sent, in order."""
    arrivals = emulator.world.log.arrivals()
    return [str(each.device_id) for each in arrivals if each.method == "PATCH"]
