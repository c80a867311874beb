"""Watchers of a job that return, that are slow, or whose last event is odd."""

import asyncio
import contextlib
from pathlib import Path

from enapter_async.emulator import Hang
from enapter_async.integrations.event_stream import StreamEvent
from enapter_async.operations.devices import UpdateDevice
from tests.fleet.fleets import uuid
from tests.integrations.backends import sessions_of
from tests.integrations.test_jobs import backend, end_of, renames


async def test_a_returning_watcher_receives_only_new_events(tmp_path: Path) -> None:
    async with backend(tmp_path) as (emulator, jobs):
        emulator.faults.add(Hang(), device=uuid(19), method="PATCH")
        bad = UpdateDevice(device_id=uuid(18), slug="device-1")
        job = await jobs.start([*renames(10), bad, renames(20)[19]])
        first = await jobs.watch(job.id)
        last: StreamEvent | None = None
        async with asyncio.timeout(60):
            async for event in first:
                last = event
                if event.kind == "job" and event.data["left"] == 1:
                    break
        assert last is not None
        session, version, told = last.id.split(".")
        assert told == "1"
        await first.aclose()

        again = await jobs.watch(job.id, last.id)
        nothing = asyncio.ensure_future(anext(again))
        await asyncio.wait({nothing}, timeout=0.1)
        assert not nothing.done(), "nothing has changed"
        nothing.cancel()
        await asyncio.wait({nothing})

        for stranger in ("", "x", f"{session}.{version}.-1", "other.1.5", f"{session}.1.99.9"):
            anew = await jobs.watch(job.id, stranger)
            event = await anext(anew)
            assert (event.kind, event.data["from"]) == ("troubles", 0)
            await anew.aclose()
        async with (
            asyncio.timeout(25),
            contextlib.aclosing(await jobs.watch(job.id, event.id)) as on,
        ):
            lost = await anext(on)
        assert lost.kind == "job", "the connection was lost between two events"
        await jobs.stop(job.id)
        sessions_of(jobs)[job.id].run.cut()


async def test_a_slow_watcher_receives_the_latest_state_and_nothing_is_queued(
    tmp_path: Path,
) -> None:
    async with backend(tmp_path, 300) as (_, jobs):
        job = await jobs.start(renames(300))
        slow = await jobs.watch(job.id)
        await anext(slow)
        await sessions_of(jobs)[job.id].task
        heard = [event.data["left"] async for event in slow]
        assert heard[0] == 0, "the current state of what happened meanwhile is reported"
        assert len(heard) <= 3


async def test_an_odd_source_and_an_odd_last_event_id_are_accepted(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(renames(3), source="half a pair: \ud83d")
        assert job.source == "half a pair: \\ud83d"
        first = (await end_of(jobs, job.id))[0]
        session = (first.id or "").partition(".")[0]
        again = await end_of(jobs, job.id, after=f"{session}.0.{'9' * 5000}")
        assert again[-1].kind == "end"
