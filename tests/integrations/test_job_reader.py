"""What is read of a job's files: once, and from then on what was written since."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path

from enapter_async.emulator import Latency, Reply
from enapter_async.fleet import State
from enapter_async.fleet.journal.run_folders import RunFolder, RunLock
from enapter_async.integrations.job_reader import JobReader
from enapter_async.integrations.jobs import Jobs, JobSettings, Phase
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.fleets import fleet_of, running, uuid
from tests.integrations.test_jobs import backend, end_of, renames


def execute(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "journal.db")) as journal, journal:
        journal.execute(statement)


async def test_a_list_reads_no_item_of_what_ended_and_all_of_what_went_on_since(
    tmp_path: Path,
) -> None:
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(renames(20), source="May")
        await end_of(jobs, job.id)
    folder = tmp_path / job.id
    execute(folder, "DELETE FROM item WHERE seq >= 5")
    execute(folder, "DELETE FROM event WHERE seq >= 5 AND id < (SELECT max(id) FROM event)")
    execute(folder, "UPDATE event SET seq = 0 WHERE seq >= 5")
    async with backend(tmp_path) as (_, jobs):
        [listed] = await jobs.list()
        assert (listed.total, listed.counts[State.APPLIED], listed.phase) == (20, 20, Phase.ENDED)
        execute(folder, "INSERT INTO event (seq, step, kind, at_ms) VALUES (1, 0, 'failed', 0)")
        [listed] = await jobs.list()
        assert (listed.total, listed.counts[State.FAILED]) == (5, 1)


async def test_what_goes_on_elsewhere_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(renames(20))
        await end_of(jobs, job.id)
    folder = RunFolder(tmp_path / job.id)
    lock = RunLock.take(folder.journal)
    try:
        reader = JobReader(folder)
        assert reader.look().summary.counts[State.APPLIED] == 20
        execute(folder.path, "DELETE FROM event WHERE seq < 10")
        execute(
            folder.path, "INSERT INTO event (seq, step, kind, at_ms) VALUES (3, 0, 'failed', 0)"
        )
        seen = reader.look()
        counts = seen.summary.counts
        assert (counts[State.APPLIED], counts[State.FAILED]) == (19, 1)
        assert [each["device_id"] for each in seen.troubles] == [uuid(3)]
        # Another journal in its place is read from its beginning.
        with contextlib.closing(sqlite3.connect(folder.journal)) as old:
            old.execute("VACUUM INTO ?", (str(folder.path / "new.db"),))
        (folder.path / "new.db").replace(folder.journal)
        assert reader.look().summary.counts[State.APPLIED] == 10
    finally:
        lock.release()


async def test_a_watcher_elsewhere_hears_of_each_failure_once_in_its_order(tmp_path: Path) -> None:
    works = [*renames(3), UpdateDevice(device_id=uuid(4), name="x"), *renames(20)[10:12]]
    settings = JobSettings(concurrency=1, abort=())
    async with running(fleet_of(20)) as (emulator, client):
        emulator.faults.add(Reply(status=409, body=b"{}"), device=uuid(4), method="PATCH")
        emulator.faults.add(Latency(seconds=0.01), times=None, method="PATCH")
        async with Jobs(client, tmp_path) as here, Jobs(client, tmp_path, resume=False) as there:
            job = await here.start(works, settings=settings)
            events = await end_of(there, job.id)
    told: list[object] = []
    for event in events:
        if event.kind == "troubles":
            told = [*told[: event.data["from"]], *event.data["troubles"]]
    assert [each["device_id"] for each in told if isinstance(each, dict)] == [uuid(4)]
    assert events[-1].data["counts"]["applied"] == 5


async def test_open_ends_are_configurations_that_nobody_took_note_of(tmp_path: Path) -> None:
    async with running(fleet_of(6)) as (emulator, client):
        lost = Reply(status=502, body=b"")
        emulator.faults.add(lost, device=uuid(1), method="POST", times=None)
        emulator.faults.add(lost, device=uuid(2), times=None)
        works = [GenerateConfig(device_id=uuid(1), protocol="MQTT"), renames(6)[2]]
        async with Jobs(client, tmp_path) as jobs:
            job = await jobs.start(works, settings=JobSettings(abort=()))
            told = (await end_of(jobs, job.id))[-1].data["counts"]
            assert told["unknown"] == 2
            file = json.loads((tmp_path / job.id / "job.json").read_text())
            assert (file["summary"]["open_ends"], file["summary"]["counts"]["unknown"]) == (1, 2)
            await jobs.resume(job.id, ambiguous="skip")
            await end_of(jobs, job.id)
            file = json.loads((tmp_path / job.id / "job.json").read_text())
            assert file["summary"]["open_ends"] == 0


async def test_many_threads_may_read_one_job(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        job = await jobs.start(renames(20))
        await end_of(jobs, job.id)
    reader = JobReader(RunFolder(tmp_path / job.id))
    seen = await asyncio.gather(*(asyncio.to_thread(reader.look) for _ in range(8)))
    assert {look.summary.counts[State.APPLIED] for look in seen} == {20}
