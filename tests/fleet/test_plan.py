"""Plans: the verdict on each operation and its reason, checked against the emulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from enapter_async.client import Client
from enapter_async.emulator.faults import Reply
from enapter_async.emulator.state import Device
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.planning.decisions import Verdict, told
from enapter_async.fleet.planning.plan_file import PlanItem
from enapter_async.fleet.planning.planner import plan
from enapter_async.operation import Operation
from enapter_async.operations.device_plans import Change
from enapter_async.operations.device_selection import Selection
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    UpdateDevice,
)
from tests.fleet.fleets import device, fleet_of, running, uuid


async def planned(
    devices: list[Device], operations: list[Operation[Any]] | Change
) -> list[PlanItem]:
    """Plan, and return the items in the order of the input."""
    async with running(devices) as (emulator, client):
        with await plan(client, operations) as made:
            items = sorted(made.items(), key=lambda item: item.line)
        assert emulator.world.count() == 0, "planning changes nothing"
        return items


def rename(number: int, name: str = "New") -> UpdateDevice:
    return UpdateDevice(device_id=uuid(number), name=name)


def reslug(number: int, slug: str) -> UpdateDevice:
    return UpdateDevice(device_id=uuid(number), slug=slug)


def delete(number: int) -> DeleteDevice:
    return DeleteDevice(device_id=uuid(number))


def verdicts(items: list[PlanItem]) -> list[str]:
    return [str(item.verdict) for item in items]


async def test_a_change_is_shown_with_its_old_value() -> None:
    items = await planned(
        fleet_of(3),
        [
            UpdateDevice(device_id=uuid(0), name="Pump", slug="pump"),
            AssignBlueprint(device_id=uuid(1), blueprint_id="bp-2"),
            GenerateConfig(device_id=uuid(1), protocol="MQTTS"),
            delete(2),
        ],
    )
    identity = {"site_id": "site-0", "name": "Device 1", "slug": "device-1"}
    assert verdicts(items) == ["change"] * 4
    assert [item.before for item in items] == [
        {"name": "Device 0", "slug": "device-0"},
        {"blueprint_id": "bp-1"},
        {**identity, "blueprint_id": "bp-2"},  # as the previous item leaves the device
        {"site_id": "site-0", "name": "Device 2", "slug": "device-2", "blueprint_id": "bp-1"},
    ]
    assert [item.seq for item in items] == [0, 1, 2, 3]
    assert [item.name for item in items] == ["Device 0", "Device 1", "Device 1", "Device 2"]
    assert {item.site for item in items} == {"site-0"}


async def test_a_value_already_set_is_unchanged_and_part_of_the_run() -> None:
    async with running(fleet_of(2)) as (_, client):
        operations: list[Operation[Any]] = [rename(0, "Device 0"), delete(9), rename(1)]
        with await plan(client, operations) as made:
            assert made.counts[Verdict.UNCHANGED] == made.counts[Verdict.ABSENT] == 1
            assert len(made) == 3
            known: Any = {"group": "site-0", "type": "STANDALONE"}
            unchanged, gone, changed = operations
            assert list(made) == [
                WorkItem(seq=0, operation=unchanged, unchanged=True, name="Device 0", **known),
                WorkItem(seq=1, operation=gone, unchanged=True),
                WorkItem(
                    seq=2, operation=changed, before={"name": "Device 1"}, name="Device 1", **known
                ),
            ]


async def test_operations_after_a_refused_one_on_the_device_are_refused_too() -> None:
    devices = [device(0, authorized_role="USER"), device(1)]
    assign = AssignBlueprint(device_id=uuid(0), blueprint_id="bp-2")
    items = await planned(devices, [rename(0), assign, rename(1)])
    assert verdicts(items) == ["refused", "refused", "change"]
    assert items[1].why == "the earlier operation 1 on the same device is refused"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "empty"), ("", "empty"), ("a b", "'a b'"), (0, "0")]
)
def test_how_a_value_is_shown(value: Any, text: str) -> None:
    assert told(value) == text


async def test_a_value_already_set_needs_no_role() -> None:
    devices = [device(0, authorized_role="USER")]
    unedited = UpdateDevice(device_id=uuid(0), name="Device 0", slug="device-0")
    items = await planned(
        devices, [unedited, AssignBlueprint(device_id=uuid(0), blueprint_id="bp-1")]
    )
    assert verdicts(items) == ["unchanged", "unchanged"]


async def test_slugs_become_ids() -> None:
    items = await planned(fleet_of(3), [UpdateDevice(device_id="device-2", name="New")])
    assert items[0].operation == rename(2)
    assert items[0].device == uuid(2)


async def test_two_spellings_of_one_device_are_one_device() -> None:
    items = await planned(
        fleet_of(2), [rename(1, "A"), UpdateDevice(device_id="device-1", name="B")]
    )
    assert verdicts(items) == ["refused", "refused"]
    assert "different values for its name" in items[0].why
    items = await planned(
        fleet_of(2), [rename(1, "A"), UpdateDevice(device_id="device-1", name="A")]
    )
    assert verdicts(items) == ["change", "merged"]
    assert items[1].why == "the same as operation 1"
    assert items[1].seq is None


async def test_an_absent_device_can_only_be_deleted() -> None:
    items = await planned(fleet_of(1), [rename(7), UpdateDevice(device_id="nobody", name="x")])
    assert verdicts(items) == ["refused", "refused"]
    assert "no such device" in items[0].why
    assert items[1].device == "nobody"


async def test_anything_after_a_deletion_is_refused_with_the_deletion() -> None:
    items = await planned(fleet_of(3), [delete(1), rename(1), delete(2), delete(2)])
    assert verdicts(items) == ["refused", "refused", "change", "merged"]
    assert items[1].why == "operation 2 comes after operation 1, which deletes the device"


async def test_a_deletion_expects_the_changes_before_it() -> None:
    items = await planned(fleet_of(1), [rename(0), delete(0)])
    assert verdicts(items) == ["change", "change"]
    assert items[1].before is not None
    assert items[1].before["name"] == "New"


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (rename(1), "needs the role OWNER"),
        (delete(1), "needs the role OWNER"),
        (GenerateConfig(device_id=uuid(2), protocol="MQTT"), "communicates via UCM_LUA"),
        (UpdateDevice(device_id=uuid(0), name=""), "an empty name changes nothing"),
        (UpdateDevice(device_id=uuid(0), slug=None), "an empty slug changes nothing"),
        (reslug(0, "device-1"), "already used by"),
        (reslug(0, "no path: ü"), "already used by"),
        (delete(3), "2 devices depend on it and stay"),
    ],
)
async def test_reasons_for_a_refusal(operation: Operation[Any], why: str) -> None:
    devices = [
        device(0),
        device(1, authorized_role="USER"),
        device(2, communication_type="UCM_LUA", upstream_id=uuid(3)),
        device(3, type="HARDWARE_UCM"),
        device(4, communication_type="UCM_LUA", upstream_id=uuid(3)),
        device(5, slug="no path: ü"),
    ]
    items = await planned(devices, [operation])
    assert verdicts(items) == ["refused"]
    assert why in items[0].why
    assert items[0].seq is None


async def test_a_slug_requested_twice_is_given_to_neither() -> None:
    items = await planned(fleet_of(3), [reslug(0, "new"), reslug(1, "new"), reslug(2, "other")])
    assert verdicts(items) == ["refused", "refused", "change"]


async def test_a_slug_is_taken_after_it_was_freed() -> None:
    async with running(fleet_of(4)) as (_, client):
        operations = [reslug(0, "device-1"), reslug(1, "device-2"), reslug(2, "new"), delete(3)]
        operations.append(UpdateDevice(device_id=uuid(2), name="x"))
        with await plan(client, operations) as made:
            works = list(made)
    order = [work.operation for work in works]
    # Level by level, in input order: items without a predecessor, then those that wait.
    assert order == [operations[index] for index in (2, 3, 4, 1, 0)]
    assert [work.after for work in works] == [None, None, None, 0, 3]


async def test_a_slug_is_freed_by_a_deletion_too() -> None:
    items = await planned(fleet_of(2), [reslug(0, "device-1"), delete(1)])
    assert verdicts(items) == ["change", "change"]
    assert [item.seq for item in items] == [1, 0]
    assert items[0].after == 0


async def test_a_refused_change_keeps_its_slug() -> None:
    devices = [device(0), device(1, authorized_role="USER"), device(2)]
    items = await planned(devices, [reslug(0, "device-1"), reslug(1, "x"), reslug(2, "device-0")])
    assert verdicts(items) == ["refused"] * 3
    assert "already used by" in items[0].why
    assert items[2].why == "it depends on operation 1, which is refused"


async def test_children_are_deleted_before_their_parents() -> None:
    def below(number: int, upstream: int) -> Device:
        return device(number, upstream_id=uuid(upstream))

    devices = [device(0), below(1, 0), below(2, 1), below(3, 0), device(4)]
    async with running(devices) as (emulator, client):
        with await plan(client, [delete(each) for each in range(5)]) as made:
            works = list(made)
        order = [work.operation.subject() for work in works]
        assert order == [uuid(each) for each in (2, 3, 4, 1, 0)]
        # One tree is one chain; a device outside it waits for nothing.
        assert [work.after for work in works] == [None, 0, None, 1, 3]
        for work in works:
            await client.execute(work.operation)
        assert len(emulator.world) == 0


async def test_a_deletion_waits_for_nothing_if_a_child_is_refused() -> None:
    devices = [
        device(0),
        device(1, upstream_id=uuid(0)),
        device(2, upstream_id=uuid(1), authorized_role="USER"),
    ]
    items = await planned(devices, [delete(0), delete(1), delete(2)])
    assert verdicts(items) == ["refused"] * 3
    assert "depends on it" in items[1].why
    assert items[0].why == "it depends on operation 2, which is refused"


async def test_children_are_found_beyond_the_pages_that_were_read() -> None:
    devices = [device(0, site_id="site-1"), *(device(each) for each in range(1, 300))]
    devices.append(device(300, site_id="site-1", upstream_id=uuid(0)))
    items = await planned(devices, [delete(0)])
    assert items[0].why == f"a device depends on it and stays, such as {uuid(300)}"


async def test_the_holder_of_a_slug_is_found_beyond_the_pages_that_were_read() -> None:
    items = await planned(fleet_of(300), [reslug(0, "device-299")])
    assert "already used by" in items[0].why


async def test_a_few_devices_of_a_large_fleet_cost_few_requests() -> None:
    async with running(fleet_of(1000)) as (emulator, client):
        with await plan(client, [rename(998), rename(999)]) as made:
            assert made.counts[Verdict.CHANGE] == 2
        assert emulator.world.log.count_arrivals() == 4  # two pages, then one at a time


async def test_most_of_a_fleet_is_read_by_pages() -> None:
    async with running(fleet_of(500)) as (emulator, client):
        with await plan(client, [rename(each) for each in range(500)]) as made:
            assert made.counts[Verdict.CHANGE] == 500
        assert emulator.world.log.count_arrivals() <= 12  # 500 in steps of 49, and the end


async def test_an_unreadable_device_is_reported_and_stops_nothing() -> None:
    refusal = Reply(
        status=403,
        body=b'{"errors": [{"code": "permission_denied", "message": "Not yours."}]}',
        content_type="application/json",
    )
    async with running(fleet_of(300)) as (emulator, client):
        emulator.faults.add(refusal, device=uuid(298))
        with await plan(client, [rename(298), rename(299)]) as made:
            items = list(made.items())
    assert verdicts(items) == ["change", "refused"]
    assert "Not yours" in items[1].why


async def test_operations_may_arrive_one_at_a_time() -> None:
    async def stream() -> AsyncIterator[Operation[Any]]:
        for each in range(3):
            yield rename(each)

    async with running(fleet_of(3)) as (_, client):
        with await plan(client, stream()) as made:
            assert len(made) == 3


@pytest.mark.parametrize("wrong", [GetDevice(device_id="x"), "update", None])
async def test_reads_cannot_be_planned(wrong: Any) -> None:
    async with Client("token", base_url="http://127.0.0.1:9") as client:
        with pytest.raises(ConfigurationError, match=r"operation 2|operations\[1\]"):
            await plan(client, iter([rename(1), wrong]))


async def test_a_selection_becomes_a_plan() -> None:
    devices = [
        device(0, name="Pump 01 Riga", type="LUA"),
        device(1, name="Pump 02 Riga", type="GATEWAY"),
        device(2, name="Fan 03 Riga", type="LUA"),
        device(3, name="Pump 04", type="LUA"),
    ]
    selection = Selection(types="LUA", name_matches=r"Pump (\d+)( \w+)?$")
    items = await planned(devices, Change(selection=selection, name="P{1}{2}", slug="{slug}-p"))
    assert verdicts(items) == ["change", "refused"]
    assert items[0].operation == UpdateDevice(device_id=uuid(0), name="P01 Riga", slug="device-0-p")
    assert items[1].device == uuid(3)
    assert items[1].operation is None
    assert "no 2" in items[1].why


async def test_a_selection_of_sites_reads_only_those_sites() -> None:
    devices = [device(each, site_id=f"site-{each % 10}") for each in range(400)]
    change = Change(selection=Selection(site_ids=["site-1", "site-3"]), blueprint_id="bp-9")
    async with running(devices) as (emulator, client):
        with await plan(client, change) as made:
            assert made.counts[Verdict.CHANGE] == 80
        assert {each.path for each in emulator.world.log.arrivals()} == {
            "/v3/sites/site-1/devices",
            "/v3/sites/site-3/devices",
            "/v3/blueprints/bp-9",
        }
