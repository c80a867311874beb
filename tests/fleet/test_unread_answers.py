"""Credentials that arrived in an unreadable answer: a job keeps what it received."""

import base64
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.concealment import RawAnswer
from enapter_async.emulator import Emulator, Reply, World
from enapter_async.errors import ResultLostError
from enapter_async.fleet import CredentialsNotKeptError, Outcome, State
from enapter_async.fleet.credentials import count_in
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig
from tests.support.secrets import shown

PASSWORD = "PASSWORD-SECRET"
BODY = json.dumps(
    {
        "config": {
            "mqtt_host": "h",
            "mqtt_protocol": "MQTT",
            "mqtt_credentials": {"username": "u", "password": PASSWORD},
        }
    }
).encode()
REASON = "HTTP 200, but config.mqtt_port is missing"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    world = World.seeded(20, 1, role="OWNER")
    async with Emulator(world=world) as running:
        answer_so(running, BODY)
        yield running


@pytest.fixture
def policy() -> RetryPolicy:
    return RetryPolicy(attempts=1)


def answer_so(emulator: Emulator, body: bytes) -> None:
    emulator.faults.clear()
    reply = Reply(body=body, content_type="application/json", after_effect=True)
    emulator.faults.add(reply, method="POST", times=None)


def minting(emulator: Emulator, count: int) -> list[Operation[Any]]:
    found = [each.id for each in emulator.world.devices if each.type == "STANDALONE"]
    return [GenerateConfig(device_id=each, protocol="MQTT") for each in found[:count]]


async def outcomes_of(
    client: Client, operations: list[Operation[Any]], **options: Any
) -> list[Outcome[Any]]:
    async with fleet.Run(client, operations, concurrency=1, **options) as run:
        return [outcome async for outcome in run]


async def test_a_job_writes_it_as_received(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "credentials.jsonl"
    operations = minting(emulator, 2)
    outcomes = await outcomes_of(client, operations, credentials=path)
    assert [each.state for each in outcomes] == [State.UNKNOWN] * 2
    for outcome in outcomes:
        assert type(outcome.error) is ResultLostError
        assert REASON in str(outcome.error)
        assert outcome.result is None
        assert PASSWORD not in shown(outcome.error) + repr(outcome)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [row["device_id"] for row in rows] == [each.subject() for each in operations]
    assert {row["raw"] for row in rows} == {BODY.decode()}
    assert not any("config" in row for row in rows)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert count_in(path)[0] == 0


async def test_bytes_that_are_not_text_are_written_too(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    answer_so(emulator, b'{"config": "\xff"}')
    path = tmp_path / "credentials.jsonl"
    await outcomes_of(client, minting(emulator, 1), credentials=path)
    row = json.loads(path.read_text("utf-8"))
    assert base64.b64decode(row["raw_base64"]) == b'{"config": "\xff"}'


async def test_a_journalled_run_names_the_operation_and_does_not_repeat_it(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    path, journal = tmp_path / "credentials.jsonl", tmp_path / "run.db"
    operations = minting(emulator, 1)
    await fleet.apply(client, operations, credentials=path, journal=journal)
    (row,) = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert row["item"] == 0
    assert {"run", "intent", "raw"} <= row.keys()
    report = await fleet.resume(client, journal)
    assert report.counts[State.UNKNOWN] == 1
    assert emulator.world.log.count_arrivals("POST") == 1


async def test_a_callable_is_given_the_raw_answer(emulator: Emulator, client: Client) -> None:
    taken: list[Any] = []
    outcomes = await outcomes_of(
        client, minting(emulator, 1), credentials=lambda _, result: taken.append(result)
    )
    (answer,) = taken
    assert isinstance(answer, RawAnswer)
    assert answer.reveal() == BODY
    assert isinstance(outcomes[0].error, ResultLostError)
    assert outcomes[0].error.answer is answer


async def test_if_it_cannot_be_stored_the_error_still_holds_it_and_the_run_stops(
    emulator: Emulator, client: Client
) -> None:
    def refuse(_: Operation[Any], __: Any) -> None:
        raise OSError(28, "No space left on device")

    first, second = await outcomes_of(client, minting(emulator, 2), credentials=refuse)
    assert isinstance(first.error, CredentialsNotKeptError)
    assert first.error.answer is not None
    assert first.error.answer.reveal() == BODY
    assert second.state is State.HELD
    assert emulator.world.log.count_arrivals("POST") == 1
