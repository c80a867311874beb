"""Circles of slugs: broken by one temporary slug each, ended if begun, resumed and undone."""

import asyncio
import sys
from pathlib import Path

import pytest

from enapter_async import fleet
from enapter_async.emulator import Hang, World
from enapter_async.emulator.faults import Target
from enapter_async.fleet import Run, State, Verdict
from enapter_async.fleet.planning.planner import plan
from enapter_async.operation import Operation
from enapter_async.operations.devices import UpdateDevice
from tests.fleet.fleets import device, fleet_of, running, uuid


def circle(*numbers: int) -> list[Operation[object]]:
    """Each device takes the slug of the next one, and the last one that of the first."""
    following = (*numbers[1:], numbers[0])
    return [
        UpdateDevice(device_id=uuid(number), slug=f"device-{other}")
        for number, other in zip(numbers, following, strict=True)
    ]


def slugs(world: World) -> list[str]:
    return [world.device(uuid(number)).slug for number in range(len(world))]


@pytest.mark.parametrize("length", [2, 3, 60])
async def test_a_circle_takes_one_temporary_slug_and_is_undone(length: int, tmp_path: Path) -> None:
    async with running(fleet_of(length)) as (emulator, client):
        with await plan(client, circle(*range(length))) as made:
            items = sorted(made.items(), key=lambda item: item.seq or 0)
            assert [item.verdict for item in items] == [Verdict.CHANGE] * (length + 1)
            assert {item.unit for item in items} == {length + 1}
            first, last = items[0], items[-1]
            assert (first.device, last.device) == (uuid(0), uuid(0))
            assert first.why == "a temporary slug, until operation 1 can be carried out"
            assert first.before == {"slug": "device-0"}
            assert [item.after for item in items[1:]] == list(range(length))
            report = await fleet.apply(client, made, journal=tmp_path / "run.db")
        assert report.counts[State.APPLIED] == report.total == length + 1
        assert slugs(emulator.world) == [f"device-{(n + 1) % length}" for n in range(length)]
        taken = await fleet.undo(client, tmp_path / "run.db")
        with taken.plan as back:
            await fleet.apply(client, back)
        assert slugs(emulator.world) == [f"device-{number}" for number in range(length)]


async def test_circles_chains_and_other_changes_go_together(tmp_path: Path) -> None:
    async with running(fleet_of(7)) as (emulator, client):
        asked = [
            UpdateDevice(device_id=uuid(0), name="First"),
            *circle(0, 1),
            *circle(2, 3, 4),
            UpdateDevice(device_id=uuid(5), slug="device-6"),
            UpdateDevice(device_id=uuid(6), slug="free", name="Last"),
        ]
        with await plan(client, asked) as made:
            assert made.counts[Verdict.CHANGE] == len(asked) + 2
            made.write(tmp_path / "plan")
        with fleet.read_plan(tmp_path / "plan") as read:
            report = await fleet.apply(client, read)
        assert report.counts[State.APPLIED] == report.total
        assert slugs(emulator.world) == [
            *("device-1", "device-0", "device-3", "device-4", "device-2", "device-6", "free"),
        ]
        assert emulator.world.device(uuid(0)).name == "First"


async def test_a_circle_with_a_refused_operation_is_refused_whole() -> None:
    devices = [device(0), device(1), device(2, authorized_role="USER")]
    async with running(devices) as (_, client):
        with await plan(client, circle(0, 1, 2)) as made:
            items = sorted(made.items(), key=lambda item: item.line)
    assert [item.verdict for item in items] == [Verdict.REFUSED] * 3


async def test_a_temporary_slug_that_is_taken_is_not_taken_again() -> None:
    async with running(fleet_of(3)) as (emulator, client):
        with await plan(client, circle(0, 1)) as made:
            temporary = next(item for item in made.items() if item.line == 3)
            slug = temporary.operation.changes()["slug"] if temporary.operation else ""
        emulator.world.change(uuid(2), slug=slug)
        with await plan(client, circle(0, 1)) as made:
            other = next(item for item in made.items() if item.line == 3)
            assert other.operation is not None
            assert other.operation.changes()["slug"] != slug
            report = await fleet.apply(client, made)
        assert report.counts[State.APPLIED] == 3


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_run_cut_at_any_moment_is_resumed_to_its_end(after: int, tmp_path: Path) -> None:
    async with running(fleet_of(3)) as (emulator, client):
        with await plan(client, circle(0, 1, 2)) as made:
            run = Run(client, made, journal=tmp_path / "run.db", concurrency=1)
            async with run:
                ended = 0
                async for _ in run:
                    ended += 1
                    if ended == after:
                        run.cut()
                if not after:
                    run.cut()
        assert len(set(slugs(emulator.world))) == 3
        report = await fleet.resume(client, tmp_path / "run.db")
        assert report.counts[State.UNKNOWN] == 0
        assert slugs(emulator.world) == ["device-1", "device-2", "device-0"]


async def test_a_stop_lets_a_begun_circle_end_and_starts_no_other(tmp_path: Path) -> None:
    async with running(fleet_of(6)) as (emulator, client):
        with await plan(client, [*circle(0, 1, 2), *circle(3, 4, 5)]) as made:
            run = Run(client, made, journal=tmp_path / "run.db", concurrency=1)
            async with run:
                async for outcome in run:
                    if outcome.state is State.APPLIED:
                        run.stop("enough")
        assert run.report.counts[State.APPLIED] == 4
        assert run.report.counts[State.HELD] == 4
        assert slugs(emulator.world)[:3] == ["device-1", "device-2", "device-0"]
        assert slugs(emulator.world)[3:] == ["device-3", "device-4", "device-5"]
        report = await fleet.resume(client, tmp_path / "run.db")
        assert report.counts[State.APPLIED] == 8
        assert slugs(emulator.world)[3:] == ["device-4", "device-5", "device-3"]


CHILD = """
import asyncio, sys
from enapter_async import Client, fleet

async def main():
    base_url, token, folder = sys.argv[1:]
    async with Client(token, base_url=base_url) as client:
        with fleet.read_plan(f"{folder}/plan") as plan:
            await fleet.apply(client, plan, journal=f"{folder}/run.db")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")
@pytest.mark.parametrize("patches", [1, 4])  # the first of the circle, and the last
async def test_a_resume_completes_a_circle_after_a_kill(patches: int, tmp_path: Path) -> None:
    async with running(fleet_of(3)) as (emulator, client):
        with await plan(client, circle(0, 1, 2)) as made:
            made.write(tmp_path / "plan")
        arrived = asyncio.Event()

        def is_last(target: Target) -> bool:
            last = target.method == "PATCH" and emulator.world.count("update") == patches - 1
            if last:
                arrived.set()
            return last

        emulator.faults.add(Hang(after_effect=True), when=is_last)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHILD, emulator.base_url, emulator.token, str(tmp_path))
        )
        async with asyncio.timeout(60):
            await arrived.wait()
        child.kill()
        await child.wait()
        assert emulator.world.count("update") == patches
        report = await fleet.resume(client, tmp_path / "run.db")
        assert report.counts[State.UNKNOWN] == report.counts[State.HELD] == 0
        assert slugs(emulator.world) == ["device-1", "device-2", "device-0"]
