"""Rollback: each field as it was, and irreversible operations reported first."""

from pathlib import Path
from typing import Any

import pytest

from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator.faults import Drop
from enapter_async.emulator.server import Emulator
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.apply_and_resume import apply
from enapter_async.fleet.errors import RunBusyError
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.planner import plan
from enapter_async.fleet.planning.rollback import Lasting, UndoOnly, undo
from enapter_async.fleet.run import Run
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)
from tests.fleet.fleets import device, fleet_of, running, uuid


async def ran(client: Client, folder: Path, operations: list[Operation[Any]]) -> Path:
    """Plan and apply with a journal; return its path."""
    journal = folder / "run.db"
    with await plan(client, operations) as made:
        await apply(client, made, journal=journal, credentials=folder / "credentials.jsonl")
    return journal


def shown(emulator: Emulator) -> dict[str, tuple[str, str, str]]:
    return {each.id: (each.name, each.slug, each.blueprint_id) for each in emulator.world}


async def test_a_run_and_its_undo_leave_the_fleet_as_it_was(tmp_path: Path) -> None:
    async with running(fleet_of(6)) as (emulator, client):
        before = shown(emulator)
        journal = await ran(
            client,
            tmp_path,
            [
                UpdateDevice(device_id=uuid(0), name="New", slug="new"),
                AssignBlueprint(device_id=uuid(0), blueprint_id="bp-2"),
                UpdateDevice(device_id=uuid(1), slug="device-2"),
                UpdateDevice(device_id=uuid(2), slug="device-3"),
                UpdateDevice(device_id=uuid(3), slug="free"),
                UpdateDevice(device_id=uuid(4), name="Device 4"),
            ],
        )
        assert shown(emulator) != before
        back = await undo(client, journal)
        with back.plan as way:
            assert way.counts[Verdict.CHANGE] == len(way) == 5
            assert set(back.lasting.values()) == {0}
            report = await apply(client, way)
        assert report.ok
        assert shown(emulator) == before


async def test_the_last_change_is_undone_first(tmp_path: Path) -> None:
    async with running(fleet_of(4)) as (_, client):
        order = [uuid(2), uuid(0), uuid(3)]
        changes: list[Operation[Any]] = [UpdateDevice(device_id=each, name="N") for each in order]
        journal = await ran(client, tmp_path, changes)
        back = await undo(client, journal)
        with back.plan as way:
            assert [item.device for item in way.items()] == order[::-1]


async def test_irreversible_operations_are_counted_and_named(tmp_path: Path) -> None:
    devices = [*fleet_of(3), device(3, blueprint_id="")]
    async with running(devices) as (emulator, client):
        journal = await ran(
            client,
            tmp_path,
            [
                UpdateDevice(device_id=uuid(0), name="New"),
                DeleteDevice(device_id=uuid(0)),
                GenerateConfig(device_id=uuid(1), protocol="MQTT"),
                AssignBlueprint(device_id=uuid(3), blueprint_id="bp-2"),
            ],
        )
        assert len(emulator.world) == 3
        back = await undo(client, journal)
        with back.plan as way:
            assert len(way) == 0
    assert back.lasting == {
        Lasting.DELETION: 1,
        Lasting.CONFIGURATION: 1,
        Lasting.EMPTY: 1,
        Lasting.NO_BEFORE: 0,
        Lasting.CREATED: 0,
        Lasting.OPERATION: 0,
    }
    assert back.examples[Lasting.EMPTY] == (f"blueprint_id of {uuid(3)}",)
    assert back.examples[Lasting.DELETION] == (uuid(0),)


async def test_a_run_without_a_plan_has_no_old_values(tmp_path: Path) -> None:
    async with running(fleet_of(1)) as (_, client):
        operations = [UpdateDevice(device_id=uuid(0), name="New")]
        await apply(client, operations, journal=tmp_path / "run.db")
        back = await undo(client, tmp_path / "run.db")
        with back.plan as way:
            assert len(way) == 0
        assert back.lasting[Lasting.NO_BEFORE] == 1


async def test_devices_changed_since_are_left_alone(tmp_path: Path) -> None:
    async with running(fleet_of(2)) as (emulator, client):
        operations: list[Operation[Any]] = [
            UpdateDevice(device_id=uuid(each), name=f"New {each}") for each in range(2)
        ]
        journal = await ran(client, tmp_path, operations)
        emulator.world.change(uuid(0), name="By hand")
        back = await undo(client, journal)
        with back.plan as way:
            refused = [item for item in way.items() if item.verdict is Verdict.REFUSED]
            assert [item.device for item in refused] == [uuid(0)]
            assert refused[0].why == "its name is 'By hand', no longer 'New 0'"
            await apply(client, way)
        assert [each.name for each in emulator.world] == ["By hand", "Device 1"]


@pytest.mark.parametrize("applied", [True, False])
async def test_unknown_changes_are_undone_if_they_are_visible(
    tmp_path: Path, applied: bool
) -> None:
    async with running(fleet_of(2)) as (emulator, client):
        operation = UpdateDevice(device_id=uuid(0), name="New")
        journal = tmp_path / "run.db"
        once = client.with_options(retry=RetryPolicy(attempts=1, deadline=2.0))
        with await plan(client, [operation]) as made:
            emulator.faults.add(Drop(after_effect=applied), times=None, method="PATCH")
            emulator.faults.add(Drop(), times=None, method="GET", device=uuid(0))
            report = await apply(once, made, journal=journal)
        assert report.counts[State.UNKNOWN] == 1
        emulator.faults.clear()
        back = await undo(client, journal)
        with back.plan as way:
            assert way.counts[Verdict.CHANGE if applied else Verdict.REFUSED] == 1


async def test_another_server_and_no_journal_are_refused(tmp_path: Path) -> None:
    async with running(fleet_of(1)) as (_, client):
        journal = await ran(client, tmp_path, [UpdateDevice(device_id=uuid(0), name="New")])
        with pytest.raises(ConfigurationError, match="no journal"):
            await undo(client, tmp_path / "nothing.db")
    async with Client("token", base_url="http://127.0.0.1:9") as other:
        with pytest.raises(ConfigurationError, match="that run used"):
            await undo(other, journal)


async def test_only_a_run_that_has_stopped_and_items_that_exist_are_undone(tmp_path: Path) -> None:
    async with running(fleet_of(3)) as (_, client):
        renames: list[Operation[Any]] = [
            UpdateDevice(device_id=uuid(each), name="New") for each in range(3)
        ]
        with await plan(client, renames) as made:
            async with Run(client, made, journal=tmp_path / "run.db") as run:
                async for _ in run:
                    with pytest.raises(RunBusyError, match=r"run\.db: wait until .*fleet stop"):
                        await undo(client, tmp_path / "run.db")
        for only, missing in (
            (UndoOnly(items=frozenset({1, 3})), "no item 3: .* from 0 to 2"),
            (UndoOnly(sites=frozenset({"nowhere"})), "on a device of the site 'nowhere'"),
        ):
            with pytest.raises(ConfigurationError, match=missing):
                await undo(client, tmp_path / "run.db", only=only)
        back = await undo(client, tmp_path / "run.db", only=UndoOnly(items=frozenset({0, 2})))
        with back.plan as way:
            assert len(way) == 2
