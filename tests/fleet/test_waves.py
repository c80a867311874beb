"""Runs in waves, over real sockets and with the engine alone."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Emulator, Reply, World
from enapter_async.emulator.faults import Target
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import Outcome, State, WorkItem
from enapter_async.fleet.errors import RunAbortedError, WaveNotPassedError
from enapter_async.fleet.outcomes import RunEvent, RunStopped, RunWaiting, WaveBegan, WavePassed
from enapter_async.fleet.rollout.abort import AbortCriterion
from enapter_async.fleet.rollout.waves import HealthGate, Rollout
from enapter_async.fleet.waits import Reason
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GetDevice, UpdateDevice
from tests.fleet.callers import Answer, ScriptedCaller, at_once, rename, turns
from tests.fleet.test_passing import nth_change
from tests.support.clock import FakeClock

REFUSED = Reply(
    status=409,
    content_type="application/json",
    body=b'{"errors": [{"code": "conflict", "message": "Not now."}]}',
)
QUICK = RetryPolicy(attempts=2, base_delay=0.001)


@pytest.fixture
def world() -> World:
    return World.seeded(60, 1, role="OWNER")


def works(emulator: Emulator) -> list[Any]:
    return [
        WorkItem(seq=seq, operation=rename(device.id, f"{device.name} new"), group=device.site_id)
        for seq, device in enumerate(emulator.world)
    ]


async def roll_out(
    emulator: Emulator, operations: Any, rollout: Rollout, **options: Any
) -> tuple[fleet.Report, list[Outcome[Any]], list[RunEvent], FakeClock]:
    outcomes: list[Outcome[Any]] = []
    events: list[RunEvent] = []
    clock = FakeClock()
    client = Client(emulator.token, base_url=emulator.base_url, clock=clock.clock(), retry=QUICK)
    async with client:
        report = await fleet.apply(
            client,
            operations,
            rollout=rollout,
            on_event=events.append,
            on_outcome=outcomes.append,
            **options,
        )
    return report, outcomes, events, clock


def waves_of(events: list[RunEvent]) -> list[tuple[int, int | None]]:
    return [(event.number, event.size) for event in events if isinstance(event, WaveBegan)]


async def test_each_wave_is_over_before_the_next_begins(emulator: Emulator) -> None:
    report, outcomes, events, _ = await roll_out(emulator, works(emulator), Rollout())
    assert report.ok
    # of 60: one, ten, one percent rounded up, ten percent, and the rest
    assert waves_of(events) == [(1, 1), (2, 10), (3, 1), (4, 6), (5, 42)]
    passed = [event for event in events if isinstance(event, WavePassed)]
    assert [event.read_back for event in passed] == [1, 10, 0, 0, 0]
    written = [each.device_id for each in emulator.world.log.arrivals() if each.method == "PATCH"]
    told = [str(outcome.operation.subject()) for outcome in outcomes]
    for start, end in ((0, 1), (1, 11), (11, 12), (12, 18), (18, 60)):
        assert set(written[start:end]) == set(told[start:end]), "waves overlapped"


async def test_the_first_two_waves_are_read_back_and_no_other(emulator: Emulator) -> None:
    await roll_out(emulator, works(emulator), Rollout(waves=(3, 5)))
    methods = Counter(each.method for each in emulator.world.log.arrivals())
    assert methods == {"PATCH": 60, "GET": 8}


@pytest.mark.parametrize("wave", [1, 2])
async def test_one_failure_in_a_first_wave_stops_the_run(emulator: Emulator, wave: int) -> None:
    emulator.faults.add(REFUSED, method="PATCH", when=nth_change(1 if wave == 1 else 4))
    report, _, events, _ = await roll_out(emulator, works(emulator), Rollout(waves=(1, 10)))
    assert isinstance(report.stopped, WaveNotPassedError)
    assert f"wave {wave} did not pass" in str(report.stopped)
    assert report.counts[State.FAILED] == 1
    assert report.counts[State.HELD] == (59 if wave == 1 else 49)
    assert isinstance(events[-1], RunStopped)


async def test_a_failure_in_a_later_wave_only_counts_for_the_criteria(emulator: Emulator) -> None:
    emulator.faults.add(REFUSED, method="PATCH", when=nth_change(15))
    report, _, _, _ = await roll_out(emulator, works(emulator), Rollout())
    assert report.stopped is None
    assert report.counts[State.FAILED] == 1
    assert report.counts[State.APPLIED] == 59


async def test_a_failure_in_the_last_wave_stops_nothing(emulator: Emulator) -> None:
    emulator.faults.add(REFUSED, method="PATCH", when=nth_change(3))
    report, _, _, _ = await roll_out(emulator, works(emulator)[:5], Rollout())
    assert report.stopped is None
    assert report.counts[State.FAILED] == 1


async def test_a_wave_that_does_not_show_its_values_stops_the_run(emulator: Emulator) -> None:
    """Another user sets the device back while the wave is still being verified."""
    given = works(emulator)
    before = {device.id: device.name for device in emulator.world}

    def on_outcome(outcome: Outcome[Any]) -> None:
        device_id = outcome.operation.device_id
        emulator.world.update(device_id, name=before[device_id])

    run_events: list[RunEvent] = []
    clock = FakeClock()
    client = Client(emulator.token, base_url=emulator.base_url, clock=clock.clock())
    async with client:
        report = await fleet.apply(
            client,
            given,
            rollout=Rollout(),
            on_event=run_events.append,
            on_outcome=on_outcome,
        )
    assert isinstance(report.stopped, WaveNotPassedError)
    assert "do not show the new values" in str(report.stopped)
    assert report.counts[State.APPLIED] == 1
    assert clock.sleeps == [1.0, 3.0], "it was read three times"


async def test_deletions_are_read_back_as_gone(emulator: Emulator) -> None:
    leaves = [each.id for each in emulator.world if not emulator.world.below(each.id)][:3]
    operations: list[Operation[Any]] = [rename(device_id) for device_id in leaves]
    operations += [DeleteDevice(device_id=device_id) for device_id in leaves]
    report, _, events, _ = await roll_out(emulator, operations, Rollout(waves=("rest",)))
    assert report.ok
    assert WavePassed(number=1, read_back=3) in events


async def test_values_replaced_by_a_later_operation_need_not_hold() -> None:
    caller = Remembering()
    operations: list[Any] = [
        WorkItem(seq=0, operation=UpdateDevice(device_id="d", slug="tmp"), unit=1),
        WorkItem(seq=1, operation=UpdateDevice(device_id="d", slug="new"), unit=1),
    ]
    report = await fleet.apply(caller, operations, rollout=Rollout(waves=("rest",)))
    assert report.ok
    assert caller.read == 1


class Remembering(ScriptedCaller):
    """Calls `answer` for each update, then shows the values set last."""

    def __init__(self, answer: Answer = at_once) -> None:
        super().__init__(self._serve)
        self._update = answer
        self._shown: dict[str, Shown] = {}
        self.read = 0

    async def _serve(self, operation: Operation[Any]) -> Any:
        if isinstance(operation, UpdateDevice):
            await self._update(operation)
            self._shown[operation.device_id] = Shown(operation)
            return self._shown[operation.device_id]
        assert isinstance(operation, GetDevice)
        self.read += 1
        return self._shown[operation.device_id]


class Shown:
    """The state that a device shows after an operation."""

    def __init__(self, operation: UpdateDevice) -> None:
        self.id = operation.device_id
        self.name = operation.name
        self.slug = operation.slug


async def test_a_hold_between_waves_is_reported(emulator: Emulator) -> None:
    report, _, events, clock = await roll_out(
        emulator, works(emulator), Rollout(waves=(1, 10), hold=3600.0)
    )
    assert report.ok
    assert clock.sleeps == [3600.0, 3600.0], "two holds between three waves"
    waits = [event.wait for event in events if isinstance(event, RunWaiting)]
    holds = [wait for wait in waits if wait.reason is Reason.HOLD]
    assert len(holds) == 2
    assert "the hold between two waves, on again in 1:00:00" in holds[0].text(holds[0].since)


async def test_a_stop_ends_a_hold_at_once(emulator: Emulator) -> None:
    clock = FakeClock(gate=asyncio.Event())  # never opened
    client = Client(emulator.token, base_url=emulator.base_url, clock=clock.clock())

    def on_event(event: RunEvent) -> None:
        if isinstance(event, RunWaiting) and event.wait.reason is Reason.HOLD:
            asyncio.get_running_loop().call_soon(run.stop, "enough")

    async with client:
        rollout = Rollout(waves=(1,), hold=3600.0)
        run = fleet.Run(client, works(emulator), rollout=rollout, on_event=on_event)
        async with run:
            states = Counter([outcome.state async for outcome in run])
    assert states == {State.APPLIED: 1, State.HELD: 59}
    assert run.report.complete


async def test_no_site_has_more_in_flight_than_its_places() -> None:
    busy: Counter[str] = Counter()
    most: Counter[str] = Counter()
    site_of = {f"d{number}": f"s{number % 3}" for number in range(90)}

    async def answer(operation: Operation[Any]) -> None:
        site = site_of[str(operation.subject())]
        busy[site] += 1
        most[site] = max(most[site], busy[site])
        for _ in range(5):
            await asyncio.sleep(0)
        busy[site] -= 1

    operations: list[Any] = [
        WorkItem(seq=seq, operation=rename(device), group=site)
        for seq, (device, site) in enumerate(site_of.items())
    ]
    report = await fleet.apply(
        Remembering(answer),
        operations,
        rollout=Rollout(waves=(90,), per_group=2),
        concurrency=32,
    )
    assert report.counts[State.APPLIED] == 90
    assert most == {"s0": 2, "s1": 2, "s2": 2}


async def test_a_busy_site_does_not_keep_the_others_waiting() -> None:
    others_done = asyncio.Event()
    done = 0

    async def answer(operation: Operation[Any]) -> None:
        nonlocal done
        if str(operation.subject()).startswith("slow"):
            await others_done.wait()
            return
        done += 1
        if done == 5:
            others_done.set()

    slow: list[Any] = [
        WorkItem(seq=seq, operation=rename(f"slow{seq}"), group="a") for seq in range(30)
    ]
    quick = [WorkItem(seq=seq, operation=rename(f"quick{seq}"), group="b") for seq in range(30, 35)]
    # The group limit looks ahead ten times the concurrency, past the thirty items of one site.
    report = await fleet.apply(
        Remembering(answer),
        [*slow, *quick],
        rollout=Rollout(waves=("rest",), per_group=1),
        concurrency=4,
    )
    assert report.counts[State.APPLIED] == 35


@pytest.mark.parametrize(("slow", "reached"), [(39, True), (40, False)])
async def test_a_busy_site_is_skipped_for_ten_times_the_concurrency(
    slow: int, *, reached: bool
) -> None:
    opened = asyncio.Event()

    async def answer(operation: Operation[Any]) -> None:
        if operation.subject() != "quick":
            await opened.wait()

    given: list[Any] = [
        WorkItem(seq=seq, operation=rename(f"slow{seq}"), group="a") for seq in range(slow)
    ]
    given.append(WorkItem(seq=slow, operation=rename("quick"), group="b"))
    caller = Remembering(answer)
    rollout = Rollout(waves=("rest",), per_group=1)
    job = asyncio.create_task(fleet.apply(caller, given, rollout=rollout, concurrency=4))
    await turns(50)
    # With 4 at once, the input is read 40 items ahead.
    assert [each.subject() for each in caller.under_way] == ["slow0"]
    assert ("quick" in [each.subject() for each in caller.ended]) is reached
    opened.set()
    assert (await job).counts[State.APPLIED] == slow + 1


@pytest.mark.parametrize(("most_lost", "passes"), [(20.0, True), (19.0, False)])
async def test_the_health_gate_compares_devices_that_were_online(
    emulator: Emulator, most_lost: float, *, passes: bool
) -> None:
    for device in emulator.world:
        emulator.world.change(device.id, connectivity="ONLINE")
    rollout = Rollout(waves=(10, 10), hold=60.0, health=HealthGate(most_lost=most_lost))
    client = Client(emulator.token, base_url=emulator.base_url, clock=FakeClock().clock())
    gone = 0

    def on_outcome(outcome: Outcome[Any]) -> None:
        nonlocal gone
        if gone < 2:  # a fifth of the first ten
            gone += 1
            emulator.world.change(outcome.operation.device_id, connectivity="OFFLINE")

    async with client:
        report = await fleet.apply(client, works(emulator), rollout=rollout, on_outcome=on_outcome)
    if passes:
        assert report.ok
    else:
        assert isinstance(report.stopped, WaveNotPassedError)
        assert "2 of 10 devices that were online" in str(report.stopped)
        assert report.counts[State.APPLIED] == 10


async def test_devices_that_were_not_online_do_not_count(emulator: Emulator) -> None:
    for device in emulator.world:
        emulator.world.change(device.id, connectivity="OFFLINE")
    report, _, _, _ = await roll_out(
        emulator, works(emulator), Rollout(waves=(10,), health=HealthGate(most_lost=0))
    )
    assert report.ok


async def test_waves_need_an_input_with_a_length() -> None:
    with pytest.raises(ConfigurationError, match="with a length"):
        fleet.Run(ScriptedCaller(), iter([rename("a")]), rollout=Rollout())


async def test_a_run_continues_in_its_original_waves(emulator: Emulator, tmp_path: Path) -> None:
    journal, given = tmp_path / "journal.db", works(emulator)
    rollout = Rollout(waves=(1, 10, 20), hold=60.0)
    emulator.faults.add(REFUSED, method="PATCH", when=nth_change(5))
    report, _, _, _ = await roll_out(emulator, given, rollout, journal=journal)
    assert report.counts[State.HELD] == 49
    events: list[RunEvent] = []
    clock = FakeClock()
    async with Client(emulator.token, base_url=emulator.base_url, clock=clock.clock()) as client:
        going_on = fleet.JournalOptions(path=journal, accept_wave=True)
        report = await fleet.resume(client, going_on, on_event=events.append)
    assert report.counts[State.HELD] == 0
    assert report.counts[State.APPLIED] == 59
    assert [number for number, _ in waves_of(events)] == [3, 4]
    assert clock.sleeps == [60.0]
    same, _, _, _ = await roll_out(emulator, given, rollout, journal=journal)
    assert same.counts == report.counts


async def test_criteria_stop_a_run_within_a_later_wave(emulator: Emulator) -> None:
    seen = 0

    def later(target: Target) -> bool:
        nonlocal seen
        seen += target.method == "PATCH"
        return seen > 20

    emulator.faults.add(REFUSED, method="PATCH", when=later, times=None)
    abort = AbortCriterion(threshold_percentage=10.0, min_executed=10)
    report, _, _, _ = await roll_out(
        emulator, works(emulator), Rollout(), abort=abort, concurrency=1
    )
    assert isinstance(report.stopped, RunAbortedError)
    assert report.counts[State.FAILED] == 3  # 2 of 22 are 9.1 %, 3 of 23 are 13 %
    assert report.counts[State.HELD] == 37
