"""The demo: it runs, its statements are true, and its check detects a lie."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree as ET

import attrs
import pytest
from click.testing import CliRunner

from enapter_async.cli.app import cli
from enapter_async.cli.demo_plan import make_world, plan, write_plan
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.rehearsal import lies
from enapter_async.emulator import Emulator, World
from enapter_async.fleet import Outcome, State, read_operations
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, UpdateDevice
from tests.cli.delivery import deliver


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_every_outcome_is_true(seed: str) -> None:
    arguments = ["demo", "--devices", "300", "--seed", seed, "--max-rate", "100000"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == Exit.DONE, result.stdout
    assert "CHECKED" in result.stdout
    assert "agree with the emulator's own log" in result.stdout
    for word in ("applied", "failed", "unknown", "retried", "requests in", "Drop"):
        assert word in result.stdout
    assert "\x1b" not in result.output


def test_without_faults_nothing_is_unknown() -> None:
    arguments = ["demo", "--devices", "100", "--faults", "0", "--max-rate", "100000"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == Exit.DONE
    assert "with an unknown outcome" not in result.stdout


def test_a_picture_of_it_shows_the_same_and_loads_nothing(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    arguments = ["demo", "--devices", "50", "--max-rate", "100000", "--svg", str(picture)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == Exit.DONE
    assert "\x1b" not in result.output
    drawn = picture.read_text("utf-8")
    words = "".join(ET.fromstring(drawn).itertext()).replace("\xa0", " ")  # noqa: S314 - our own
    assert result.stdout.splitlines()[1].strip("│ ") in words
    assert "CHECKED: " in words
    assert "url(http" not in drawn


def test_the_plan_is_valid_repeatable_and_can_be_checked(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        write_plan(make_world(1000, 5), path, 5)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    operations = read_operations(paths[0])
    assert len({(type(each), each.subject()) for each in operations}) == len(operations) >= 1000
    kinds = {type(each).__name__ for each in operations}
    assert kinds == {"UpdateDevice", "AssignBlueprint", "GenerateConfig", "DeleteDevice"}


def test_small_fleets_have_a_plan() -> None:
    world = make_world(10, 1)
    assert list(plan(world, Random(1)))


@pytest.fixture
def world() -> World:
    return World.seeded(10, 1, role="OWNER")


def check(emulator: Emulator, path: Path, outcomes: Sequence[Outcome[Any]]) -> list[str]:
    operations: list[Operation[Any]] = [outcome.operation for outcome in outcomes]
    return list(lies(emulator, operations, outcomes, path))


def test_the_check_detects_every_kind_of_lie(world: World, tmp_path: Path) -> None:
    credentials = tmp_path / "c.jsonl"
    credentials.write_text("")
    emulator = Emulator(world=world)
    device = next(each for each in world if each.type == "STANDALONE")
    update = UpdateDevice(device_id=device.id, name="new")
    mint = GenerateConfig(device_id=device.id, protocol="MQTT")
    delete = DeleteDevice(device_id=device.id)

    def told(operation: Operation[Any], state: State, *, settled: bool = False) -> list[str]:
        outcome = Outcome(operation=operation, state=state, settled=settled)
        return check(emulator, credentials, [outcome])

    assert "it was not done" in told(update, State.APPLIED)[0]
    assert "it was not done" in told(update, State.APPLIED, settled=True)[0]
    assert "it was not done" in told(delete, State.APPLIED, settled=True)[0]
    assert "it exists" in told(delete, State.ABSENT)[0]
    never_there = DeleteDevice(device_id="nobody")
    assert "it was not done" in told(never_there, State.APPLIED)[0]
    assert told(never_there, State.APPLIED, settled=True) == told(never_there, State.ABSENT) == []
    for state in (State.FAILED, State.HELD, State.UNKNOWN):
        assert told(update, state) == []

    deliver(emulator, UpdateDevice(device_id=device.id, name="other"))
    assert "it was not done" in told(update, State.APPLIED)[0]
    deliver(emulator, update)
    assert told(update, State.APPLIED) == told(update, State.UNKNOWN) == []
    for state in (State.FAILED, State.HELD):
        assert "it was done" in told(update, state)[0]

    deliver(emulator, mint)
    assert "credentials" in told(mint, State.APPLIED)[0]
    credentials.write_text(json.dumps({"device_id": device.id, "config": {}}) + "\n")
    assert told(mint, State.APPLIED) == []
    assert "credentials" in told(mint, State.UNKNOWN)[0]
    deliver(emulator, mint)
    assert any("2 times" in lie for lie in told(mint, State.UNKNOWN))


def test_the_check_counts_outcomes(world: World, tmp_path: Path) -> None:
    credentials = tmp_path / "c.jsonl"
    credentials.write_text("")
    operation = UpdateDevice(device_id=world.devices[0].id, name="new")
    outcome = Outcome(operation=operation, state=State.HELD)
    emulator = Emulator(world=world)
    assert "no outcome" in next(lies(emulator, [operation], [], credentials))
    twice = [outcome, attrs.evolve(outcome)]
    assert "two outcomes" in next(lies(emulator, [operation], twice, credentials))
