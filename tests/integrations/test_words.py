"""Watchers read only the package's own words about a job: the upstream may send anything."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Emulator, Reply, World
from enapter_async.errors import EnapterError
from enapter_async.fleet import Rollout
from enapter_async.fleet.errors import EarlierError
from enapter_async.integrations import answers
from enapter_async.integrations.answers import words_for
from enapter_async.integrations.jobs import Jobs, JobSettings
from enapter_async.operations.devices import GenerateConfig
from tests.fleet.fleets import fleet_of, running, uuid
from tests.integrations.test_jobs import end_of, renames
from tests.support.clock import FakeClock

HUSH = "upstream words that no browser may read"
ONE_ATTEMPT = RetryPolicy(attempts=1)
ERRORS: Final = [
    name
    for name, each in vars(answers).items()
    if isinstance(each, type) and issubclass(each, EnapterError)
]
"""The errors that the answers know, by name."""


def upstream(status: int, code: str) -> Reply:
    """Return an answer in the API's own form that says more than browsers may know."""
    body = {"errors": [{"code": code, "message": HUSH, "details": {"was": HUSH}}]}
    return Reply(status=status, body=json.dumps(body).encode(), content_type="application/json")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            upstream(409, "slug_taken"),
            "It conflicts with something else; nothing was done. (slug_taken)",
        ),
        (upstream(422, HUSH), "It cannot be carried out; nothing was done."),
        (upstream(403, "no_access"), "This service lacks the upstream permission for that."),
        (upstream(500, "broken"), "It is unknown whether it was done."),
        (upstream(200, "fine"), "It was done, but its response is lost."),
    ],
)
async def test_watchers_receive_no_text_of_the_upstream(
    tmp_path: Path, fault: Reply, said: str
) -> None:
    async with running(fleet_of(2)) as (emulator, client):
        emulator.faults.add(fault, times=None)
        async with Jobs(client.with_options(retry=ONE_ATTEMPT), tmp_path) as jobs:
            settings = JobSettings(abort=())
            job = await jobs.start(
                [GenerateConfig(device_id=uuid(1), protocol="MQTT")], settings=settings
            )
            live = await end_of(jobs, job.id)
            later = await end_of(jobs, job.id)
    for events in (live, later):
        [told] = [event.data["troubles"] for event in events if event.kind == "troubles"]
        assert [each["message"] for each in told] == [said]
        assert HUSH not in "".join(json.dumps(event.data) for event in events)


@pytest.mark.parametrize("rollout", [None, Rollout(waves=(1,))])
async def test_the_reason_for_a_stop_contains_no_text_of_the_upstream(
    tmp_path: Path, rollout: Rollout | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with Emulator(world=World(fleet_of(4))) as emulator:
        # Without waves the first write stops it; with waves, reading the wave back does.
        status, method = (401, "PATCH") if rollout is None else (503, "GET")
        emulator.faults.add(upstream(status, "some_code"), times=None, method=method)
        fast = Client(
            emulator.token,
            base_url=emulator.base_url,
            clock=FakeClock().clock(),
            retry=ONE_ATTEMPT,
        )
        async with fast, Jobs(fast, tmp_path) as jobs:
            job = await jobs.start(renames(4), rollout=rollout)
            events = await end_of(jobs, job.id)
    told = events[-1].data
    assert told["phase"] == "stopped"
    rejected = "The upstream service rejects this service's token."
    wanted = rejected if rollout is None else "(PausedTooLongError); "
    assert wanted in told["stopped"]
    assert HUSH not in "".join(json.dumps(event.data) for event in events)
    assert f"job {job.id} stopped: " in caplog.text


@pytest.mark.parametrize("error_type", [*sorted(set(ERRORS)), "no such class", "", ["a", "list"]])
def test_any_error_in_a_journal_is_described_in_words(error_type: Any) -> None:
    said = words_for(EarlierError(HUSH, error_type=error_type))
    assert said.endswith(".")
    assert HUSH not in said
