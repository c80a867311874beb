"""Commands in jobs of several workers: what has not ended is followed, never sent again."""

import time
from contextlib import closing

import pytest

from enapter_async import fleet
from enapter_async.emulator import Behaviour, Commands, Drop, Emulator, World
from enapter_async.fleet import State
from enapter_async.fleet.distributed.job_reading import JobStatusReader
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.reporting.status import Trouble, sampled_targets
from enapter_async.operations.commands import CreateExecution
from tests.distributed.jobs import ended, submitted, worker


@pytest.mark.timeout(180)
async def test_another_worker_follows_what_was_pending_and_takes_what_a_search_finds(
    place: str,
) -> None:
    later = 0.0

    def now() -> float:
        return time.time() + later

    world = World.seeded(6, 1, role="OWNER", now=now)
    async with Emulator(world=world, now=now) as emulator:
        emulator.noun(Commands).behave("reboot", Behaviour(latency=900.0))
        lost = next(iter(world)).id
        emulator.faults.add(Drop(after_effect=True), method="POST", path=f"*{lost}*")
        work = [
            fleet.WorkItem(seq=seq, operation=CreateExecution(device_id=each.id, name="reboot"))
            for seq, each in enumerate(world)
        ]
        job = await submitted(emulator, place, work, by=2, wait=0.2)
        async with worker(emulator, place, slots=1):
            status = await ended(job)
        assert (status.counts[State.PENDING], status.counts[State.UNKNOWN]) == (5, 1)
        reader = JobStatusReader(job.address, job.name)
        with closing(read_journal(job)) as journal:
            assert await reader.sampled_targets(4) == sampled_targets(journal, 4)
        assert states(await reader.read_with_troubles(6)) == ["pending"] * 5 + ["unknown"]
        await job.resume(accept_candidates=True)
        async with worker(emulator, place, slots=2):
            status = await ended(job)
        assert status.counts[State.PENDING] == 6
        assert states(await reader.read_with_troubles(6)) == ["pending"] * 6
        later = 1000.0
        await job.resume()
        async with worker(emulator, place, slots=2):
            status = await ended(job)
        assert status.ok
        assert states(await reader.read_with_troubles(6)) == []
        assert (await job.report()).counts[State.APPLIED] == 6
        assert world.count("ran") == 6, "each command was sent once"


def states(read: tuple[fleet.JobStatus, tuple[Trouble, ...]]) -> list[str]:
    return sorted(each.outcome.state for each in read[1])
