"""A read settles a call only if it is newer than the write, according to caches and times."""

from email.utils import formatdate

import pytest

from enapter_async._http.call import CallRecord
from enapter_async.errors import AmbiguousOutcomeError, CachedAnswerError
from enapter_async.operations.devices import UpdateDevice
from tests.support.clock import FakeClock
from tests.support.kinds import each
from tests.support.replies import answer, close, errors
from tests.support.rig import DELETE, GET, UPDATE, TransportKind, attempts, open_rig
from tests.support.server import Exchange, FaultServer, Reply, applied, ignored

OTHER = UpdateDevice(device_id="dev-2", name="Another")


def dated(
    clock: FakeClock, *headers: tuple[str, str], age: float | None = 0.0, skew: float = 0.0
) -> Reply:
    """Answer with a Date `skew` off the clock, and a device last changed `age` before the answer.

    Answers on both sides of a whole second show two changes; see `changed_at` for one.
    """

    async def reply(exchange: Exchange) -> bool:
        told, now = exchange.good.json(), clock.wall() + skew
        if "device" in told:
            told["device"]["updated_at"] = None if age is None else int(now - age)
        date = ("Date", formatdate(now, usegmt=True))
        return await answer(exchange.good.status, told, date, *headers)(exchange)

    return reply


def changed_at(clock: FakeClock, second: int) -> Reply:
    """Answer with a device last changed at that time."""

    async def reply(exchange: Exchange) -> bool:
        told = exchange.good.json()
        told["device"]["updated_at"] = second
        return await answer(200, told, ("Date", formatdate(clock.wall(), usegmt=True)))(exchange)

    return reply


def lost_then_read(server: FaultServer, read: Reply) -> None:
    server.script(applied(close()), method="PATCH")
    server.script(applied(read), method="GET")


ORDINARY: dict[str, tuple[float, float]] = {
    "whole-seconds": (0.0, 0.0),
    "an-hour-ahead": (0.0, 3600.0),
    "an-hour-behind": (0.0, -3600.0),
    "a-database-a-second-behind": (1.0, 0.0),
}


@each("life", ORDINARY)
async def test_normally_a_read_settles_a_lost_answer(
    transport: TransportKind, life: tuple[float, float], server: FaultServer, clock: FakeClock
) -> None:
    age, skew = life
    lost_then_read(server, dated(clock, age=age, skew=skew))
    async with open_rig(transport, server, clock, retry=attempts(1)) as rig:
        assert (await rig.run(UPDATE)).name == "New name"
        assert rig.ended.settled


async def test_a_state_older_than_the_write_settles_nothing(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    lost_then_read(server, dated(clock, age=60.0))
    async with open_rig(transport, server, clock, retry=attempts(1)) as rig:
        error = await rig.fails(UPDATE)
        assert type(error) is AmbiguousOutcomeError
        assert "older than the first attempt" in str(error)


async def test_a_state_from_the_first_of_many_attempts_is_new_enough(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(applied(close()), method="PATCH")
    server.always(ignored(close()), method="PATCH")
    waits = 0.5 + 1.0 + 2.0
    server.script(applied(dated(clock, age=waits)), method="GET")
    async with open_rig(transport, server, clock) as rig:
        await rig.run(UPDATE)
        assert rig.ended.settled
        assert sum(clock.sleeps) == waits


async def test_the_lag_of_earlier_writes_is_allowed_for(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    async with open_rig(transport, server, clock, retry=attempts(1)) as rig:
        lost_then_read(server, dated(clock, age=30.0))
        assert type(await rig.fails(UPDATE)) is AmbiguousOutcomeError
        server.script(applied(dated(clock, age=30.0)), method="PATCH")
        await rig.run(OTHER)
        lost_then_read(server, dated(clock, age=30.0))
        await rig.client.with_options().execute(UPDATE)
        assert rig.ended.settled


async def test_a_device_without_a_time_settles_nothing_if_others_have_one(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    async with open_rig(transport, server, clock, retry=attempts(1)) as rig:
        lost_then_read(server, dated(clock, age=None))
        await rig.run(UPDATE)
        assert rig.ended.settled
        server.script(applied(dated(clock)), method="PATCH")
        await rig.run(OTHER)
        lost_then_read(server, dated(clock, age=None))
        assert type(await rig.fails(UPDATE)) is AmbiguousOutcomeError


async def test_a_state_known_before_the_write_settles_nothing_new(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    async with open_rig(transport, server, clock, retry=attempts(1)) as rig:
        known = changed_at(clock, int(clock.wall()) - 86_400)
        server.script(applied(known), method="GET")
        look = CallRecord(decides=True)
        await rig.client.call(GET, record=look)
        assert look.seen is not None
        lost_then_read(server, known)
        await rig.client.call(UPDATE, record=CallRecord(before=look.seen.stamp))
        assert rig.ended.settled


CACHED: dict[str, tuple[str, str]] = {
    "age": ("Age", "7"),
    "x-cache": ("X-Cache", "HIT"),
    "cache-status": ("Cache-Status", "CDN; hit"),
}


@each("header", CACHED)
async def test_a_cached_answer_settles_nothing(
    transport: TransportKind, header: tuple[str, str], server: FaultServer, clock: FakeClock
) -> None:
    lost_then_read(server, dated(clock, header))
    async with open_rig(transport, server, clock, retry=attempts(1)) as rig:
        error = await rig.fails(UPDATE)
        assert type(error) is AmbiguousOutcomeError
        assert "a cache answered" in str(error)


async def test_a_cached_404_shows_no_deletion(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(close()), method="DELETE")
    server.always(ignored(errors(404, ("Age", "3"))), method="GET")
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        assert type(await rig.fails(DELETE)) is AmbiguousOutcomeError


async def test_a_read_for_a_decision_is_fresh_or_an_error(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(applied(dated(clock, CACHED["age"])))
    server.always(applied(dated(clock)))
    async with open_rig(transport, server, clock) as rig:
        await rig.client.call(GET, record=CallRecord(decides=True))
        server.clear()
        server.always(applied(dated(clock, CACHED["age"])))
        with pytest.raises(CachedAnswerError, match="Age: 7"):
            await rig.client.call(GET, record=CallRecord(decides=True))
        await rig.run(GET)
    asked = [each.header("Cache-Control") for each in server.arrivals]
    assert asked == ["no-cache"] * 4 + [None]
    assert [each.header("Pragma") for each in server.arrivals] == asked


async def test_a_settling_read_requests_a_fresh_answer(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(close()))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        await rig.run(UPDATE)
    write, read = server.arrivals
    assert (write.header("Cache-Control"), read.header("Cache-Control")) == (None, "no-cache")
