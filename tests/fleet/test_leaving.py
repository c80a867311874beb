"""The ways of leaving a run: early, by an error, by cancellation, by a stop or a cut."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.emulator import Emulator, World
from enapter_async.errors import (
    AmbiguousOutcomeError,
)
from enapter_async.fleet import State
from enapter_async.limits.pacing import Pacing
from enapter_async.operation import Operation
from enapter_async.operations.devices import GetDevice
from tests.fleet.callers import ScriptedCaller, fleet_tasks, forever, rename, turns
from tests.fleet.fleets import fleet_of, uuid


async def test_leaving_early_starts_nothing_more_and_drains() -> None:
    release = asyncio.Event()

    async def answer(operation: Operation[Any]) -> None:
        if operation.subject() != "d0":
            await release.wait()

    caller = ScriptedCaller(answer)
    operations = (rename(f"d{number}") for number in range(100))
    async with fleet.Run(caller, operations, concurrency=3) as run:
        async for _ in run:
            break
        await turns()
        began = len(caller.began)
        release.set()
    assert len(caller.began) == began == len(caller.ended)
    assert run.report.counts[State.APPLIED] == began
    assert run.report.counts[State.HELD] == run.report.total - began
    assert run.report.total <= 7  # 6 ahead of the consumed outcome
    assert not run.report.complete
    assert fleet_tasks() == []


async def test_leaving_by_the_callers_error_drains_too() -> None:
    caller = ScriptedCaller()
    run = fleet.Run(caller, [rename("a"), rename("b")])

    async def fail() -> None:
        async with run:
            await turns(2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert caller.began == caller.ended
    assert run.report.total == len(caller.began)


@pytest.mark.parametrize("iterating", [True, False])
async def test_cancelling_the_caller_cancels_operations_in_flight(*, iterating: bool) -> None:
    caller = ScriptedCaller(forever)
    runs = []

    async def job() -> None:
        async with fleet.Run(caller, [rename(f"d{n}") for n in range(9)], concurrency=4) as run:
            runs.append(run)
            await turns()
            if iterating:
                await anext(run)

    task = asyncio.create_task(job())
    await turns(50)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caller.under_way == []
    assert fleet_tasks() == []
    assert runs[0].report.counts[State.UNKNOWN] == 4
    assert runs[0].report.counts[State.HELD] == 4
    assert isinstance(runs[0].report.unknowns[0].error, AmbiguousOutcomeError)


async def test_a_timeout_around_a_run_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await fleet.apply(ScriptedCaller(forever), [rename("a")])
    assert fleet_tasks() == []


async def test_stop_lets_operations_in_flight_end_and_reports_the_rest() -> None:
    caller = ScriptedCaller()
    states = []
    async with fleet.Run(caller, [rename(f"d{n}") for n in range(20)], concurrency=2) as run:
        async for outcome in run:
            states.append(outcome.state)
            run.stop("enough")
    assert len(states) == 20
    assert states.count(State.APPLIED) == len(caller.began) < 20
    assert run.report.stopped is None
    assert run.report.complete


async def test_cut_reports_reads_and_unsent_operations_as_held() -> None:
    async def answer(_: Operation[Any]) -> None:
        await asyncio.Event().wait()

    operations: list[Operation[Any]] = [rename("a"), GetDevice(device_id="b")]
    states = {}
    async with fleet.Run(ScriptedCaller(answer), operations) as run:
        await turns()
        run.cut()
        async for outcome in run:
            states[outcome.operation] = outcome.state
    assert states == {operations[0]: State.UNKNOWN, operations[1]: State.HELD}


async def test_a_cut_from_within_a_finishing_call_cuts_the_rest() -> None:
    runs: list[fleet.Run[Any]] = []

    async def answer(operation: Operation[Any]) -> None:
        if operation.subject() == "d1":
            runs[0].cut()

    caller = ScriptedCaller(answer)
    async with asyncio.timeout(60):
        async with fleet.Run(
            caller, [rename(f"d{each}") for each in range(9)], concurrency=1
        ) as run:
            runs.append(run)
            told = [outcome.state async for outcome in run]
    assert told == [State.APPLIED] * 2 + [State.HELD] * 7
    assert len(caller.began) == 2


async def test_a_cut_from_within_a_call_that_continues_cuts_it_too() -> None:
    runs: list[fleet.Run[Any]] = []

    async def answer(operation: Operation[Any]) -> None:
        if operation.subject() == "d1":
            runs[0].cut()
            await asyncio.Event().wait()

    caller = ScriptedCaller(answer)
    async with asyncio.timeout(60):
        async with fleet.Run(
            caller, [rename(f"d{each}") for each in range(9)], concurrency=1
        ) as run:
            runs.append(run)
            told = [outcome.state async for outcome in run]
    assert told == [State.APPLIED, State.UNKNOWN] + [State.HELD] * 7


@pytest.mark.parametrize("way", ["stop", "cut", "leave"])
@pytest.mark.parametrize("check", [False, True])
async def test_operations_waiting_for_the_rate_are_not_started_after_a_stop(
    way: str, tmp_path: Path, *, check: bool
) -> None:
    renames = [rename(uuid(number)) for number in range(20)]
    journal = tmp_path / "journal.db"
    async with Emulator(world=World(fleet_of(20))) as emulator:
        # One at once, and another after every further half minute.
        slow = Client(emulator.token, base_url=emulator.base_url, pacing=Pacing(max_rate=1 / 30))
        run = fleet.Run(slow, renames, journal=journal, check=check)
        async with slow, asyncio.timeout(60), run:
            if not check:
                assert (await anext(run)).state is State.APPLIED
            await turns()
            if way != "leave":
                getattr(run, way)()
                states = [outcome.state async for outcome in run]
                assert set(states) == {State.HELD}
        assert fleet_tasks() == []
        done = 0 if check else 1
        assert emulator.world.log.count("update") == done
        assert run.report.counts[State.APPLIED] == done
        assert run.report.counts[State.UNKNOWN] == 0
        async with Client(emulator.token, base_url=emulator.base_url) as fast:
            report = await fleet.apply(fast, renames, journal=journal)
        assert (report.counts[State.APPLIED], report.counts[State.UNCHANGED]) == (20, 0)
        assert emulator.world.log.count("update") == 20, "each once"
