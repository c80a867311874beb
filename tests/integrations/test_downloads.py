"""Reports and results of jobs, as files for a browser."""

import csv
import io
import json
from pathlib import Path

import pytest

from enapter_async.emulator import Hang
from enapter_async.errors import ArgumentError
from enapter_async.fleet import RunBusyError
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.reporting.results import write_results
from enapter_async.integrations.jobs import Download, Jobs
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.fleets import fleet_of, running, uuid
from tests.integrations.test_jobs import backend, end_of, renames, until_applied


async def text_of(download: Download) -> str:
    body = b"".join([piece async for piece in download.pieces()])
    assert download.file.closed
    assert download.headers["Content-Length"] == str(len(body))
    return body.decode()


async def test_results_are_the_files_of_the_command_line(tmp_path: Path) -> None:
    works = [*renames(3), UpdateDevice(device_id=uuid(4), slug="device-1")]
    async with backend(tmp_path / "jobs") as (_, jobs):
        job = await jobs.start(works, source="=May", started_by="ann")
        await end_of(jobs, job.id)
        told = await jobs.results(job.id)
        assert told.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert told.headers["Content-Disposition"] == f'attachment; filename="{job.id}.csv"'
        table = await text_of(told)
        lines = (await text_of(await jobs.results(job.id, "jsonl"))).splitlines()
        with pytest.raises(ArgumentError, match="csv, jsonl"):
            await jobs.results(job.id, "xlsx")
        with pytest.raises(RunNotFoundError):
            await jobs.results("20250101T000000Z-abcd")
    rows = list(csv.DictReader(io.StringIO(table.removeprefix("\ufeff"))))
    assert [row["state"] for row in rows] == ["applied"] * 3 + ["failed"]
    assert [json.loads(line)["code"] for line in lines] == [None] * 3 + ["already_exists"]
    journal = read_journal(tmp_path / "jobs" / job.id / "journal.db")
    write_results(journal, tmp_path / "results.csv", "csv")
    journal.close()
    assert (tmp_path / "results.csv").read_bytes() == table.encode()


async def test_a_report_can_be_read_while_the_job_runs_and_results_cannot(tmp_path: Path) -> None:
    async with running(fleet_of(5)) as (emulator, client):
        emulator.faults.add(Hang(), device=uuid(4), method="PATCH")
        async with Jobs(client, tmp_path / "jobs", grace=0.1) as jobs:
            job = await jobs.start(renames(5), started_by="<ann>")
            assert job.started_by == "<ann>"
            await until_applied(jobs, job.id, 4)
            told = await jobs.report(job.id)
            assert told.headers["Content-Disposition"].startswith("inline;")
            assert told.headers["Content-Security-Policy"].startswith("sandbox ")
            page = await text_of(told)
            assert "results.csv" not in page
            with pytest.raises(RunBusyError, match="is running"):
                await jobs.results(job.id)
            with pytest.raises(RunNotFoundError):
                await jobs.report("../../etc")
        async with Jobs(client, tmp_path / "jobs", resume=False) as jobs:
            [job] = await jobs.list()
            assert (job.started_by, job.as_json()["started_by"]) == ("<ann>", "<ann>")
            page = await text_of(await jobs.report(job.id))
    assert "\\u003cann\\u003e" in page
    assert '["results.csv","results.csv"]' in page


async def test_a_job_names_the_file_of_its_configurations(tmp_path: Path) -> None:
    async with backend(tmp_path) as (_, jobs):
        plain = await jobs.start(renames(1))
        await end_of(jobs, plain.id)
        assert (await jobs.get(plain.id)).credentials == ()
        job = await jobs.start([GenerateConfig(device_id=uuid(1), protocol="MQTT")])
        told = (await end_of(jobs, job.id))[-1].data
        assert told["credentials"] == [str(tmp_path / job.id / "credentials.jsonl")]
