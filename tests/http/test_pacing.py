"""The resources that calls of one client share: the limiter, and turns of writers."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.clock import Clock
from enapter_async.errors import (
    Certainty,
    ConfigurationError,
    DeadlineExceededError,
    RateLimitedError,
)
from enapter_async.hooks import CallEnded
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.limits.pacing import Pacing
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    UpdateDevice,
)
from tests.support.clock import FakeClock
from tests.support.kinds import each
from tests.support.replies import awaiting, close, errors, meet, slowly
from tests.support.rig import (
    ASSIGN,
    CONFIG,
    DELETE,
    GET,
    UPDATE,
    Rig,
    TransportKind,
    attempts,
    open_rig,
)
from tests.support.server import Exchange, FaultServer, applied, ignored

OTHER = GetDevice(device_id="dev-2")
MANY = tuple(f"dev-{number}" for number in range(1, 65))
TRICE = 0.03
"""Long enough for an unwanted request to arrive."""


async def test_row15_one_429_slows_no_other_call_down(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(errors(429, ("Retry-After", "2"))))
    clock.gate = asyncio.Event()
    async with open_rig(transport, server, clock) as rig:
        first = asyncio.create_task(rig.run(GET))
        await clock.slept(1)
        await asyncio.gather(*(rig.run(each) for each in (OTHER, UPDATE, CONFIG)))
        assert not first.done()
        clock.gate.set()
        await first
    assert len(server.arrivals) == 5


def refused_together(server: FaultServer, *headers: tuple[str, str]) -> None:
    """Refuse the first eight, as many as a new client sends at once, when all have arrived."""
    refuse = meet(asyncio.Barrier(8), errors(429, *headers))
    server.script(*[ignored(refuse)] * 8)


def reads(rig: Rig) -> list[Awaitable[Any]]:
    return [rig.run(GetDevice(device_id=name)) for name in MANY[:8]]


@each("headers", {"told": (("Retry-After", "2"),), "untold": ()})
async def test_row15_while_everything_is_refused_other_calls_wait_too(
    transport: TransportKind, headers: tuple[tuple[str, str], ...], clock: FakeClock
) -> None:
    async with FaultServer(devices=MANY) as server, open_rig(transport, server, clock) as rig:
        refused_together(server, *headers)
        clock.gate = asyncio.Event()
        calls = [asyncio.ensure_future(each) for each in reads(rig)]
        await clock.slept(8)
        calls.append(asyncio.ensure_future(rig.run(OTHER)))
        await asyncio.sleep(TRICE)
        assert len(server.arrivals) == 8
        clock.gate.set()
        await asyncio.gather(*calls)
        assert len(server.arrivals) == 17
        ends = [event for event in rig.events if isinstance(event, CallEnded)]
        assert sum(not event.attempts for event in ends) == 1


async def test_a_call_whose_turn_is_too_late_ends_with_nothing_sent(
    transport: TransportKind, clock: FakeClock
) -> None:
    async with FaultServer(devices=MANY) as server, open_rig(transport, server, clock) as rig:
        refused_together(server, ("Retry-After", "500"))
        ends = await asyncio.gather(*reads(rig), return_exceptions=True)
        assert {type(end) for end in ends} == {RateLimitedError}
        assert "paused for 500 s" in str(rig.client.limiter.pace())
        error = await rig.fails(UPDATE)
        assert type(error) is DeadlineExceededError
        assert error.attempts == ()
        assert len(server.arrivals) == 8


async def test_a_call_refused_until_the_deadline_was_not_done(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.always(ignored(errors(429)))
    async with open_rig(transport, server, clock) as rig:
        error = await rig.fails(CONFIG)
        assert type(error) is DeadlineExceededError
        assert {each.certainty for each in error.attempts} == {Certainty.REFUSED}
        assert len(error.attempts) > 4
        single = rig.client.with_options(retry=RetryPolicy(attempts=1))
        clock.skipped += 60.0
        with pytest.raises(RateLimitedError):
            await single.execute(CONFIG)


async def test_after_a_pause_one_request_goes_first_then_more(
    transport: TransportKind, clock: FakeClock
) -> None:
    async with FaultServer(devices=MANY) as server, open_rig(transport, server, clock) as rig:
        refused_together(server, ("Retry-After", "1"))
        seen: list[int] = []

        async def look(exchange: Exchange) -> bool:
            before = len(server.arrivals)
            await asyncio.sleep(TRICE)
            seen.append(len(server.arrivals) - before)
            return await slowly(0.0)(exchange)

        server.script(applied(look))
        server.always(applied(slowly(0.005)))
        clock.gate = asyncio.Event()
        calls = [asyncio.ensure_future(each) for each in reads(rig)]
        await clock.slept(8)
        clock.gate.set()
        await asyncio.gather(*calls)
        assert seen == [0], "other requests arrived while the first was still in flight"
        assert len(server.arrivals) == 16


async def test_row44_many_429s_at_once_are_waited_out_together(
    transport: TransportKind, clock: FakeClock
) -> None:
    patient = RetryPolicy(deadline=3600.0)
    async with (
        FaultServer(devices=MANY) as server,
        open_rig(transport, server, clock, retry=patient) as rig,
    ):
        server.script(*[ignored(errors(429))] * 64)
        await asyncio.gather(*(rig.run(GetDevice(device_id=name)) for name in MANY))
        assert len(server.arrivals) == 128
        assert max(clock.sleeps) <= 20.0


async def test_no_more_are_in_flight_than_allowed(transport: TransportKind) -> None:
    async with FaultServer(devices=MANY) as server:
        server.always(applied(slowly(0.005)))
        async with open_rig(transport, server, pacing=Pacing(max_in_flight=3)) as rig:
            await asyncio.gather(*(rig.run(GetDevice(device_id=name)) for name in MANY))
        assert server.peak() == 3


async def test_finally_all_allowed_are_in_flight(transport: TransportKind) -> None:
    async with FaultServer(devices=MANY) as server:
        server.always(applied(slowly(0.001)))
        async with open_rig(transport, server, pacing=Pacing(max_in_flight=64)) as rig:
            # A client starts with few, and grows with each good answer.
            await asyncio.gather(*(rig.run(GetDevice(device_id=name)) for name in MANY * 3))
            server.always(applied(meet(asyncio.Barrier(64))))
            await asyncio.gather(*(rig.run(GetDevice(device_id=name)) for name in MANY))
        assert server.peak() == 64


async def test_a_rate_is_kept(transport: TransportKind, clock: FakeClock) -> None:
    async with FaultServer(devices=MANY) as server:
        pacing = Pacing(max_rate=10.0)
        async with open_rig(transport, server, clock, pacing=pacing) as rig:
            await asyncio.gather(*(rig.run(GetDevice(device_id=name)) for name in MANY[:21]))
        assert sum(clock.sleeps) == pytest.approx(20 / 10.0, abs=0.3)


def writes_to(device_id: str) -> dict[str, Operation[Any]]:
    return {
        "update": UpdateDevice(device_id=device_id, name="New name"),
        "assign": AssignBlueprint(device_id=device_id, blueprint_id="bp-2"),
        "delete": DeleteDevice(device_id=device_id),
        "config": GenerateConfig(device_id=device_id, protocol="MQTTS"),
    }


@pytest.mark.parametrize("second", ["update", "assign", "delete", "config"])
@pytest.mark.parametrize("first", ["update", "assign", "config"])
async def test_two_writes_to_one_device_never_overlap(
    transport: TransportKind, first: str, second: str, server: FaultServer
) -> None:
    server.always(applied(slowly(0.005)))
    writes = writes_to("dev-1")
    async with open_rig(transport, server) as rig:
        await asyncio.gather(rig.run(writes[first]), rig.run(writes[second]))
    assert server.peak("dev-1") == 1
    assert len(server.world.effects) == 2


async def test_many_writes_to_one_device_are_done_in_order(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(slowly(0.001)))
    async with open_rig(transport, server) as rig:
        names = [f"name {number}" for number in range(20)]
        calls = (rig.run(UpdateDevice(device_id="dev-1", name=name)) for name in names)
        results = await asyncio.gather(*calls)
        assert [result.name for result in results] == names
    assert [effect.change["name"] for effect in server.world.effects] == names
    assert server.peak("dev-1") == 1


async def test_writes_to_two_devices_overlap(transport: TransportKind, server: FaultServer) -> None:
    server.always(applied(meet(asyncio.Barrier(2))))
    async with open_rig(transport, server) as rig:
        other = UpdateDevice(device_id="dev-2", name="New name")
        await asyncio.gather(rig.run(UPDATE), rig.run(other))


async def test_a_read_does_not_wait_for_a_writer(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(meet(asyncio.Barrier(2))))
    async with open_rig(transport, server) as rig:
        await asyncio.gather(rig.run(UPDATE), rig.run(GET))


@each("first", {"update": UPDATE, "assign": ASSIGN, "delete": DELETE})
async def test_a_turn_is_held_across_retries_and_settlement(
    transport: TransportKind, first: Operation[Any], server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(close()), method="DELETE" if first is DELETE else "PATCH")
    server.script(ignored(close()), method="POST")
    clock.gate = asyncio.Event()
    async with open_rig(transport, server, clock) as rig:
        one = asyncio.create_task(rig.run(first))
        await clock.slept(1)
        two = asyncio.create_task(rig.run(CONFIG))
        await asyncio.sleep(TRICE)
        assert len(server.arrivals) == 1
        clock.gate.set()
        await one
        await asyncio.wait([two])
        two.exception()
    kinds = [arrival.method for arrival in server.arrivals]
    assert kinds[0] == kinds[1]


async def test_a_waiting_writer_takes_no_place_from_others(
    transport: TransportKind, server: FaultServer
) -> None:
    hold = asyncio.Event()
    server.script(applied(awaiting(hold)))
    async with open_rig(transport, server, pacing=Pacing(max_in_flight=2)) as rig:
        first = asyncio.create_task(rig.run(UPDATE))
        await server.arrived(1)
        waiting = [asyncio.create_task(rig.run(ASSIGN)) for _ in range(5)]
        await asyncio.sleep(0)
        await rig.run(OTHER)
        hold.set()
        await asyncio.gather(first, *waiting)
    assert server.peak("dev-1") == 1


async def test_a_client_with_other_options_shares_turns_and_limiter(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.always(applied(slowly(0.005)))
    async with open_rig(transport, server, clock) as rig:
        other = rig.client.with_options(retry=RetryPolicy(attempts=1, deadline=5.0))
        await asyncio.gather(rig.run(UPDATE), other.execute(ASSIGN))
        assert server.peak("dev-1") == 1
        assert other.limiter is rig.client.limiter


async def test_a_custom_limiter_replaces_the_clients(
    transport: TransportKind, server: FaultServer
) -> None:
    shared = AdaptiveLimiter(Pacing(max_in_flight=1), Clock())
    server.always(applied(slowly(0.005)))
    async with (
        open_rig(transport, server, limiter=shared) as one,
        open_rig(transport, server, limiter=shared) as two,
    ):
        await asyncio.gather(*(rig.run(GET) for rig in (one, two) for _ in range(5)))
    assert server.peak() == 1
    with pytest.raises(ConfigurationError, match="pacing belongs to the limiter"):
        Client("token", limiter=shared, pacing=Pacing())


@each(
    "make",
    {
        "no-places": lambda: Pacing(max_in_flight=0),
        "half-a-place": lambda: Pacing(max_in_flight=1.5),  # type: ignore[arg-type]  # what is wrong is the point
        "no-rate": lambda: Pacing(max_rate=0.0),
        "not-a-rate": lambda: Pacing(max_rate=float("nan")),
        "no-attempts": lambda: attempts(0),
        "negative-delay": lambda: attempts(1, base_delay=-1.0),
        "no-deadline": lambda: attempts(1, deadline=0.0),
        "endless": lambda: attempts(1, deadline=float("inf")),
        "unknown-word": lambda: attempts(1, on_ambiguous="hope"),
    },
)
def test_settings_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()
