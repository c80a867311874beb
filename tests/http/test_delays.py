"""How long a call waits between attempts, and when it stops waiting."""

import asyncio
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    DeadlineExceededError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from enapter_async.hooks import Waiting
from tests.support.clock import FakeClock, lower
from tests.support.kinds import each
from tests.support.lag import timed
from tests.support.replies import Headers, answer, close, errors, hang, html, truncated
from tests.support.rig import (
    ALL,
    CONFIG,
    DELETE,
    GET,
    METHOD,
    UPDATE,
    TransportKind,
    attempts,
    open_rig,
)
from tests.support.server import FaultServer, Step, applied, ignored

EACH = each("operation", ALL)
MAYBE, REFUSED, GONE = ignored(close()), ignored(errors(425)), ignored(html(502))

# (the failures, the upper bounds of the delays: base * 2 ** (n - 1), base doubled after a refusal)
BOUNDS: dict[str, tuple[list[Step], list[float]]] = {
    "maybe": ([MAYBE] * 3, [0.5, 1.0, 2.0]),
    "server-error": ([GONE] * 3, [0.5, 1.0, 2.0]),
    "refused": ([REFUSED] * 3, [1.0, 2.0, 4.0]),
    "maybe-refused-maybe": ([MAYBE, REFUSED, MAYBE], [0.5, 2.0, 2.0]),
    "refused-maybe-refused": ([REFUSED, MAYBE, REFUSED], [1.0, 1.0, 4.0]),
}


@each("case", BOUNDS)
async def test_delays_double_and_are_drawn_from_zero_up(
    transport: TransportKind,
    case: tuple[list[Step], list[float]],
    server: FaultServer,
    clock: FakeClock,
) -> None:
    steps, bounds = case
    server.script(*steps)
    async with open_rig(transport, server, clock) as rig:
        await rig.run(GET)
        assert rig.waits == [("backoff", bound) for bound in bounds]
    assert clock.draws == [(0.0, bound) for bound in bounds]
    assert clock.sleeps == bounds


async def test_delays_are_capped(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(*[MAYBE] * 7)
    policy = attempts(8, base_delay=1.0, max_delay=3.0)
    async with open_rig(transport, server, clock, retry=policy) as rig:
        await rig.run(GET)
    assert clock.draws == [(0.0, bound) for bound in (1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0)]


async def test_a_delay_may_be_zero(transport: TransportKind, server: FaultServer) -> None:
    server.script(*[MAYBE] * 3)
    async with open_rig(transport, server, FakeClock(draw=lower)) as rig:
        await rig.run(GET)
    assert len(server.arrivals) == 4


async def test_a_first_attempt_that_succeeds_waits_for_nothing(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    async with open_rig(transport, server, clock) as rig:
        for operation in (GET, UPDATE, CONFIG, DELETE):
            await rig.run(operation)
    assert (clock.sleeps, clock.draws) == ([], [])


def at(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()
CHANCE = 0.1
"""The largest random addition to the delay that the server requests, at a first refusal."""

RETRY_AFTER: dict[str, tuple[Headers, float]] = {
    "none": ((), CHANCE),
    "0": ((("Retry-After", "0"),), CHANCE),
    "2": ((("Retry-After", "2"),), 2.1),
    "2-in-space": ((("Retry-After", "\t2 "),), 2.1),
    "40": ((("Retry-After", "40"),), 40.1),
    "date": ((("Retry-After", at(NOON + 10)), ("Date", at(NOON))), 10.1),
    "past-date": ((("Retry-After", at(NOON - 10)), ("Date", at(NOON))), CHANCE),
    "asctime": ((("Retry-After", "Tue Jan  1 12:00:10 2030"), ("Date", at(NOON))), 10.1),
    "minus-zero-zone": (
        (("Retry-After", "Tue, 01 Jan 2030 12:00:10 -0000"), ("Date", at(NOON))),
        10.1,
    ),
    "-5": ((("Retry-After", "-5"),), CHANCE),
    "+5": ((("Retry-After", "+5"),), CHANCE),
    "1.5": ((("Retry-After", "1.5"),), CHANCE),
    "nan": ((("Retry-After", "nan"),), CHANCE),
    "inf": ((("Retry-After", "inf"),), CHANCE),
    "1e9": ((("Retry-After", "1e9"),), CHANCE),
    "arabic-three": ((("Retry-After", "٣".encode().decode("latin-1")),), CHANCE),
    "empty": ((("Retry-After", ""),), CHANCE),
    "garbage": ((("Retry-After", "soon, I hope"),), CHANCE),
    "bad-weekday-and-hour": ((("Retry-After", "Foo, 01 Jan 2030 99:99:99 GMT"),), CHANCE),
    "year-10000": ((("Retry-After", "Sat, 01 Jan 10000 00:00:00 GMT"),), CHANCE),
    "two": ((("Retry-After", "1"), ("Retry-After", "4")), 4.1),
    "two-one-garbage": ((("Retry-After", "soon"), ("Retry-After", "4")), 4.1),
}


@each("case", {f"row16-{name}": (name, *case) for name, case in RETRY_AFTER.items()})
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_a_floor_with_jitter_above_it(
    transport: TransportKind,
    status: int,
    case: tuple[str, Headers, float],
    server: FaultServer,
    clock: FakeClock,
) -> None:
    name, headers, longest = case
    server.script(ignored(errors(status, *headers)))
    async with open_rig(transport, server, clock, retry=attempts(2)) as rig:
        await rig.run(GET)
    if status == 503 and longest == CHANCE and name not in ("0", "past-date"):
        longest = 0.5  # without a usable Retry-After it is a failure, not a refusal
    assert sum(clock.sleeps) == pytest.approx(longest, abs=0.05)


async def test_row16_without_the_servers_date_a_date_is_compared_with_our_clock(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(errors(429, ("Retry-After", at(time.time() + 21)))))
    clock.draw = lower
    async with open_rig(transport, server, clock) as rig:
        await rig.run(GET)
    assert 19 <= sum(clock.sleeps) <= 21.1


async def test_retry_after_is_never_undercut(transport: TransportKind, server: FaultServer) -> None:
    clock = FakeClock(draw=lower)
    server.script(ignored(errors(429, ("Retry-After", "7"))))
    async with open_rig(transport, server, clock) as rig:
        await rig.run(CONFIG)
        assert rig.waits == [("retry-after", 7.0)]
        assert rig.attempts[0].retry_after == 7.0
    assert sum(clock.sleeps) == pytest.approx(7.0, abs=0.1)


@pytest.mark.parametrize("status", [408, 425, 500, 502])
async def test_retry_after_counts_only_where_it_has_a_meaning(
    transport: TransportKind, status: int, server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(errors(status, ("Retry-After", "40"))))
    async with open_rig(transport, server, clock) as rig:
        await rig.run(GET)
    assert sum(clock.sleeps) <= 1.0


TOO_LONG: dict[str, str] = {"row17-an-hour": "3600", "row16-twenty-digits": "9" * 20}


@each("seconds", TOO_LONG)
@EACH
async def test_a_pause_that_is_too_long_is_reported_at_once(
    transport: TransportKind,
    operation: Any,
    seconds: str,
    server: FaultServer,
    clock: FakeClock,
) -> None:
    server.always(ignored(errors(429, ("Retry-After", seconds))))
    async with open_rig(transport, server, clock) as rig:
        error = await rig.fails(operation)
        assert type(error) is RateLimitedError
        assert error.retry_after is not None
        assert error.retry_after == float(seconds) or error.retry_after > 10**9
        assert rig.waits == []
    assert clock.sleeps == []
    assert server.seen == [METHOD[operation]]


async def test_a_503_with_too_long_a_pause_is_reported_at_once(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.always(ignored(errors(503, ("Retry-After", "3600"))))
    async with open_rig(transport, server, clock) as rig:
        error = await rig.fails(CONFIG)
        assert isinstance(error, APIError)
        assert error.retry_after == 3600
    assert clock.sleeps == []
    assert server.seen == ["POST"]


@pytest.mark.parametrize(("longest", "waits"), [(120.0, False), (300.0, True)])
async def test_the_policy_limits_the_pause(
    transport: TransportKind, longest: float, waits: bool, server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(errors(429, ("Retry-After", "200"))))
    policy = attempts(4, max_retry_after=longest, deadline=1000.0)
    async with open_rig(transport, server, clock, retry=policy) as rig:
        if waits:
            await rig.run(CONFIG)
            assert sum(clock.sleeps) == pytest.approx(200.1, abs=0.05)
        else:
            assert type(await rig.fails(CONFIG)) is RateLimitedError
            assert clock.sleeps == []


async def test_a_pause_past_the_deadline_is_not_started(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.always(ignored(errors(429, ("Retry-After", "100"))))
    async with open_rig(transport, server, clock) as rig:
        error = await rig.fails(GET)
        assert type(error) is RateLimitedError
        assert error.retry_after == 100
    assert clock.sleeps == []
    assert server.seen == ["GET"]


LAST_WORD: dict[str, tuple[Step, type[Exception]]] = {
    "lost": (MAYBE, TransportError),
    "failed": (GONE, ServerError),
}


@each("case", LAST_WORD)
async def test_a_sleep_past_the_deadline_is_not_started(
    transport: TransportKind,
    case: tuple[Step, type[Exception]],
    server: FaultServer,
    clock: FakeClock,
) -> None:
    step, kind = case
    server.always(step)
    # 4 s are slept after the first failure; the 8 s after the second would end after 10 s
    policy = attempts(9, base_delay=4.0, deadline=10.0)
    async with open_rig(transport, server, clock, retry=policy) as rig:
        error = await rig.fails(GET)
        assert type(error) is kind
        assert len(error.attempts) == 2
    assert clock.sleeps == [4.0]
    assert server.seen == ["GET", "GET"]


async def test_a_write_without_time_left_is_settled(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(applied(close()))
    policy = attempts(9, base_delay=20.0, deadline=10.0)
    async with open_rig(transport, server, clock, retry=policy) as rig:
        await rig.run(UPDATE)
        assert rig.ended.settled
    assert clock.sleeps == []
    assert server.seen == ["PATCH", "GET"]


@timed
async def test_the_deadline_cuts_an_attempt(transport: TransportKind, server: FaultServer) -> None:
    server.always(ignored(hang()))
    async with open_rig(transport, server, retry=attempts(4, deadline=0.15)) as rig:
        error = await rig.fails(GET)
        assert type(error) is DeadlineExceededError
        assert len(error.attempts) == 1
        assert 0.14 <= rig.ended.elapsed < 0.15 + 0.15
    assert server.seen == ["GET"]


@timed
async def test_the_deadline_cuts_a_body(transport: TransportKind, server: FaultServer) -> None:
    server.always(ignored(truncated("hang")))
    async with open_rig(transport, server, retry=attempts(4, deadline=0.15)) as rig:
        error = await rig.fails(GET)
        assert type(error) is DeadlineExceededError
        assert rig.ended.elapsed < 0.15 + 0.15


@timed
async def test_the_deadline_cuts_a_once_only_operation_as_ambiguous(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(hang()))
    async with open_rig(transport, server, retry=attempts(4, deadline=0.15)) as rig:
        assert type(await rig.fails(CONFIG)) is AmbiguousOutcomeError
        assert rig.ended.elapsed < 0.15 + 0.15
    assert server.seen == ["POST"]


@timed
async def test_row40_the_callers_own_timeout_is_not_swallowed(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(MAYBE)
    sleeping: list[Any] = []

    def listen(event: Any) -> None:
        if isinstance(event, Waiting):
            sleeping.append(event)

    options: dict[str, Any] = {"retry": attempts(4, base_delay=10.0), "hooks": (listen,)}
    async with open_rig(transport, server, **options) as rig:
        rig.clock.gate = asyncio.Event()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await rig.run(UPDATE)
        assert time.monotonic() - began < 5, "not after the pause, nor after the 30 s of a read"
        assert len(sleeping) == 1
        rig.clock.gate.set()
        await rig.run(UPDATE)
        assert rig.attempts == ()


async def test_an_error_body_is_kept_short(transport: TransportKind, server: FaultServer) -> None:
    huge = b"<html>" + b"x" * 10_000_000
    server.always(ignored(answer(400, huge, media_type="text/html")))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(UPDATE)
        assert isinstance(error, APIError)
        assert error.excerpt.startswith("<html>")
        assert len(error.excerpt) <= 4096
        assert len(str(error)) < 300
