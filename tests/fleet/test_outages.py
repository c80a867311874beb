"""Jobs during outages, over real sockets: a host that is down, and a host that asks to wait.

Every sleep advances the clock, so hours pass at once.
"""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Emulator, TooManyRequests, World
from enapter_async.emulator.faults import Fault, ServerFailure
from enapter_async.fleet import Outcome, State
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.fleet.outcomes import RunEvent, RunGoesOn, RunStopped, RunWaiting
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT
from enapter_async.fleet.waits import Reason
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.callers import rename
from tests.support.clock import FakeClock
from tests.support.ports import free_port


@pytest.fixture
def port() -> int:
    return free_port()


@attrs.define
class Landlord:
    """Opens a host's port after that many sleeps of the client, and closes it at the end."""

    port: int
    world: World
    clock: FakeClock
    after: int
    emulator: Emulator | None = None

    async def __call__(self) -> None:
        if len(self.clock.sleeps) >= self.after and self.emulator is None:
            emulator = self.emulator = Emulator(world=self.world, port=self.port)
            await emulator.__aenter__()

    async def close(self) -> None:
        if self.emulator is not None:
            await self.emulator.__aexit__(None, None, None)


@pytest.fixture
async def landlord(port: int) -> AsyncIterator[Landlord]:
    clock = FakeClock()
    landlord = Landlord(port, World.seeded(60, 1, role="OWNER"), clock, after=80)
    clock.on_sleep = landlord
    yield landlord
    await landlord.close()


async def carry_out(
    landlord: Landlord, operations: list[Any], **options: Any
) -> tuple[fleet.Report, list[Outcome[Any]], list[RunEvent]]:
    outcomes: list[Outcome[Any]] = []
    events: list[RunEvent] = []
    client = Client(
        "emulator-token",
        base_url=f"http://127.0.0.1:{landlord.port}",
        clock=landlord.clock.clock(),
        retry=options.pop("retry", RetryPolicy()),
    )
    async with client:
        report = await fleet.apply(
            client, operations, on_event=events.append, on_outcome=outcomes.append, **options
        )
    return report, outcomes, events


async def test_a_job_sleeps_through_an_outage_and_nothing_fails_for_it(
    landlord: Landlord,
) -> None:
    operations = [rename(device.id) for device in landlord.world]
    report, _, events = await carry_out(landlord, operations, max_pause=1e9)
    assert report.counts[State.APPLIED] == 60
    assert report.ok
    waits = [event.wait.reason for event in events if isinstance(event, RunWaiting)]
    assert waits[0] is Reason.HOST_DOWN
    assert isinstance(events[-1], RunGoesOn)
    assert landlord.clock.skipped > 60, "it was down for a long time"


async def test_while_the_host_is_down_there_are_few_probes(landlord: Landlord) -> None:
    landlord.after = 10**9
    operations = [rename(device.id) for device in landlord.world]
    report, outcomes, events = await carry_out(landlord, operations, max_pause=600.0)
    assert isinstance(report.stopped, PausedTooLongError)
    assert isinstance(events[-1], RunStopped)
    # Ten attempts open the breaker; only the requests then in flight, and a probe a minute, follow.
    assert sum(outcome.attempts for outcome in outcomes) < 60
    # Requests in flight at the end were tried once more, and then fail normally.
    assert report.counts[State.HELD] >= 60 - 8
    assert report.counts[State.HELD] + report.counts[State.FAILED] == 60


async def test_once_only_operations_are_never_the_probe(landlord: Landlord) -> None:
    mints: list[Operation[Any]] = [
        GenerateConfig(device_id=device.id, protocol="MQTT")
        for device in landlord.world
        if device.type in {"STANDALONE", "LINK_SLAVE_UCM"}
    ]
    minted: list[Any] = []
    report, outcomes, _ = await carry_out(
        landlord, mints, max_pause=1e9, credentials=lambda _, result: minted.append(result)
    )
    assert report.counts[State.APPLIED] == len(mints) == len(minted)
    assert all(outcome.attempts <= 5 for outcome in outcomes)


async def test_leaving_a_waiting_run_ends_it_at_once(landlord: Landlord) -> None:
    landlord.after = 10**9
    operations = [rename(device.id) for device in landlord.world]
    client = Client(
        "emulator-token",
        base_url=f"http://127.0.0.1:{landlord.port}",
        clock=landlord.clock.clock(),
    )

    def on_event(event: RunEvent) -> None:
        if isinstance(event, RunWaiting):
            assert run.waiting == event.wait
            run.stop("somebody had enough")

    async with client:
        run = fleet.Run(client, operations, max_pause=1e9, on_event=on_event)
        async with run:
            states = [outcome.state async for outcome in run]
    assert states.count(State.HELD) >= 60 - 8
    assert run.report.stopped is None


@pytest.fixture
def world() -> World:
    return World.seeded(60, 1, role="OWNER")


async def through(
    emulator: Emulator, **options: Any
) -> tuple[fleet.Report, list[RunEvent], FakeClock]:
    clock = FakeClock()
    events: list[RunEvent] = []
    client = Client(emulator.token, base_url=emulator.base_url, clock=clock.clock())
    async with client:
        report = await fleet.apply(
            client,
            [rename(device.id) for device in emulator.world],
            on_event=events.append,
            **options,
        )
    return report, events, clock


async def test_a_long_retry_after_is_waited_out_and_fails_nothing(emulator: Emulator) -> None:
    # Longer than a call of the client waits (120 s), shorter than a job does (15 minutes).
    emulator.faults.add(TooManyRequests(retry_after=600), times=3)
    report, _, clock = await through(emulator)
    assert report.ok
    assert clock.skipped >= 600


async def test_a_retry_after_beyond_the_cap_stops_the_run(emulator: Emulator) -> None:
    emulator.faults.add(TooManyRequests(retry_after=3600), times=None)
    report, events, _ = await through(emulator, concurrency=4)
    assert isinstance(report.stopped, PausedTooLongError)
    assert isinstance(events[-1], RunStopped)
    assert report.counts[State.HELD] >= 56
    assert report.counts[State.HELD] + report.counts[State.FAILED] == 60


async def test_many_429s_cost_time_and_no_operation(emulator: Emulator) -> None:
    emulator.faults.add(TooManyRequests(), times=300)
    report, _, _ = await through(emulator, max_pause=1e9)
    assert report.ok
    assert report.attempts == 360


async def test_a_failing_server_is_left_alone_for_a_while(
    emulator: Emulator,
) -> None:
    emulator.faults.add(ServerFailure(status=502), times=30)
    report, events, _ = await through(emulator, abort=None)
    assert report.counts[State.APPLIED] >= 50
    assert any(
        isinstance(event, RunWaiting) and event.wait.reason is Reason.HOST_DOWN for event in events
    )


async def test_criteria_judge_executed_operations_and_not_waiting_ones(
    emulator: Emulator,
) -> None:
    emulator.faults.add(TooManyRequests(), times=100)
    report, _, _ = await through(emulator, abort=DEFAULT_ABORT, max_pause=1e9)
    assert report.stopped is None
    assert report.ok


async def test_the_reads_around_a_wave_are_as_patient_as_the_run(emulator: Emulator) -> None:
    """The reads before, between and after waves outlast what would end a call of the client."""
    clock = FakeClock()
    client = Client(emulator.token, base_url=emulator.base_url, clock=clock.clock())
    away: tuple[Fault, ...] = (
        TooManyRequests(retry_after=600),
        ServerFailure(status=503),
        TooManyRequests(),
    )
    waits: list[Reason] = []

    def on_event(event: RunEvent) -> None:
        # A sweep before a wave, and the read after it.
        if isinstance(event, RunWaiting) and event.wait.reason.reads:
            for fault in away:
                emulator.faults.add(fault, method="GET", times=20)
        if isinstance(event, RunWaiting):
            waits.append(event.wait.reason)

    async with client:
        renames = [rename(device.id) for device in emulator.world]
        with await fleet.plan(client, renames) as plan:
            report = await fleet.apply(
                client,
                plan,
                rollout=fleet.Rollout(waves=(1, "rest")),
                guard=fleet.GuardMode.WAVE,
                max_pause=1e9,
                on_event=on_event,
            )
            assert report.ok
            assert report.stopped is None
            emulator.faults.add(TooManyRequests(retry_after=3600), method="GET", times=None)
            with pytest.raises(
                PausedTooLongError, match="for 15:00: the host responds with HTTP 429"
            ):
                await fleet.apply(client, plan, check=True)
    assert {Reason.DRIFT, Reason.READ_BACK, Reason.THROTTLED} <= set(waits)
    assert emulator.world.count("update") == 60


async def test_a_device_addressed_by_slug_is_read_back_at_its_new_one(emulator: Emulator) -> None:
    device = next(iter(emulator.world))
    moves = [UpdateDevice(device_id=device.slug, slug="moved", name="Moved")]
    async with Client(emulator.token, base_url=emulator.base_url) as client:
        report = await fleet.apply(client, moves, rollout=fleet.Rollout())
    assert report.ok
    assert report.stopped is None, "its read back does not find it at its old slug"
    assert emulator.world.device(device.id).slug == "moved"
