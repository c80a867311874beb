"""Jobs and their workers over a real emulator, in a folder and in PostgreSQL."""

import asyncio
import contextlib
import stat
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async import Client, fleet
from enapter_async.cli.watched_run import WatchedJob
from enapter_async.emulator import Emulator, Reply, TooManyRequests, World
from enapter_async.emulator.faults import Target
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import AbortCriterion, HealthGate, Rollout, State
from enapter_async.fleet.errors import RunBusyError, RunNotFoundError, RunRefusedError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.operations.devices import GenerateConfig
from tests.distributed.jobs import (
    at_arrival,
    client_for,
    ended,
    renames,
    sent,
    slow_from,
    submitted,
    until,
    worker,
    written,
)

REFUSED = Reply(
    status=409,
    content_type="application/json",
    body=b'{"errors": [{"code": "conflict", "message": "Not now."}]}',
)


@pytest.fixture
def world() -> World:
    return World.seeded(60, 1, role="OWNER")


async def test_two_workers_carry_out_a_job_in_waves(
    emulator: Emulator, place: str, tmp_path: Path
) -> None:
    job = await submitted(emulator, place, rollout=Rollout(waves=(1, 10, "rest"), hold=0.01))
    assert (await job.status()).total == 60
    progress: list[fleet.JobStatus] = []
    async with worker(emulator, place, slots=1), worker(emulator, place, slots=1):
        async with asyncio.timeout(60):
            status = await job.wait(progress.append)
    assert status.ok
    assert progress[-1] == status
    assert (status.partitions, status.finished, status.wave, status.waves) == (7, 7, 3, 3)
    arrived = written(emulator)
    assert len(arrived) == len(set(arrived)) == 60
    wave_of = {str(i.operation.target().id): i.wave for i in items_of(job)}
    waves = [wave_of[device] for device in arrived]
    assert waves == sorted(waves), "a wave began before the previous one had finished"
    methods = Counter(each.method for each in emulator.world.log.arrivals())
    assert methods["GET"] == 11, "the first two waves are read back, and only those"

    report = await job.report()
    assert (report.counts[State.APPLIED], report.total, report.stopped) == (60, 60, None)
    assert fleet.status(job).counts[State.APPLIED] == 60
    page = tmp_path / "report.html"
    fleet.write_report(job, page)
    assert "wave 2 started" in page.read_text("utf-8")
    async with client_for(emulator)() as client:
        back = await fleet.undo(client, job)
        with back.plan as plan:
            assert plan.counts[fleet.Verdict.CHANGE] == 60


def items_of(job: fleet.Job) -> list[fleet.WorkItem]:
    with closing(read_journal(job)) as journal:
        return list(journal.items())


async def test_a_stopped_job_continues_where_it_was(emulator: Emulator, place: str) -> None:
    job = await submitted(emulator, place, by=60, concurrency=4)
    slow_from(emulator, 12)
    async with worker(emulator, place):
        await sent(emulator, 12)
        await job.stop("enough")
        status = await ended(job)
        assert status.stopped == "enough"
        arrived = written(emulator)
    assert written(emulator) == arrived, "an operation began after the stop"
    assert len(arrived) < 60
    emulator.faults.clear()
    await job.resume()
    async with worker(emulator, place):
        assert (await ended(job)).ok
    assert Counter(written(emulator)) == Counter(set(written(emulator)))
    assert len(set(written(emulator))) == 60


@attrs.define
class Quota:
    """The condition of a fault: more requests than a server allows, by a bucket."""

    rate: float
    burst: float
    tokens: float = attrs.field(default=attrs.Factory(lambda self: self.burst, takes_self=True))
    at: float = 0.0

    def __call__(self, _: Target) -> bool:
        now = time.monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        refused = self.tokens < 1
        self.tokens -= not refused
        return refused


async def test_workers_below_the_limit_of_a_server_are_never_refused(
    emulator: Emulator, place: str
) -> None:
    cap = 120.0
    # The bucket allows for what a busy machine may deliver late; three workers without a common cap
    # would use it up in a tenth of a second.
    emulator.faults.add(TooManyRequests(), when=Quota(rate=1.1 * cap, burst=0.15 * cap), times=None)
    job = await submitted(emulator, place, by=10, max_rate=cap, rollout=Rollout(waves=("rest",)))
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(worker(emulator, place, slots=1))
        assert (await ended(job)).ok
    arrivals = emulator.world.log.arrivals()
    assert len(arrivals) == 2 * 60, "each was changed and read back once, and none was refused"
    assert (await job.report()).attempts == 60


async def test_the_failures_of_all_workers_stop_the_job(emulator: Emulator, folder: Path) -> None:
    emulator.faults.add(REFUSED, method="PATCH", times=60)
    slow_from(emulator, 8)
    criterion = AbortCriterion(failure_type="failed", threshold_percentage=5, min_executed=8)
    job = await submitted(emulator, folder, by=2, abort=criterion)
    async with worker(emulator, folder, slots=1), worker(emulator, folder, slots=1):
        status = await ended(job)
    assert status.stopped is not None
    assert "operations of all workers ended as failed" in status.stopped
    assert 8 <= status.counts[State.FAILED] < 50
    report = await job.report()
    assert len(report.failures) == report.counts[State.FAILED]
    assert "all workers" in str(report.stopped)


async def test_a_first_wave_with_a_fault_stops_the_job_until_it_is_fixed(
    emulator: Emulator, folder: Path
) -> None:
    emulator.faults.add(REFUSED, method="PATCH", times=1)
    job = await submitted(emulator, folder, rollout=Rollout(waves=(1, 10, "rest")))
    async with worker(emulator, folder):
        status = await ended(job)
        assert status.stopped is not None
        assert "wave 1 did not pass" in status.stopped
        assert len(written(emulator)) == 1
        await job.resume()
        assert "wave 1 did not pass" in str((await ended(job)).stopped), "the failures remain"
        await job.resume(retry_failed=True)
        assert (await ended(job)).ok


async def test_a_wave_can_be_accepted_despite_its_faults(emulator: Emulator, folder: Path) -> None:
    emulator.faults.add(REFUSED, method="PATCH", times=1)
    job = await submitted(emulator, folder, rollout=Rollout(waves=(1, "rest")))
    async with worker(emulator, folder):
        await ended(job)
        await job.resume(accept_wave=True)
        status = await ended(job)
    assert status.ended
    assert (status.counts[State.FAILED], status.counts[State.APPLIED]) == (1, 59)


async def test_devices_that_go_offline_stop_the_job(emulator: Emulator, folder: Path) -> None:
    first = list(emulator.world)[:20]
    for device in first:
        emulator.world.change(device.id, connectivity="ONLINE")

    def fall_silent() -> None:
        for device in first[:5]:
            emulator.world.change(device.id, connectivity="OFFLINE")

    at_arrival(emulator, 20, fall_silent)
    gate = Rollout(waves=(20, "rest"), hold=0.01, health=HealthGate(most_lost=10))
    job = await submitted(emulator, folder, rollout=gate)
    async with worker(emulator, folder):
        status = await ended(job)
    assert status.stopped is not None
    assert "of 20 devices that were online before it are no longer online" in status.stopped
    assert len(written(emulator)) == 20


async def test_a_worker_takes_only_from_its_queues(emulator: Emulator, folder: Path) -> None:
    works = renames(emulator, sites=3)
    job = await submitted(emulator, folder, works, by="site")
    async with (
        worker(emulator, folder, queues=("site:site-0",), name="same"),
        worker(emulator, folder, queues=("site:site-2",), name="same"),
    ):
        async with asyncio.timeout(60):
            while (await job.status()).finished < 2:  # noqa: ASYNC110 - the database has no event for it
                await asyncio.sleep(0.01)
        assert (await job.status()).unserved == ("site:site-1",)
    assert len(written(emulator)) == 40
    look = await WatchedJob(job).look()
    assert look.pace == "no running worker takes from site:site-1"
    command = f"enapter-async fleet worker --journal {folder} --queue site:site-1"
    assert look.ways_on == (("to start one", command),)
    async with worker(emulator, folder, queues=("site:site-1",)):
        assert (await ended(job)).ok
    assert (await job.status()).unserved == ()


async def test_a_worker_that_is_left_returns_its_partitions(
    emulator: Emulator, folder: Path
) -> None:
    job = await submitted(emulator, folder, max_rate=80.0)
    async with worker(emulator, folder):
        await sent(emulator, 10)
    status = await job.status()
    assert status.running
    assert status.at_work == 0
    async with worker(emulator, folder) as second:
        await second.finish()
    assert (await job.status()).ok
    assert len(written(emulator)) == 60


async def test_a_different_token_is_used_only_if_accepted(
    emulator: Emulator, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = await submitted(emulator, folder, max_rate=100.0)
    async with worker(emulator, folder):
        await sent(emulator, 5)

    def other(**settings: Any) -> Client:
        return Client(emulator.token, base_url=emulator.base_url, user="another", **settings)

    arrived = len(written(emulator))
    async with fleet.Worker(other, folder, slots=6):
        await until(lambda: "leaves job job alone: it was started with another" in caplog.text)
    assert len(written(emulator)) == arrived
    await job.stop("accept")
    await job.resume(accept_new_token=True)
    async with fleet.Worker(other, folder):
        assert (await ended(job)).ok


async def test_the_same_job_is_joined_and_another_refused(emulator: Emulator, place: str) -> None:
    job = await submitted(emulator, place)
    assert (await submitted(emulator, place)).name == job.name
    for other in ({"works": renames(emulator)[:5]}, {"concurrency": 3}, {"by": 7}):
        with pytest.raises(RunBusyError, match="different input or options"):
            await submitted(emulator, place, **other)
    assert (await fleet.Job.open(place)).name == job.name


def leave_half_of(folder: Path) -> None:
    folder.mkdir()
    (folder / "part-0000.db").write_bytes(b"half")


async def test_a_submission_that_was_killed_leaves_no_job(emulator: Emulator, folder: Path) -> None:
    leave_half_of(folder)
    with pytest.raises(RunNotFoundError, match="no job"):
        await fleet.Job.open(folder)
    job = await submitted(emulator, folder)
    async with worker(emulator, folder):
        assert (await ended(job)).ok


async def test_a_whole_job_is_never_resumed_as_a_run(emulator: Emulator, folder: Path) -> None:
    job = await submitted(emulator, folder)
    async with client_for(emulator)() as client:
        with pytest.raises(RunRefusedError, match="fleet worker"):
            await fleet.resume(client, job)


async def test_a_worker_waits_until_there_is_a_job(
    emulator: Emulator, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with worker(emulator, folder) as early:
        await until(lambda: f"worker {early.name} waits: there is no job" in caplog.text)
        job = await submitted(emulator, folder)
        assert (await ended(job)).ok


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"lease": 0}, {"queues": "site:a"}])
def test_invalid_options_of_a_worker_are_refused(wrong: dict[str, Any], folder: Path) -> None:
    with pytest.raises(ConfigurationError):
        fleet.Worker(Client.from_env, folder, **wrong)


async def test_generated_configurations_stay_with_their_worker(
    emulator: Emulator, place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    able = [device for device in emulator.world if device.type == "STANDALONE"]
    works = [
        fleet.WorkItem(seq=seq, operation=GenerateConfig(device_id=device.id, protocol="MQTT"))
        for seq, device in enumerate(able)
    ]
    job = await submitted(emulator, place, works, by=3)
    async with worker(emulator, place) as careless:
        await until(lambda: f"{careless.name} leaves job {job.name} alone" in caplog.text)
    assert emulator.world.count("generate_config") == 0
    kept = tmp_path / "kept"
    async with worker(emulator, place, credentials=kept, name="one"):
        status = await ended(job)
    assert status.ok
    files = sorted(kept.iterdir())
    assert len(files) == status.partitions > 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert sum(file.read_text("utf-8").count("\n") for file in files) == len(works)
    assert list(status.credentials) == [f"one: {file}" for file in files]


async def test_two_jobs_about_one_device_do_not_run_together(
    emulator: Emulator, database: str
) -> None:
    works = [item.operation for item in renames(emulator)]
    first = await submitted(emulator, f"{database}#first", works[:10])
    with pytest.raises(RunBusyError, match="job 'first' is unfinished and changes 3 of the same"):
        await submitted(emulator, f"{database}#second", works[7:])
    await submitted(emulator, f"{database}#others", works[10:])
    await submitted(emulator, f"{database}#forced", works[7:], force=True)
    for name in ("forced", "others"):
        await (await fleet.Job.open(f"{database}#{name}")).stop("not now")
    async with worker(emulator, database):
        assert (await ended(first)).ok
    await submitted(emulator, f"{database}#second", works[7:])
