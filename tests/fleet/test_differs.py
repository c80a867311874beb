"""A server that stores something else: every report of a job says done, but not as requested."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.cli.endings import exit_of_report, exit_of_state
from enapter_async.cli.exit_codes import Exit
from enapter_async.client import Client
from enapter_async.errors import ResultDiffersError
from enapter_async.fleet import AbortCriterion, JournalOptions, Rollout, State
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.reporting.results import result_rows
from enapter_async.fleet.rollout.abort import FailureType
from enapter_async.integrations.event_stream import StreamEvent
from enapter_async.integrations.jobs import Jobs, JobSettings
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.fleets import uuid
from tests.integrations.test_jobs import end_of
from tests.support.server import FaultServer
from tests.support.world import Good, World

IDS = tuple(uuid(number) for number in range(10))


class Trimming(World):
    """A world that trims names, lower-cases slugs, and knows only MQTT."""

    def serve(self, arrival: int, method: str, target: str, body: bytes) -> Good:
        if body:
            asked = json.loads(body)
            told = {key: value.strip().lower() for key, value in asked.items()}
            if "protocol" in asked:
                told = {"protocol": "MQTT"}
            body = json.dumps(told).encode()
        return super().serve(arrival, method, target, body)


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer(devices=IDS) as fault_server:
        fault_server.world = Trimming(IDS)
        yield fault_server


@pytest.fixture
async def client(server: FaultServer) -> AsyncIterator[Client]:
    async with Client("token", base_url=server.base_url) as opened:
        yield opened


RENAMES = [UpdateDevice(device_id=each, name=f"New {each[:8]} ") for each in IDS]


async def test_a_difference_is_reported_not_retried_and_undone(
    server: FaultServer, client: Client, tmp_path: Path
) -> None:
    journal = tmp_path / "run.db"
    before = {each: server.world.devices[each]["name"] for each in IDS}
    with await fleet.plan(client, RENAMES) as plan:
        report = await fleet.apply(client, plan, journal=journal, abort=None)
    assert report.counts[State.DIFFERS] == len(report.differing) == 10
    assert not report.ok
    assert isinstance(report.differing[0].error, ResultDiffersError)

    options = JournalOptions(path=journal, retry_failed=True)
    again = await fleet.resume(client, options, abort=None)
    assert (again.counts[State.DIFFERS], again.earlier) == (10, 10)
    assert server.seen.count("PATCH") == 10, "the result would be the same"
    with contextlib.closing(read_journal(journal)) as read:
        rows = list(result_rows(read))
    assert {row["state"] for row in rows} == {"differs"}
    assert "was requested" in rows[0]["error"]

    back = await fleet.undo(client, journal)
    assert not any(back.lasting.values())
    with back.plan as plan:
        undone = await fleet.apply(client, plan)
    # This server lower-cases restored values, too.
    assert undone.counts[State.DIFFERS] == 10
    assert {each: server.world.devices[each]["name"] for each in IDS} == {
        each: name.lower() for each, name in before.items()
    }


async def test_an_outcome_that_differs_has_the_result_and_its_error_has_none(
    client: Client, tmp_path: Path
) -> None:
    minted = GenerateConfig(device_id=IDS[0], protocol="MQTTS")
    path = tmp_path / "credentials.jsonl"
    async with fleet.Run(client, [minted], credentials=path) as run:
        (outcome,) = [outcome async for outcome in run]
    assert outcome.state is State.DIFFERS
    assert outcome.result is not None
    assert isinstance(outcome.error, ResultDiffersError)
    assert outcome.error.result is None
    (kept,) = path.read_text("utf-8").splitlines()
    assert json.loads(kept)["config"]["mqtt_protocol"] == "MQTT", "it exists, so it is kept"


async def test_a_wave_in_which_something_differs_has_not_passed(
    server: FaultServer, client: Client
) -> None:
    waves = Rollout(waves=(1, "rest"))
    report = await fleet.apply(client, RENAMES, rollout=waves, abort=None)
    assert isinstance(report.stopped, fleet.WaveNotPassedError)
    assert "UpdateDevice of" in str(report.stopped)
    assert "ended as 'differs'" in str(report.stopped)
    assert server.world.done("update") == 1


@pytest.mark.parametrize("failure_type", ["all", "differs"])
async def test_a_difference_counts_for_the_abort_criteria(
    server: FaultServer, client: Client, failure_type: FailureType
) -> None:
    criterion = AbortCriterion(failure_type=failure_type, threshold_percentage=50, min_executed=2)
    report = await fleet.apply(client, RENAMES, concurrency=1, abort=criterion)
    assert isinstance(report.stopped, fleet.RunAbortedError)
    assert server.world.done("update") == 2


async def test_later_operations_on_the_device_are_held(client: Client) -> None:
    later = UpdateDevice(device_id=IDS[0], slug="pump")
    report = await fleet.apply(client, [RENAMES[0], later], abort=None)
    assert report.counts[State.HELD] == 1
    assert exit_of_report(report) is Exit.FAILED
    assert exit_of_state(State.DIFFERS) is Exit.FAILED


def troubles_of(events: list[StreamEvent]) -> list[dict[str, Any]]:
    told = [event.data for event in events if event.kind == "troubles"]
    return [each for data in told for each in data["troubles"]]


async def test_a_backends_job_shows_differences_live_and_from_its_files(
    client: Client, tmp_path: Path
) -> None:
    settings = JobSettings(concurrency=1, abort=())
    async with Jobs(client, tmp_path) as jobs:
        job = await jobs.start(RENAMES[:2], settings=settings)
        told = await end_of(jobs, job.id)
        looked = await jobs.get(job.id)
    assert told[-1].data["counts"]["differs"] == 2
    assert looked.counts[State.DIFFERS] == 2
    troubles = troubles_of(told)
    assert [each["state"] for each in troubles] == ["differs", "differs"]
    assert troubles[0]["operation"] == "device.update"
    assert troubles[0]["device_id"] == IDS[0]
    async with Jobs(client, tmp_path) as jobs:
        again = await end_of(jobs, job.id)
    assert troubles_of(again) == troubles
