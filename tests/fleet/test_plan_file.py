"""Plans as files: stable, reviewable, and applied exactly or not at all."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.client import Client
from enapter_async.clock import Clock
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import PlanFileError
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.plan import read_plan
from enapter_async.fleet.planning.plan_file import (
    PlanHeader,
    PlanItem,
    is_plan,
    plan_lines,
    read_items,
)
from enapter_async.fleet.planning.planner import plan
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, UpdateDevice
from tests.fleet.fleets import fleet_of, running, uuid

HEADER = PlanHeader(base_url="https://api.enapter.com", created_at="2025-01-01T00:00:00Z")
OPERATIONS: list[Operation[Any]] = [
    UpdateDevice(device_id=uuid(0), name="Новый \N{GREEK CAPITAL LETTER OMEGA}"),
    UpdateDevice(device_id=uuid(1), name="Device 1"),
    UpdateDevice(device_id=uuid(7), name="x"),
    DeleteDevice(device_id=uuid(2)),
    GenerateConfig(device_id=uuid(3), protocol="MQTTS"),
]


async def written(folder: Path) -> Path:
    path = folder / "plan.jsonl"
    async with running(fleet_of(5)) as (_, client):
        with await plan(client, OPERATIONS) as made:
            made.write(path)
    return path


async def test_a_plan_that_is_read_back_is_the_plan_that_was_made(tmp_path: Path) -> None:
    async with running(fleet_of(5)) as (_, client):
        with await plan(client, OPERATIONS) as made:
            made.write(tmp_path / "plan.jsonl")
            with read_plan(tmp_path / "plan.jsonl") as read:
                assert list(read.items()) == list(made.items())
                assert list(read) == list(made)
                assert read.header == made.header
                assert read.counts == made.counts
                assert (read.deletions, read.configurations) == (1, 1)
                assert (made.deletions, made.configurations) == (1, 1)
                assert len(read) == len(made) == 4


async def test_the_file_has_one_json_object_per_line_in_order_of_execution(tmp_path: Path) -> None:
    path = await written(tmp_path)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert lines[0]["format"] == "enapter-async plan"
    assert lines[0]["version"] == 1
    assert [line.get("seq") for line in lines[1:-1]] == [0, 1, 2, 3, None]
    assert lines[1] == {
        "seq": 0,
        "line": 1,
        "verdict": "change",
        "device": uuid(0),
        "name": "Device 0",
        "type": "STANDALONE",
        "site": "site-0",
        "operation": {"operation": "device.update", "device_id": uuid(0), "name": "Новый Ω"},
        "before": {"name": "Device 0"},
    }
    assert lines[-1].keys() == {"items", "sha256"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_same_fleet_and_input_give_the_same_file(tmp_path: Path) -> None:
    clock = Clock(wall=lambda: 1735689600.0)
    files = []
    async with running(fleet_of(5)) as (emulator, _):
        for number in range(2):
            client = Client(emulator.token, base_url=emulator.base_url, clock=clock)
            async with client:
                with await plan(client, OPERATIONS) as made:
                    made.write(tmp_path / f"plan-{number}")
            files.append((tmp_path / f"plan-{number}").read_bytes())
    assert files[0] == files[1]


async def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = await written(tmp_path)
    with pytest.raises(ConfigurationError, match="already exists"):
        read_plan(path).write(path)


async def test_any_change_of_the_file_is_found(tmp_path: Path) -> None:
    path = await written(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "cut": lines[:-1],
        "cut in the middle": [*lines[:-1], lines[-1][:-20]],
        "a line less": [lines[0], *lines[2:]],
        "a line twice": [*lines[:-1], lines[-2], lines[-1]],
        "a line more": [*lines, lines[1]],
        "edited": [line.replace(b"bp-1", b"bp-2") for line in lines],
        "another server": [line.replace(b"127.0.0.1", b"127.0.0.2") for line in lines],
        "nothing but the header": lines[:1],
        "no item is one": [lines[0], b"[]\n", lines[-1]],
    }
    for name, content in changed.items():
        path.write_bytes(b"".join(content))
        with pytest.raises(PlanFileError):
            read_plan(path)
        assert is_plan(path), name


async def test_a_change_between_reading_and_applying_is_found(tmp_path: Path) -> None:
    path = await written(tmp_path)
    with read_plan(path) as read:
        path.write_bytes(path.read_bytes().replace(b"bp-1", b"bp-2"))
        with pytest.raises(PlanFileError, match="changed after it was planned"):
            list(read)


def test_a_non_plan_or_another_version_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_plan(path)
    for content in (b"", b"operation,device_id\n", b"[]\n", b"{}\n", b"\xff\xfe\n"):
        path.write_bytes(content)
        assert not is_plan(path)
        with pytest.raises(PlanFileError, match="is not a plan"):
            read_plan(path)
    path.write_bytes(b'{"format": "enapter-async plan", "version": 2}\n')
    with pytest.raises(PlanFileError, match=r"version 2.*reads version 1"):
        read_plan(path)


async def test_a_plan_is_for_one_server(tmp_path: Path) -> None:
    path = await written(tmp_path)
    async with Client("token", base_url="http://127.0.0.1:9") as client:
        with read_plan(path) as read, pytest.raises(ConfigurationError, match=re.escape(":9")):
            read.check_server(client)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
names = texts.filter(bool)


@given(st.lists(st.tuples(names, st.one_of(st.none(), texts), texts)))
def test_any_name_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | None, str]]
) -> None:
    items = [
        PlanItem(
            line=number + 1,
            seq=number,
            verdict=Verdict.CHANGE,
            device="dev",
            name=why,
            operation=UpdateDevice(device_id="dev", name=name),
            before={"name": before},
            why=why,
        )
        for number, (name, before, why) in enumerate(rows)
    ]
    path = tmp_path_factory.mktemp("plans") / "plan"
    path.write_bytes(b"".join(plan_lines(HEADER, items)))
    assert list(read_items(path)) == items
