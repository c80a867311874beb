"""Jobs in PostgreSQL, seen and handled from two replicas of a backend."""

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, Hang, Latency, World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import JournalError, Rollout, RunBusyError, RunRefusedError, State
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.integrations.job_watch import UNREACHABLE
from enapter_async.integrations.jobs import RESUME_OPTIONS, Job, Jobs, JobSettings, Phase
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.distributed.jobs import LEASE, QUICK, slow_from, until
from tests.fleet.fleets import fleet_of, uuid
from tests.integrations.test_downloads import text_of
from tests.integrations.test_jobs import end_of, renames, until_applied
from tests.support.postgres import PostgresServer

TOKEN = "the-token-of-this-backend"
DEVICES = 30


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(world=World(fleet_of(DEVICES)), token=TOKEN) as running:
        yield running


@contextlib.asynccontextmanager
async def replica(
    emulator: Emulator, database: str, *, token: str = TOKEN, **options: Any
) -> AsyncIterator[Jobs]:
    """Open the jobs with a client of their own, as another machine would."""
    async with (
        Client(token, base_url=emulator.base_url, retry=QUICK) as client,
        Jobs(client, database, **({"lease": LEASE, "grace": 5.0} | options)) as jobs,
    ):
        yield jobs


@contextlib.asynccontextmanager
async def two(
    emulator: Emulator, database: str, kept: Path | None = None
) -> AsyncIterator[tuple[Jobs, Jobs]]:
    """Open a replica that works, and one that leaves the work to it."""
    async with (
        replica(emulator, database, credentials=kept) as one,
        replica(emulator, database, resume=False) as other,
    ):
        yield one, other


async def over(jobs: Jobs, job: str) -> Job:
    await end_of(jobs, job)
    return await jobs.get(job)


async def test_a_job_is_watched_to_its_end_from_each_replica(
    emulator: Emulator, database: str
) -> None:
    works = [*renames(20), UpdateDevice(device_id=uuid(25), slug="device-26")]
    async with two(emulator, database) as (one, other):
        job = await other.start(
            works, source="May", started_by="ann", rollout=Rollout(waves=(1, 4, "rest"))
        )
        assert (job.total, job.source, job.started_by) == (21, "May", "ann")
        assert job.phase.active
        both = await asyncio.gather(end_of(one, job.id), end_of(other, job.id))
        for events in both:
            assert [each.kind for each in events if each.kind != "job"] == ["troubles", "end"]
            [trouble] = next(e for e in events if e.kind == "troubles").data["troubles"]
            assert (trouble["device_id"], trouble["state"], trouble["status"]) == (
                uuid(25), "failed", 409,
            )  # fmt: skip
            told = events[-1].data
            assert (told["phase"], told["counts"]["applied"], told["left"]) == ("ended", 20, 0)
            assert [(each["number"], each["size"], each["passed"]) for each in told["waves"]] == [
                (1, 1, True), (2, 4, True), (3, 16, True),
            ]  # fmt: skip
            assert (told["next_steps"], told["workers"]) == (["retry_failed"], [])
            assert json.loads(json.dumps(told)) == told
        last = both[0][-1]
        again = await end_of(other, job.id, after=last.id)
        assert [each.kind for each in again] == ["end"], "what was received is not told again"
        for jobs in (one, other):
            assert [each.id for each in await jobs.list()] == [job.id]
            table = await text_of(await jobs.results(job.id))
            assert (table.count(",applied,"), table.count("already_exists")) == (20, 2)
            assert "results.jsonl" in await text_of(await jobs.report(job.id))
    assert emulator.world.log.count("update") == 20
    assert TOKEN not in everything_in(database)
    with contextlib.closing(connect(Address.parse(database, with_run=False))) as connection:
        connection.execute("DELETE FROM enapter_fleet.run")
    async with replica(emulator, database, resume=False) as late:
        assert await late.list() == [], "a job whose journals are gone is left out"
        with pytest.raises(RunRefusedError, match="there is no run"):
            await late.get(job.id)


def everything_in(database: str) -> str:
    """Return all rows of all tables as text."""
    found = ""
    with contextlib.closing(connect(Address.parse(database, with_run=False))) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'enapter_fleet'"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT each::text FROM enapter_fleet.{table} AS each")
            found += "\n".join(row for (row,) in rows.fetchall())
    assert uuid(0) in found, "the operations are there"
    return found


async def test_any_replica_stops_resumes_and_retries_a_job(
    emulator: Emulator, database: str
) -> None:
    slow_from(emulator, 3)
    works = [UpdateDevice(device_id=uuid(25), slug="device-26"), *renames(20)]
    settings = JobSettings(concurrency=2, abort=())
    async with two(emulator, database) as (one, other):
        job = await one.start(works, settings=settings)
        await until_applied(other, job.id, 2)
        assert (await one.get(job.id)).phase is Phase.RUNNING
        seen = await other.get(job.id)
        assert (seen.phase, len(seen.workers)) == (Phase.ELSEWHERE, 1)
        with pytest.raises(RunBusyError):
            await other.resume(job.id)
        with pytest.raises(RunBusyError):
            await other.results(job.id)
        with pytest.raises(RunBusyError, match="changes 3 of the same objects"):
            await other.start(renames(3))
        assert (await other.stop(job.id)).phase in (Phase.STOPPING, Phase.STOPPED)
        stopped = await over(one, job.id)
        assert (stopped.phase, stopped.stopped) == (Phase.STOPPED, "it was stopped")
        assert stopped.next_steps == ("resume", "retry_failed")
        assert 2 <= stopped.counts[State.APPLIED] < 20
        emulator.faults.clear()
        await other.resume(job.id)
        ended = await over(one, job.id)
        assert (ended.phase, ended.counts[State.APPLIED]) == (Phase.ENDED, 20)
    assert emulator.world.log.count("update") == 20


async def test_an_event_is_the_same_from_each_replica_while_nothing_changes(
    emulator: Emulator, database: str
) -> None:
    emulator.faults.add(Hang(), times=None, method="PATCH")
    async with (
        replica(emulator, database, grace=0.1) as one,
        replica(emulator, database, resume=False) as other,
    ):
        job = await other.start(renames(20))
        async with asyncio.timeout(60):
            while not (await other.get(job.id)).workers:
                pass
        ids, phases = set(), []
        for jobs in (one, other):
            async with contextlib.aclosing(await jobs.watch(job.id)) as events:
                event = await anext(events)
            ids.add(event.id)
            phases.append(event.data["phase"])
    assert len(ids) == 1, "a browser that comes from the other replica is not told again"
    assert phases == ["running", "running elsewhere"]


async def test_an_abandoned_request_disturbs_no_other(emulator: Emulator, database: str) -> None:
    async with two(emulator, database) as (one, _):
        job = await one.start(renames(3))
        await end_of(one, job.id)
        asking = [asyncio.ensure_future(one.list()) for _ in range(12)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in asking[::2]:
            task.cancel()
        assert [len(each) for each in await asyncio.gather(*asking[1::2])] == [1] * 6


async def test_a_wave_that_did_not_pass_is_accepted_from_another_replica(
    emulator: Emulator, database: str
) -> None:
    works = [UpdateDevice(device_id=uuid(25), slug="device-26"), *renames(20)]
    async with two(emulator, database) as (one, other):
        job = await one.start(works, rollout=Rollout(waves=(1, "rest")))
        stopped = await over(one, job.id)
        assert stopped.stopped.startswith("wave 1 did not pass")
        assert stopped.next_steps == ("resume", "retry_failed", "accept_wave")
        await other.resume(job.id, **RESUME_OPTIONS["accept_wave"])
        assert (await over(other, job.id)).counts[State.APPLIED] == 20


async def test_configurations_stay_with_the_replica_that_received_them(
    emulator: Emulator, database: str, tmp_path: Path
) -> None:
    works = [GenerateConfig(device_id=uuid(n), protocol="MQTT") for n in range(6)]
    emulator.faults.add(Drop(after_effect=True), device=uuid(3), method="POST")
    kept = tmp_path / "kept"
    async with replica(emulator, database) as careless:
        with pytest.raises(ConfigurationError, match="credentials=FOLDER"):
            await careless.start(works)
    async with two(emulator, database, kept) as (_, other):
        job = await other.start(works)
        ended = await over(other, job.id)
        assert (ended.counts[State.APPLIED], ended.counts[State.UNKNOWN]) == (5, 1)
        assert ended.next_steps == ("regenerate", "skip")
        [file] = kept.iterdir()
        [said] = ended.credentials
        assert said.endswith(f": {kept / job.id}-*.jsonl")
        assert file.match(f"{job.id}-*.jsonl")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await other.resume(job.id, **RESUME_OPTIONS["skip"])
        assert (await over(other, job.id)).next_steps == ()
        assert emulator.world.log.count("generate_config") == 6, "nothing was done again"
        stored = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        secret = stored[0]["config"]["mqtt_credentials"]["password"]
        assert secret not in everything_in(database)


async def test_a_replica_that_closes_gives_its_work_to_another(
    emulator: Emulator, database: str
) -> None:
    emulator.faults.add(Latency(seconds=0.05), times=None, when=lambda it: it.method != "GET")
    async with replica(emulator, database, resume=False) as idle:
        waiting = await idle.start(renames(1))
        assert waiting.waiting == (
            "no running worker takes from default; to start one: enapter-async fleet worker "
            f"--journal '{database}#{waiting.id}' --queue default"
        )
        await idle.stop(waiting.id)
    async with replica(emulator, database, lease=60.0) as other:
        async with replica(emulator, database, lease=60.0) as one:
            job = await one.start(renames(20), settings=JobSettings(concurrency=2))
            await until_applied(one, job.id, 2)
            watching = await one.watch(job.id)
            first = await anext(watching)
            one.end_watches()
            assert [each async for each in watching] == []
            with pytest.raises(RunRefusedError, match="closing"):
                await one.start(renames(1))
        assert first.kind == "job"
        ended = await over(other, job.id)
    assert ended.counts[State.APPLIED] == 20
    assert emulator.world.log.count("update") == 20, "nothing was cut off, and nothing repeated"


async def test_a_watch_outlives_a_crash_of_the_database(
    emulator: Emulator, database: str, postgres_server: PostgresServer
) -> None:
    slow_from(emulator, 3)
    async with two(emulator, database) as (one, other), contextlib.AsyncExitStack() as stack:
        job = await one.start(renames(20), settings=JobSettings(concurrency=2))
        told: list[dict[str, Any]] = []

        async def watch() -> None:
            async for event in await other.watch(job.id):
                told.append(dict(event.data))  # noqa: PERF401 - read while it grows

        watching = asyncio.ensure_future(watch())
        await until_applied(one, job.id, 2)
        await asyncio.to_thread(postgres_server.crash)
        try:
            await until(lambda: told[-1]["waiting"] == UNREACHABLE)
            with pytest.raises(JournalError):
                await other.list()
            late = await stack.enter_async_context(replica(emulator, database))
        finally:
            await asyncio.to_thread(postgres_server.start)
        emulator.faults.clear()
        async with asyncio.timeout(60):
            await watching
        assert (await late.get(job.id)).phase is Phase.ENDED, "it opened all the same"
    assert (told[-1]["phase"], told[-1]["counts"]["applied"]) == ("ended", 20)


async def test_what_another_backend_started_is_listed_and_left_to_it(
    emulator: Emulator, database: str
) -> None:
    async with replica(emulator, database) as ours:
        job = await ours.start(renames(3))
        await end_of(ours, job.id)
        async with replica(emulator, database, token="another", resume=False) as theirs:
            assert [each.id for each in await theirs.list()] == [job.id]
            with pytest.raises(RunRefusedError, match="another token"):
                await theirs.resume(job.id)
        async with (
            Emulator(devices=1) as elsewhere,
            replica(elsewhere, database, resume=False) as theirs,
        ):
            with pytest.raises(RunRefusedError, match="was started with the server"):
                await theirs.resume(job.id)
        for name in ("nobody", "", "../..", "a\x00b", "x" * 300):
            for ask in (ours.get, ours.stop, ours.resume, ours.watch, ours.report, ours.results):
                with pytest.raises(RunNotFoundError):
                    await ask(name)


async def test_the_place_of_the_jobs_is_checked(
    emulator: Emulator, postgres: str, tmp_path: Path
) -> None:
    async with Client(TOKEN, base_url=emulator.base_url) as client:
        with pytest.raises(ConfigurationError, match="pass the database alone"):
            Jobs(client, f"{postgres}#one")
        with pytest.raises(ConfigurationError, match="in a folder, each job stores its own"):
            Jobs(client, tmp_path, credentials=tmp_path)
        with pytest.raises(ConfigurationError, match="fleet journal prepare"):
            async with Jobs(client, postgres):
                pass
