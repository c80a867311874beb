"""Fleet jobs of a backend: started, watched, stopped, continued; one process on each."""

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from enapter_async.client import Client
from enapter_async.emulator import Emulator, Hang, Latency, Reply, World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import (
    AbortCriterion,
    Change,
    InputConflictError,
    Rollout,
    RunBusyError,
    RunRefusedError,
    Selection,
    State,
    plan,
)
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.integrations.event_stream import StreamEvent
from enapter_async.integrations.jobs import Job, Jobs, JobSettings, Phase
from enapter_async.integrations.progress import Rate
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, UpdateDevice
from tests.distributed.jobs import slow_from
from tests.fleet.fleets import fleet_of, running, uuid
from tests.integrations.backends import sessions_of


def renames(number: int, name: str = "New") -> list[UpdateDevice]:
    return [UpdateDevice(device_id=uuid(each), name=f"{name} {each}") for each in range(number)]


def by_device(troubles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(troubles, key=lambda each: str(each["device_id"]))


@contextlib.asynccontextmanager
async def backend(
    folder: Path, number: int = 20, **options: Any
) -> AsyncIterator[tuple[Emulator, Jobs]]:
    served = running(fleet_of(number))
    async with served as (emulator, client), Jobs(client, folder, **options) as jobs:
        yield emulator, jobs


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def end_of(jobs: Jobs, job: str, after: str | None = None) -> list[StreamEvent]:
    """Watch a job to its end."""
    async with asyncio.timeout(60):
        return [event async for event in await jobs.watch(job, after)]


async def until_applied(jobs: Jobs, job: str, number: int) -> None:
    async with asyncio.timeout(60):
        while (await jobs.get(job)).counts[State.APPLIED] < number:  # noqa: ASYNC110 - another's
            await asyncio.sleep(0.005)


async def test_a_job_is_started_and_watched_to_its_end(tmp_path: Path) -> None:
    async with backend(tmp_path / "jobs") as (emulator, jobs):
        job = await jobs.start(renames(20), source="May", rollout=Rollout(waves=(1, 4)))
        assert (job.phase, job.total, job.source) == (Phase.RUNNING, 20, "May")
        events = await end_of(jobs, job.id)
        assert [event.kind for event in events[:1] + events[-1:]] == ["job", "end"]
        told = events[-1].data
        assert (told["phase"], told["counts"]["applied"], told["left"]) == ("ended", 20, 0)
        assert [
            (wave["number"], wave["of"], wave["size"], wave["done"], wave["passed"])
            for wave in told["waves"]
        ] == [(1, 3, 1, 1, True), (2, 3, 4, 4, True), (3, 3, 15, 15, True)]
        assert emulator.world.log.count("update") == 20
        assert (await jobs.get(job.id)).as_json() == told
        assert told["created_at"] == job.created_at
        assert [each.id for each in await jobs.list()] == [job.id]
    folder = tmp_path / "jobs" / job.id
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}


async def test_each_failure_is_reported_once(tmp_path: Path) -> None:
    works = [*renames(10), UpdateDevice(device_id=uuid(15), slug="device-1")]
    works += [UpdateDevice(device_id=uuid(16), slug="device-2")]
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(works, settings=JobSettings(abort=()))
        events = await end_of(jobs, job.id)
        troubles = [event for event in events if event.kind == "troubles"]
        told = [each for event in troubles for each in event.data["troubles"]]
        assert sorted((each["device_id"], each["status"]) for each in told) == [
            (uuid(15), 409),
            (uuid(16), 409),
        ]
        assert troubles[0].data["from"] == 0
        assert events[-1].data["counts"]["failed"] == 2
        # Read from the files, it is the same, including the error's class.
        [again, _] = await end_of(jobs, job.id)
        assert by_device(again.data["troubles"]) == by_device(told)
        assert {each["error"] for each in again.data["troubles"]} == {"ConflictError"}
        assert json.loads(json.dumps(events[-1].data)) == events[-1].data


async def test_a_stopped_job_continues_only_on_request(tmp_path: Path) -> None:
    async with running(fleet_of(20)) as (emulator, client):
        slow_from(emulator, 4)
        async with Jobs(client, tmp_path) as jobs:
            job = await jobs.start(renames(20), settings=JobSettings(concurrency=1))
            await until_applied(jobs, job.id, 3)
            assert (await jobs.stop(job.id)).phase is Phase.STOPPING
            assert (await jobs.stop(job.id)).phase is Phase.STOPPING
            events = await end_of(jobs, job.id)
            told = events[-1].data
            assert (told["phase"], told["stopped"]) == ("stopped", "it was stopped")
            # Held operations have not ended, and do not count towards the rate.
            rates = [each.data["rate"] for each in events if each.kind == "job"]
            assert max(rates) <= told["counts"]["applied"]
            assert 3 <= told["counts"]["applied"] < 20
            assert told["counts"]["applied"] + told["counts"]["held"] == 20
            assert (told["left"], told["next_steps"]) == (told["counts"]["held"], ["resume"])
        emulator.faults.clear()
        async with Jobs(client, tmp_path) as jobs:
            assert (await jobs.get(job.id)).phase is Phase.STOPPED
            assert (await jobs.resume(job.id)).phase is Phase.RUNNING
            assert sessions_of(jobs)[job.id].options().concurrency == 1, "as it was started"
            with pytest.raises(RunBusyError):
                await jobs.resume(job.id)
            told = (await end_of(jobs, job.id))[-1].data
        assert (told["phase"], told["counts"]["applied"], told["stopped"]) == ("ended", 20, "")
        assert emulator.world.log.count("update") == 20


@pytest.mark.parametrize("grace", [5.0, 0.05])
async def test_a_reopened_backend_resumes_its_jobs(tmp_path: Path, grace: float) -> None:
    async with running(fleet_of(30)) as (emulator, client):
        if grace < 1:
            emulator.faults.add(Hang(), device=uuid(2), method="PATCH")
        slow_from(emulator, 5)
        async with Jobs(client, tmp_path, grace=grace) as jobs:
            job = await jobs.start(renames(30), settings=JobSettings(concurrency=2))
            await until_applied(jobs, job.id, 4)
            watching = await jobs.watch(job.id)
            kinds = [(await anext(watching)).kind]
        kinds += [event.kind async for event in watching]
        assert "end" not in kinds, "streams end with it"
        with pytest.raises(RunRefusedError, match="closing"):
            await jobs.start(renames(1))
        emulator.faults.clear()
        assert 4 <= emulator.world.log.count("update") < 30

        async with Jobs(client, tmp_path, resume=False) as jobs:
            idle = await jobs.get(job.id)
            assert (idle.phase, idle.stopped) == (Phase.STOPPED, "its process ended early")
        async with Jobs(client, tmp_path) as jobs:
            told = (await end_of(jobs, job.id))[-1].data
        assert (told["phase"], told["counts"]["applied"]) == ("ended", 30)
        assert emulator.world.log.count("update") <= 30 + (grace < 1), "one may have been cut off"
        async with Jobs(client, tmp_path) as jobs:
            assert sessions_of(jobs) == {}, "an ended job does not continue"


async def test_a_job_that_stopped_itself_is_not_resumed(tmp_path: Path) -> None:
    async with running(fleet_of(20)) as (emulator, client):
        refusal = Reply(status=409, body=b'{"errors":[]}', content_type="application/json")
        emulator.faults.add(refusal, times=None, method="PATCH")
        abort = (AbortCriterion(threshold_percentage=10.0, min_executed=2),)
        async with Jobs(client, tmp_path) as jobs:
            settings = JobSettings(abort=abort, concurrency=1)
            job = await jobs.start(renames(20), settings=settings)
            told = (await end_of(jobs, job.id))[-1].data
        assert told["phase"] == "stopped"
        assert "ended as differs, failed or unknown" in told["stopped"]
        emulator.faults.clear()
        async with Jobs(client, tmp_path) as jobs:
            assert sessions_of(jobs) == {}
            assert (await jobs.get(job.id)).as_json() == told
            await jobs.resume(job.id, retry_failed=True)
            assert sessions_of(jobs)[job.id].options().abort == abort
            told = (await end_of(jobs, job.id))[-1].data
        assert (told["phase"], told["counts"]["applied"]) == ("ended", 20)


async def test_a_job_of_another_process_is_shown_and_left_alone(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def wait(_: float) -> None:
        await go_on.wait()

    world = World(fleet_of(20))
    async with (
        Emulator(world=world, sleep=wait) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
        Jobs(client, tmp_path) as here,
    ):
        emulator.faults.add(Latency(seconds=1), device=uuid(7), method="PATCH")
        job = await here.start(renames(20))
        # Another worker of the backend: SQLite's lock is per connection.
        async with Jobs(client, tmp_path) as there:
            assert (await there.get(job.id)).phase is Phase.ELSEWHERE
            with pytest.raises(RunBusyError):
                await there.resume(job.id)
            watched = await there.watch(job.id)
            first = await anext(watched)
            go_on.set()
            events = [event async for event in watched]
    assert (first.data["phase"], first.data["counts"]["held"]) == ("running elsewhere", 0)
    assert (events[-1].kind, events[-1].data["counts"]["applied"]) == ("end", 20)


async def test_a_journal_held_by_another_process_is_refused(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(renames(3))
        await end_of(jobs, job.id)
        lock = RunLock.take(RunFolder(tmp_path / job.id).journal)
        with pytest.raises(RunBusyError):
            await jobs.resume(job.id)
        lock.release()
        await jobs.resume(job.id)


@pytest.mark.parametrize(
    "name", ["", "..", ".", "last", "20250101T000000Z-abcd", "../jobs", "a/b", "\0", "x" * 500]
)
async def test_only_an_id_finds_a_job(tmp_path: Path, name: str) -> None:
    async with backend(tmp_path / "jobs") as (_, jobs):
        await jobs.start(renames(1))
        for ask in (jobs.get, jobs.stop, jobs.resume, jobs.watch):
            with pytest.raises(RunNotFoundError):
                await ask(name)


async def test_an_invalid_job_leaves_nothing(tmp_path: Path) -> None:
    async with backend(tmp_path) as (emulator, jobs):
        twice = [renames(1)[0], UpdateDevice(device_id=uuid(0), name="Other")]
        with pytest.raises(InputConflictError):
            await jobs.start(twice)
        for wrong in (iter(renames(2)), "text", [1]):
            with pytest.raises(ConfigurationError):
                await jobs.start(wrong)  # type: ignore[arg-type]  # the mistake is the point
        assert emulator.world.log.count_arrivals() == 0
    assert names_in(tmp_path) == set()


async def test_a_plan_is_applied_exactly_and_need_not_stay_open(tmp_path: Path) -> None:
    async with running(fleet_of(30)) as (_, client), Jobs(client, tmp_path) as jobs:
        change = Change(selection=Selection(site_ids="site-0"), name="{name} (north)")
        with await plan(client, change) as planned:
            job = await jobs.start(planned, settings=JobSettings(concurrency=1))
        told = (await end_of(jobs, job.id))[-1].data
        assert told["counts"]["applied"] == 30
        async with Emulator(world=World(fleet_of(8))) as other:
            elsewhere = Client(other.token, base_url=other.base_url)
            async with elsewhere, Jobs(elsewhere, tmp_path / "other") as others:
                with await plan(client, change) as planned, pytest.raises(RunRefusedError):
                    await others.start(planned)


async def test_a_list_is_copied_before_anybody_can_change_it(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        works = renames(20)
        job = await jobs.start(works, settings=JobSettings(concurrency=1))
        works.clear()
        assert (await end_of(jobs, job.id))[-1].data["counts"]["applied"] == 20


async def test_configurations_are_kept_and_generated_once(tmp_path: Path) -> None:
    async with backend(tmp_path) as (emulator, jobs):
        works = [GenerateConfig(device_id=uuid(each), protocol="MQTT") for each in range(4)]
        job = await jobs.start([*works, DeleteDevice(device_id=uuid(9))])
        await end_of(jobs, job.id)
        kept = (tmp_path / job.id / "credentials.jsonl").read_text().splitlines()
        assert len(kept) == 4
        await jobs.resume(job.id)
        told = (await end_of(jobs, job.id))[-1].data
        assert told["counts"]["applied"] == 5
        assert emulator.world.log.count("generate_config") == 4
        secret = json.loads(kept[0])["config"]["mqtt_credentials"]["password"]
        assert secret not in json.dumps(told)


async def test_an_abandoned_request_does_not_stop_the_job_that_it_started(
    tmp_path: Path,
) -> None:
    async with backend(tmp_path) as (emulator, jobs):
        asking = asyncio.ensure_future(jobs.start(renames(10)))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        [job] = await jobs.list()
        await end_of(jobs, job.id)
        assert emulator.world.log.count("update") == 10


async def test_the_latest_jobs_are_those_started_last_even_within_a_second(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        begun = [(await jobs.start(renames(1))).id for _ in range(4)]
        assert [job.id for job in await jobs.list()] == begun[::-1]
        assert [job.id for job in await jobs.list(limit=2)] == begun[:1:-1]


async def test_a_damaged_job_is_left_out_of_the_list_and_affects_no_other(tmp_path: Path) -> None:
    async with running(fleet_of(3)) as (_, client):
        async with Jobs(client, tmp_path) as jobs:
            job = await jobs.start(renames(3))
            await end_of(jobs, job.id)
        damaged = tmp_path / "20200101T000000Z-0000"
        damaged.mkdir()
        (damaged / "journal.db").write_bytes(b"no journal")
        (damaged / "job.json").write_text("{")
        async with Jobs(client, tmp_path) as jobs:
            assert [each.id for each in await jobs.list()] == [job.id]
            with pytest.raises(ConfigurationError):
                await jobs.get(damaged.name)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(0.0)
    for second in range(10):
        for _ in range(second):
            rate.take(second + 0.5)
    # Seconds 5 to 9, in each of which one operation ended.
    assert rate.value(9.9) == (5 + 6 + 7 + 8 + 9) / 5
    assert rate.value(60.0) == 0.0
    fresh = Rate(100.0)
    fresh.take(100.1)
    assert fresh.value(100.2) == 1.0


def test_items_without_a_state_or_held_count_as_left() -> None:
    counts = dict.fromkeys(State, 0) | {State.APPLIED: 3, State.FAILED: 1, State.HELD: 2}
    job = Job(id="x", phase=Phase.RUNNING, source="", created_at=None, counts=counts, total=10)
    assert (job.left, job.active) == (6, True)
