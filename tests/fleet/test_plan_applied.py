"""Applying a plan: exactly as written, only to devices still as planned, and once."""

from pathlib import Path
from typing import Any

from enapter_async.emulator.faults import Reply
from enapter_async.emulator.state import Device
from enapter_async.errors import AuthenticationError
from enapter_async.fleet.apply_and_resume import apply, resume
from enapter_async.fleet.errors import StaleError
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.planning.drift import GuardMode, StateGuard
from enapter_async.fleet.planning.plan import read_plan
from enapter_async.fleet.planning.planner import plan
from enapter_async.fleet.run import Run
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, UpdateDevice
from tests.fleet.fleets import device, fleet_of, running, uuid

UNAUTHORIZED = Reply(
    status=401,
    body=b'{"errors": [{"code": "invalid_header", "message": "Who are you?"}]}',
    content_type="application/json",
)


def renames(number: int) -> list[Operation[Any]]:
    return [UpdateDevice(device_id=uuid(each), name=f"New {each}") for each in range(number)]


async def test_a_plan_from_a_file_is_applied_exactly_and_unchanged_items_cost_nothing(
    tmp_path: Path,
) -> None:
    async with running(fleet_of(100)) as (emulator, client):
        operations = [*renames(98), UpdateDevice(device_id=uuid(99), name="Device 99")]
        with await plan(client, [*operations, DeleteDevice(device_id=uuid(98))]) as made:
            made.write(tmp_path / "plan")
        emulator.world.log.clear()
        with read_plan(tmp_path / "plan") as read:
            report = await apply(client, read, journal=tmp_path / "run.db")
        assert report.counts[State.APPLIED] == 99
        assert report.counts[State.UNCHANGED] == 1
        assert emulator.world.count("update") == 98
        assert emulator.world.log.count_arrivals("PATCH") == 98
        # Two pages show the first 99 devices; the deletion's device is also read directly.
        assert emulator.world.log.count_arrivals("GET") == 3
        assert not emulator.world.log.arrivals(uuid(99))


async def test_stale_items_are_held_and_a_resume_reads_them_again(tmp_path: Path) -> None:
    async with running(fleet_of(3)) as (emulator, client):
        with await plan(client, renames(3)) as made:
            emulator.world.change(uuid(1), name="By hand")
            journal = tmp_path / "run.db"
            async with Run(client, made, journal=journal) as run:
                outcomes = {each.operation.device_id: each async for each in run}
        assert [outcomes[uuid(each)].state for each in range(3)] == ["applied", "held", "applied"]
        assert isinstance(outcomes[uuid(1)].error, StaleError)
        assert "'By hand'" in str(outcomes[uuid(1)].error)
        emulator.world.change(uuid(1), name="Device 1")
        report = await resume(client, journal)
        assert report.counts[State.APPLIED] == 3
        assert emulator.world.count("update") == 3


async def test_a_resumed_plan_is_checked_by_pages_and_only_for_remaining_items(
    tmp_path: Path,
) -> None:
    async with running(fleet_of(150)) as (emulator, client):
        journal = tmp_path / "run.db"
        with await plan(client, renames(150)) as made:
            emulator.world.log.clear()
            async with Run(client, made, journal=journal, concurrency=4) as run:
                async for _ in run:
                    if emulator.world.count("update") >= 20:
                        run.stop()
        pages = emulator.world.log.count_arrivals("GET")
        emulator.world.change(uuid(149), name="By hand")
        emulator.world.log.clear()
        report = await resume(client, journal)
        assert report.counts[State.APPLIED] == 149
        assert report.counts[State.HELD] == 1
        # The pages are read once more, instead of each of the 130 remaining devices.
        assert emulator.world.log.count_arrivals("GET") == pages < 10
        assert emulator.world.log.count_arrivals("PATCH") < 130


async def test_followers_of_stale_items_are_held_too() -> None:
    devices = [device(0), device(1, upstream_id=uuid(0)), device(2)]
    async with running(devices) as (emulator, client):
        operations = [DeleteDevice(device_id=uuid(each)) for each in range(3)]
        with await plan(client, operations) as made:
            emulator.world.change(uuid(1), name="By hand")
            report = await apply(client, made)
        assert report.counts[State.HELD] == 2
        assert [each.id for each in emulator.world] == [uuid(0), uuid(1)]


async def test_children_go_first_however_slow_and_whatever_the_concurrency() -> None:
    def below(number: int, upstream: int) -> Device:
        return device(number, upstream_id=uuid(upstream))

    devices = [device(0), *(below(each, (each - 1) // 3) for each in range(1, 40))]
    async with running(devices) as (emulator, client):
        operations = [DeleteDevice(device_id=uuid(each)) for each in range(40)]
        with await plan(client, operations) as made:
            report = await apply(client, made, concurrency=16)
        assert report.ok
        assert len(emulator.world) == 0
        assert emulator.world.log.count_arrivals("DELETE") == 40


async def test_a_chain_of_slugs_is_resolved_from_its_end() -> None:
    async with running(fleet_of(30)) as (emulator, client):
        operations = [
            UpdateDevice(device_id=uuid(each), slug=f"device-{each + 1}") for each in range(30)
        ]
        with await plan(client, operations) as made:
            report = await apply(client, made, concurrency=16)
        assert report.ok
        assert [each.slug for each in emulator.world] == [
            f"device-{each + 1}" for each in range(30)
        ]
        assert emulator.world.log.count_arrivals("PATCH") == 30


async def test_a_guard_that_is_refused_stops_the_run_and_says_why() -> None:
    async with running(fleet_of(3)) as (emulator, client):
        with await plan(client, renames(3)) as made:
            emulator.faults.add(UNAUTHORIZED, times=None)
            guard = StateGuard(client, GuardMode.EACH)
            report = await apply(client, made, guard=guard, concurrency=1)
        assert isinstance(report.stopped, AuthenticationError)
        assert report.counts[State.HELD] == 3
        assert emulator.world.log.count_arrivals("PATCH") == 0
