"""Configurations in plans and jobs: checked before any change, guarded, undone, and kept secret."""

from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.configuration import Configuration
from enapter_async.fleet import Change, Selection, State, Verdict
from enapter_async.operation import Operation
from enapter_async.operations.configuration import ResetConfiguration, UpdateConfiguration
from enapter_async.operations.devices import UpdateDevice


@pytest.fixture
def world() -> World:
    return World.seeded(12, 1, role="OWNER")


def update(device_id: str, **fields: Any) -> UpdateConfiguration:
    return UpdateConfiguration(device_id=device_id, group="network", **fields)


def values(emulator: Emulator, address: str) -> dict[str, Any]:
    world = emulator.world
    return emulator.noun(Configuration).values(world.device(address), "network")


def all_of(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir())


async def test_a_plan_checks_values_and_shows_what_changes(
    emulator: Emulator, client: Client
) -> None:
    first, second, third, *_ = emulator.world.devices
    emulator.world.change(third.id, authorized_role="USER")
    emulator.world.change(first.id, slug="Pump: #1")
    asked: list[Operation[Any]] = [
        update("Pump: #1", set={"port": 8502}),
        update(first.id, set={"port": 8502}),
        update(second.id, set={"port": 502}),
        update(second.id, set={"host": 5}),
        update(third.id, set={"port": 8502}),
        update("nobody", set={"port": 8502}),
        UpdateConfiguration(device_id=second.id, group="radio", set={"a": 1}),
        ResetConfiguration(device_id=second.id, group="network"),
        UpdateDevice(device_id=first.id, name="New"),
    ]
    with await fleet.plan(client, asked) as plan:
        told = {item.line: (item.verdict, item.device, item.why) for item in plan.items()}
        changed = next(item for item in plan.items() if item.line == 1)
        lines = b"".join(plan.lines())
    refused = Verdict.REFUSED
    role = "it needs the role OWNER, but this token's role there is USER"
    assert told == {
        1: (Verdict.CHANGE, first.id, ""),
        2: (Verdict.MERGED, first.id, "the same as operation 1"),
        3: (Verdict.UNCHANGED, second.id, "it already has this state"),
        4: (refused, second.id, "host must be of type string, not integer"),
        5: (refused, third.id, role),
        6: (refused, "nobody", "there is no such device, or this token may not see it"),
        7: (refused, second.id, "the device has no configuration group 'radio'; it has network"),
        8: (refused, second.id, "the earlier operation 4 on the same device is refused"),
        9: (Verdict.CHANGE, first.id, ""),
    }
    assert (changed.before, changed.name) == ({"port": 502}, first.name)
    assert b'"port":8502' in lines
    assert emulator.world.log.effects() == ()


async def test_a_rollout_on_a_selection_is_undone_exactly(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    meters = [each for each in emulator.world if each.type == "LUA"]
    change = Change(
        selection=Selection(types="LUA"),
        settings={"network.port": "8502", "network.host": "{slug}.local"},
    )
    with await fleet.plan(client, change) as plan:
        report = await fleet.apply(client, plan, journal=tmp_path / "run.db")
    assert report.counts[State.APPLIED] == report.total == len(meters)
    assert [values(emulator, each.id) for each in meters] == [
        {"port": 8502, "host": f"{each.slug}.local"} for each in meters
    ]
    with await fleet.plan(client, change) as plan:
        assert plan.counts[Verdict.UNCHANGED] == len(meters)
    taken = await fleet.undo(client, tmp_path / "run.db")
    with taken.plan as plan:
        assert sum(taken.lasting.values()) == 0
        await fleet.apply(client, plan)
    assert [values(emulator, each.id) for each in meters] == [{"port": 502}] * len(meters)


async def test_a_value_that_changed_since_the_plan_is_held(
    emulator: Emulator, client: Client
) -> None:
    first, second, *_ = emulator.world.devices
    with await fleet.plan(
        client, [update(first.id, set={"port": 1}), update(second.id, set={"port": 1})]
    ) as plan:
        await client.configuration.update(second.id, "network", set={"port": 7})
        report = await fleet.apply(client, plan)
    assert (report.counts[State.APPLIED], report.counts[State.HELD]) == (1, 1)
    assert (values(emulator, first.id), values(emulator, second.id)) == ({"port": 1}, {"port": 7})


async def test_no_file_of_a_job_holds_a_sensitive_value(
    emulator: Emulator, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUMP_TOKEN", "S3CRET-NEW")
    first, second, *_ = emulator.world.devices
    await client.configuration.update(first.id, "network", secrets={"token": "S3CRET-OLD"})
    asked = [
        update(first.id, set={"port": 8502}, secrets={"token": "env:PUMP_TOKEN"}),
        update(second.id, set={"token": "S3CRET-OPEN"}),
    ]
    with await fleet.plan(client, asked) as plan:
        plan.write(tmp_path / "plan.jsonl")
        refused = next(item for item in plan.items() if item.verdict is Verdict.REFUSED)
        assert refused.operation is None
        assert refused.why.startswith("token is sensitive: put the location")
    with await fleet.plan(client, asked[:1]) as plan:
        plan.write(tmp_path / "good.jsonl")
        report = await fleet.apply(client, plan, journal=tmp_path / "run.db")
    assert report.counts[State.APPLIED] == report.total == 1
    assert values(emulator, first.id) == {"port": 8502, "token": "S3CRET-NEW"}
    taken = await fleet.undo(client, tmp_path / "run.db")
    with taken.plan as plan:
        plan.write(tmp_path / "undo.jsonl")
    written = all_of(tmp_path)
    assert b"PUMP_TOKEN" in written
    assert b"S3CRET" not in written


async def test_a_device_that_cannot_be_read_refuses_only_itself(
    emulator: Emulator, client: Client
) -> None:
    first, second, *_ = emulator.world.devices
    emulator.world.change(first.id, connectivity="OFFLINE")
    emulator.world.change(second.id, connectivity="ONLINE")
    emulator.noun(Configuration).refuse_offline = True
    asked = [update(each.id, set={"port": 1}) for each in (first, second)]
    with await fleet.plan(client, asked) as plan:
        verdicts = {item.device: item.verdict for item in plan.items()}
        assert verdicts == {first.id: Verdict.REFUSED, second.id: Verdict.CHANGE}


async def test_a_slug_of_one_site_is_not_that_of_another() -> None:
    devices = [
        {"id": f"dev-{number}", "slug": "pump", "site_id": f"site-{number}", "name": "Pump"}
        for number in (1, 2)
    ]
    world = World.from_json(devices, unique_slugs="site")
    async with (
        Emulator(world=world) as twins,
        Client(twins.token, base_url=twins.base_url) as other,
    ):
        asked = [
            UpdateDevice(device_id="pump", site_id=f"site-{number}", name=f"Pump {number}")
            for number in (1, 2)
        ]
        with await fleet.plan(other, asked) as plan:
            assert [item.device for item in plan.items()] == ["dev-1", "dev-2"]
            report = await fleet.apply(other, plan)
        assert report.counts[State.APPLIED] == 2
        assert [each.name for each in world] == ["Pump 1", "Pump 2"]
