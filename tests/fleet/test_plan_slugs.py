"""Plans for slugs of several devices: refused within a site, a warning across sites."""

from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.emulator.state import Device
from enapter_async.fleet.planning.plan_file import PlanItem
from enapter_async.fleet.planning.planner import plan
from enapter_async.operation import Operation
from enapter_async.operations.devices import UpdateDevice
from tests.fleet.fleets import device, running, uuid


def reslug(number: int, slug: str) -> UpdateDevice:
    return UpdateDevice(device_id=uuid(number), slug=slug)


async def carried_out(
    devices: list[Device], operations: list[Operation[Any]]
) -> tuple[list[PlanItem], dict[str, int]]:
    """Plan and apply with slugs unique within a site; return the items and the outcomes."""
    async with running(devices, unique_slugs="site") as (_, client):
        with await plan(client, operations) as made:
            items = sorted(made.items(), key=lambda item: item.line)
            report = await fleet.apply(client, made)
    return items, {str(state): number for state, number in report.counts.items() if number}


@pytest.mark.parametrize("sites", [("a", "a"), ("a", None), (None, None)])
async def test_two_devices_of_one_or_of_an_unknown_site_get_no_common_slug(sites: Any) -> None:
    devices = [device(number, site_id=site) for number, site in enumerate(sites)]
    items, ended = await carried_out(devices, [reslug(0, "new"), reslug(1, "new")])
    assert [str(item.verdict) for item in items] == ["refused", "refused"]
    assert ended == {}


async def test_one_slug_on_two_sites_is_warned_about_and_done() -> None:
    devices = [device(0, site_id="a"), device(1, site_id="b"), device(2, site_id="b")]
    items, ended = await carried_out(devices, [reslug(0, "new"), reslug(1, "new")])
    assert [item.why for item in items] == [
        f"slug 'new' is also used by {uuid(other)} ('Device {other}') on another site, "
        "which the API may refuse"
        for other in (1, 0)
    ]
    assert ended == {"applied": 2}


@pytest.mark.parametrize("holding", ["b", "a", None])
async def test_a_slug_that_stays_is_refused_except_on_another_site(holding: str | None) -> None:
    devices = [device(0, site_id="a"), device(1, site_id=holding)]
    items, ended = await carried_out(devices, [reslug(0, "device-1")])
    if holding == "b":
        assert (str(items[0].verdict), ended) == ("change", {"applied": 1})
        assert f"'device-1' is also used by {uuid(1)}" in items[0].why
    else:
        assert (str(items[0].verdict), ended) == ("refused", {})
        assert "already used" in items[0].why


async def test_a_slug_freed_on_another_site_is_awaited_without_a_warning() -> None:
    devices = [device(0, site_id="a"), device(1, site_id="b")]
    items, ended = await carried_out(devices, [reslug(0, "device-1"), reslug(1, "free")])
    assert [(item.seq, item.after, item.why) for item in items] == [(1, 0, ""), (0, None, "")]
    assert ended == {"applied": 2}


async def test_a_refused_change_on_another_site_blocks_no_slug() -> None:
    devices = [
        device(0, site_id="a"),
        device(1, site_id="b", authorized_role="USER"),
    ]
    items, ended = await carried_out(devices, [reslug(0, "device-1"), reslug(1, "free")])
    assert [str(item.verdict) for item in items] == ["change", "refused"]
    assert "on another site" in items[0].why
    assert ended == {"applied": 1}


async def test_a_rename_frees_no_slug() -> None:
    devices = [device(0), device(1)]
    rename = UpdateDevice(device_id=uuid(0), name="New")
    items, ended = await carried_out(devices, [rename, reslug(1, "device-0")])
    assert [str(item.verdict) for item in items] == ["change", "refused"]
    assert "already used" in items[1].why
    assert ended == {"applied": 1}


async def test_a_circle_needs_a_temporary_slug_only_within_a_site() -> None:
    devices = [device(number, site_id="ab"[number % 2]) for number in range(4)]
    across = [reslug(0, "device-1"), reslug(1, "device-0")]
    within = [reslug(0, "device-2"), reslug(2, "device-0")]
    items, ended = await carried_out(devices, [*across])
    assert [str(item.verdict) for item in items] == ["change", "change"]
    assert all("on another site" in item.why for item in items)
    assert ended == {"applied": 2}
    items, ended = await carried_out(devices, [*within])
    assert [str(item.verdict) for item in items] == ["change"] * 3
    assert items[2].why == "a temporary slug, until operation 1 can be carried out"
    assert ended == {"applied": 3}
