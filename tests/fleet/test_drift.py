"""The guard holds operations whose device is no longer as planned, and nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest

from enapter_async.client import Client
from enapter_async.emulator.faults import ServerFailure
from enapter_async.emulator.server import Emulator
from enapter_async.errors import ServerError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.planning.drift import GuardMode, StateGuard, staleness
from enapter_async.fleet.planning.planner import plan
from enapter_async.models.devices import Device
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)
from tests.fleet.fleets import fleet_of, running, uuid

NAMED = Device(id="dev-1", name="Old", slug="old", site_id="site-1", blueprint_id="bp-1")
IDENTITY = {"name": "Old", "slug": "old", "site_id": "site-1", "blueprint_id": "bp-1"}


@pytest.mark.parametrize(
    ("operation", "before", "state", "reason"),
    [
        (UpdateDevice(device_id="dev-1", name="New"), {"name": "Old"}, NAMED, None),
        (UpdateDevice(device_id="dev-1", name="New"), None, None, None),
        (
            UpdateDevice(device_id="dev-1", name="New"),
            {"name": "Other"},
            NAMED,
            "the name is no longer",
        ),
        (UpdateDevice(device_id="dev-1", name="New"), {"name": None}, NAMED, "it was empty"),
        (UpdateDevice(device_id="dev-1", slug="x"), {"slug": "old"}, NAMED, None),
        # As requested already, so sending it again does no harm.
        (UpdateDevice(device_id="dev-1", name="Old"), {"name": "Other"}, NAMED, None),
        (UpdateDevice(device_id="dev-1", name="New"), {"name": "Old"}, None, "was deleted"),
        (DeleteDevice(device_id="dev-1"), IDENTITY, NAMED, None),
        (DeleteDevice(device_id="dev-1"), IDENTITY, None, None),
        (DeleteDevice(device_id="dev-1"), {**IDENTITY, "site_id": "x"}, NAMED, "the site_id"),
        (GenerateConfig(device_id="dev-1", protocol="MQTT"), IDENTITY, NAMED, None),
        (GenerateConfig(device_id="dev-1", protocol="MQTT"), IDENTITY, None, "was deleted"),
    ],
)
def test_only_the_guarded_fields_count(
    operation: Operation[Any],
    before: dict[str, str | None] | None,
    state: Device | None,
    reason: str | None,
) -> None:
    told = staleness(WorkItem(seq=0, operation=operation, before=before), state)
    assert told is None if reason is None else reason in (told or "")


async def items_of(client: Client, operations: list[Operation[Any]]) -> list[WorkItem]:
    with await plan(client, operations) as made:
        return list(made)


def renames(number: int) -> list[Operation[Any]]:
    return [UpdateDevice(device_id=uuid(each), name=f"New {each}") for each in range(number)]


async def reasons(guard: StateGuard, works: list[WorkItem]) -> list[str | None]:
    return [await guard.check(work) for work in works]


async def before(guard: StateGuard, number: int, works: list[WorkItem]) -> None:
    def source() -> Iterator[WorkItem]:
        return iter(works)

    await guard.before_wave(number, source)


def reads(emulator: Emulator) -> int:
    return emulator.world.log.count_arrivals("GET")


async def test_each_reads_the_device_directly_before_the_change() -> None:
    async with running(fleet_of(3)) as (emulator, client):
        works = await items_of(client, renames(3))
        async with StateGuard(client, GuardMode.EACH) as guard:
            await before(guard, 5, works)
            asked = reads(emulator)
            emulator.world.change(uuid(1), name="By hand")
            told = await reasons(guard, works)
        assert told[0] is told[2] is None
        assert told[1] == "the name is no longer as planned: it was 'Device 1', now it is 'By hand'"
        assert reads(emulator) == asked + 3


async def test_a_wave_is_read_by_pages_and_only_once() -> None:
    async with running(fleet_of(100)) as (emulator, client):
        works = await items_of(client, renames(100))
        emulator.world.change(uuid(7), name="By hand")
        emulator.world.remove(uuid(8))
        asked = reads(emulator)
        async with StateGuard(client, GuardMode.WAVE) as guard:
            await before(guard, 0, works)
            emulator.world.change(uuid(9), name="Too late to be seen")
            told = await reasons(guard, works)
        assert [seq for seq, reason in enumerate(told) if reason] == [7, 8]
        assert "was deleted" in str(told[8])
        assert reads(emulator) - asked <= 4  # three pages, and device 8 by itself


async def test_an_item_relies_on_earlier_changes_of_its_wave() -> None:
    operations: list[Operation[Any]] = [
        UpdateDevice(device_id=uuid(0), name="New"),
        AssignBlueprint(device_id=uuid(0), blueprint_id="bp-2"),
        UpdateDevice(device_id=uuid(0), slug="new"),
        GenerateConfig(device_id=uuid(0), protocol="MQTT"),
    ]
    async with running(fleet_of(1)) as (_, client):
        works = await items_of(client, operations)
        async with StateGuard(client, GuardMode.WAVE) as guard:
            await before(guard, 0, works)
            assert await reasons(guard, works) == [None] * 4
            # In a later session the first two are done, and only the others are left.
            for work in works[:2]:
                await client.execute(work.operation)
            await before(guard, 0, works[2:])
            assert await reasons(guard, works[2:]) == [None] * 2


async def test_none_reads_nothing() -> None:
    async with running(fleet_of(2)) as (emulator, client):
        works = await items_of(client, renames(2))
        emulator.world.change(uuid(0), name="By hand")
        asked = reads(emulator)
        async with StateGuard(client, GuardMode.NONE) as guard:
            await before(guard, 0, works)
            assert await reasons(guard, works) == [None, None]
        assert reads(emulator) == asked


@pytest.mark.parametrize(("staged", "wave", "singly"), [(True, 1, 4), (True, 2, 2), (False, 0, 2)])
async def test_auto_is_strict_where_it_matters(staged: bool, wave: int, singly: int) -> None:
    operations: list[Operation[Any]] = [
        *renames(2),
        DeleteDevice(device_id=uuid(2)),
        GenerateConfig(device_id=uuid(3), protocol="MQTT"),
    ]
    async with running(fleet_of(4)) as (emulator, client):
        works = await items_of(client, operations)
        async with StateGuard(client, staged=staged) as guard:
            await before(guard, wave, works)
            asked = reads(emulator)
            assert await reasons(guard, works) == [None] * 4
            assert reads(emulator) - asked == singly


async def test_unplanned_items_are_not_guarded() -> None:
    async with running(fleet_of(1)) as (emulator, client):
        work = WorkItem(seq=0, operation=UpdateDevice(device_id=uuid(0), name="x"))
        async with StateGuard(client, GuardMode.EACH) as guard:
            assert await guard.check(work) is None
        assert reads(emulator) == 0


async def test_an_unreadable_fleet_is_an_error_and_not_a_pass() -> None:
    async with running(fleet_of(2)) as (emulator, client):
        works = await items_of(client, renames(2))
        once = client.with_options(retry=type(client.retry)(attempts=1))
        emulator.faults.add(ServerFailure(status=500), times=None)
        async with StateGuard(once, GuardMode.EACH) as guard:
            with pytest.raises(ServerError):
                await guard.check(works[0])
        async with StateGuard(once, GuardMode.WAVE) as guard:
            with pytest.raises(ServerError):
                await before(guard, 0, works)
            with pytest.raises(ServerError):
                await guard.check(works[0])


async def test_devices_missed_by_the_sweep_are_read_directly() -> None:
    async with running(fleet_of(2)) as (emulator, client):
        works = await items_of(client, renames(2))
        async with StateGuard(client, GuardMode.WAVE) as guard:
            await before(guard, 0, works[:1])
            emulator.world.change(uuid(1), name="By hand")
            told = await reasons(guard, works)
        assert told[0] is None
        assert "'By hand'" in str(told[1])
