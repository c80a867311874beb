"""Moves a job from wave to wave, and stops it. One worker at a time does this."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Final

from enapter_async.client import Client
from enapter_async.fleet.distributed.control import Control, JobRecord
from enapter_async.fleet.distributed.coordinator import Begin, End, Hold, Stop, next_step
from enapter_async.fleet.distributed.places import Place
from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.reading import health_name, is_online
from enapter_async.fleet.rollout.waves import HealthGate

AT_ONCE: Final = 8
"""How many devices are checked at the same time."""


async def keep(control: Control, place: Place, job: str, client: Client) -> JobRecord | None:
    """Take the next step of a job and return the job, if this worker is its keeper.

    Raises:
        JournalError: the database cannot be used now.
    """
    record = await control.keep(job)
    if record is None:
        return None
    waves = await control.waves(job)
    step = next_step(waves, record.position, rollout=record.rollout, criteria=record.criteria)
    match step:
        case Stop():
            await control.stop(job, step.why)
        case Hold():
            await control.hold(record, step.seconds)
        case Begin():
            await _begin(control, place, record, step.wave, client)
        case End():
            await control.end(record)
    return record


async def _begin(control: Control, place: Place, job: JobRecord, wave: int, client: Client) -> None:
    """Let a wave start, unless devices of the previous one went offline."""
    gate = None if job.rollout is None else job.rollout.health
    online: Sequence[str] | None = None
    if gate is not None:
        async with _staying(control, job.name):
            why = await _lost(client, gate, job.online or (), job.position.wave)
            names = await _sample(control, place, job, wave, gate.sample)
            states = await _looked_at(client, names)
        if why:
            await control.stop(job.name, why)
            return
        online = [name for name, state in zip(names, states, strict=True) if state]
    if await control.move(job, wave, online) and job.rollout is not None:
        await control.note(job.name, f"wave {wave + 1} started")


@contextlib.asynccontextmanager
async def _staying(control: Control, job: str) -> AsyncIterator[None]:
    """Stay the keeper of a job during a block that may take longer than a lease."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(control.lease / 3)
            with contextlib.suppress(JournalError):  # `move` then finds another keeper
                await control.keep(job)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait({renewing})


async def _lost(client: Client, gate: HealthGate, were: Sequence[str], wave: int) -> str:
    lost = (await _looked_at(client, were)).count(False)
    if lost * 100 <= gate.most_lost * len(were):
        return ""
    return (
        f"wave {wave + 1} did not pass: {lost} of {len(were)} devices that were online before "
        f"it are no longer online; the limit is {gate.most_lost:g} %"
    )


async def _sample(
    control: Control, place: Place, job: JobRecord, wave: int, number: int
) -> list[str]:
    """Return the names of devices that a wave changes, at most `number`."""
    rows = await control.partitions(job.name)
    journals = [place.partition(job.name, row["no"]) for row in rows if row["wave"] == wave]
    return await asyncio.to_thread(_names_in, journals, number)


def _names_in(journals: Sequence[str], number: int) -> list[str]:
    found: list[str] = []
    for name in journals:
        with contextlib.closing(read_journal(name)) as journal:
            items = (item for item in journal.items() if not item.unchanged)
            # A device to be deleted is not expected online afterwards.
            kept = (health_name(i.operation.target()) for i in items if not i.operation.holds(None))
            found += islice((each for each in kept if each), number - len(found))
        if len(found) >= number:
            break
    return found


async def _looked_at(client: Client, names: Sequence[str]) -> list[bool]:
    """Return which objects are online, in order."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def look(name: str) -> bool:
        async with turns:
            return await is_online(client, name)

    async with asyncio.TaskGroup() as tasks:
        looks = [tasks.create_task(look(name)) for name in names]
    return [each.result() for each in looks]
