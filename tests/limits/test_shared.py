"""The slots that processes share: those used, those lost, and the behaviour without any."""

import asyncio
import contextlib
from pathlib import Path

import attrs
import pytest

from enapter_async import Client, Pacing, RetryPolicy
from enapter_async.clock import Clock
from enapter_async.errors import ConfigurationError, DeadlineExceededError, TransportError
from enapter_async.limits.limiter import AdaptiveLimiter, Permit
from enapter_async.limits.pace import Pace
from enapter_async.limits.shared import Grant, SharedLimiter, SlotsAwayError
from enapter_async.limits.sqlite import SQLiteSlots
from tests.support.server import FaultServer


class Hands:
    """A clock that a test sets; a sleep ends once the clock is past its time."""

    def __init__(self) -> None:
        self.now = 100.0
        self._asleep: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.append((self.now + seconds, awake))
        await awake

    async def turn(self, seconds: float) -> None:
        self.now += seconds
        for each in [each for each in self._asleep if each[0] <= self.now + 1e-9]:
            self._asleep.remove(each)
            if not each[1].done():
                each[1].set_result(None)
        await settled()

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, sleep=self.sleep, uniform=lambda _, high: high)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@attrs.define
class Line:
    """A queue of slots in this process."""

    max_rate: float = 100.0
    away: str = ""
    begins_in: float = 0.0
    asked: list[int] = attrs.field(factory=list)
    pauses: list[float] = attrs.field(factory=list)
    refuse_s: float = 0.0

    async def take(self, number: int) -> Grant:
        self.asked.append(number)
        if self.away:
            raise SlotsAwayError(self.away)
        number = 0 if self.refuse_s else number
        return Grant(
            number=number, begins_in=self.refuse_s or self.begins_in, spacing=1 / self.max_rate
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def close(self) -> None:
        pass


@pytest.fixture
def hands() -> Hands:
    return Hands()


async def waiting(limiter: SharedLimiter, number: int) -> list["asyncio.Task[Permit]"]:
    calls = [asyncio.create_task(limiter.acquire()) for _ in range(number)]
    await settled()
    return calls


def done(tasks: list["asyncio.Task[Permit]"]) -> int:
    return sum(task.done() for task in tasks)


async def test_calls_start_in_their_slots_and_are_reserved_together(hands: Hands) -> None:
    line = Line()
    async with SharedLimiter(line, clock=hands.clock()) as limiter:
        calls = await waiting(limiter, 5)
        counts = [done(calls)]
        for _ in range(4):
            await hands.turn(0.01)
            counts.append(done(calls))
        assert counts == [1, 2, 3, 4, 5]
        assert sum(line.asked) == 5
        assert len(line.asked) <= 2
        assert limiter.pace().rate == 100
        assert "as declared" in str(limiter.pace())


async def test_processes_use_the_whole_cap_together_and_no_more(
    hands: Hands, tmp_path: Path
) -> None:
    rate, seconds, starts = 200.0, 3.0, list[float]()

    async def attempts(limiter: SharedLimiter) -> None:
        while True:
            permit = limiter.try_acquire() or await limiter.acquire()
            starts.append(hands.now)
            await hands.sleep(0.02)
            limiter.passed(permit)

    async with contextlib.AsyncExitStack() as stack:
        callers = []
        for _ in range(3):
            slots = SQLiteSlots(path=tmp_path / "limit.db", max_rate=rate, clock=hands.clock())
            limiter = await stack.enter_async_context(SharedLimiter(slots, clock=hands.clock()))
            callers += [asyncio.create_task(attempts(limiter)) for _ in range(8)]
        for _ in range(int(seconds / 0.002)):
            await hands.turn(0.002)
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
    in_a_second = [sum(begin <= each < begin + 1.0 for each in starts) for begin in starts]
    assert max(in_a_second) <= 1.02 * rate
    assert len(starts) >= 0.97 * rate * seconds


async def test_a_process_may_have_a_lower_rate_of_its_own(hands: Hands) -> None:
    own, ended = AdaptiveLimiter(Pacing(max_rate=20), hands.clock()), list[float]()

    async def call(limiter: SharedLimiter) -> None:
        limiter.passed(await limiter.acquire())
        ended.append(hands.now)

    async with (
        SharedLimiter(Line(), clock=hands.clock(), own=own) as one,
        SharedLimiter(Line(), clock=hands.clock(), own=own) as two,
    ):
        assert (one.pace().rate, one.pace().declared) == (20, True)
        calls = [asyncio.create_task(call(each)) for _ in range(30) for each in (one, two)]
        for _ in range(100):
            await hands.turn(0.01)
        assert 18 <= len(ended) <= 21
        for each in calls:
            each.cancel()
    await own.close()


async def test_a_process_that_wakes_up_late_does_not_send_what_it_missed(hands: Hands) -> None:
    line = Line()
    async with SharedLimiter(line, clock=hands.clock()) as limiter:
        calls = await waiting(limiter, 8)
        line.begins_in = 1.0
        await hands.turn(5.0)
        assert done(calls) == 1
        assert limiter.lost_slots == 7
        await hands.turn(1.0)
        assert done(calls) == 2
        for call in calls:
            call.cancel()


async def test_a_call_without_a_slot_asks_again_when_notified(hands: Hands) -> None:
    line = Line(refuse_s=0.25)
    async with SharedLimiter(line, clock=hands.clock()) as limiter:
        calls = await waiting(limiter, 1)
        await hands.turn(0.2)
        assert len(line.asked) == 1
        line.refuse_s = 0.0
        await hands.turn(0.06)
        assert (len(line.asked), done(calls)) == (2, 1)


async def test_a_pause_after_refusals_is_shared_and_ends_reserved_slots(hands: Hands) -> None:
    line = Line()
    paces: list[Pace] = []
    async with SharedLimiter(line, clock=hands.clock()) as limiter:
        limiter.watch(paces.append)
        attempts = await waiting(limiter, 6)
        for _ in range(6):
            await hands.turn(0.01)
        reserved = await waiting(limiter, 4)
        begun = done(reserved)
        assert begun < 4
        for attempt in attempts:
            limiter.refused(attempt.result(), 30.0)
        for _ in range(5):
            await hands.turn(0.01)
        limiter.refused(reserved[0].result(), 30.0)
        await settled()
        assert done(reserved) == begun, "a slot reserved before the pause was used in it"
        for call in reserved:
            call.cancel()
        assert line.pauses == [pytest.approx(30.0)]
        assert limiter.pace().paused_s == pytest.approx(30.0)
        assert paces[-1].paused_s > 0
        asked = len(line.asked)
        calls = await waiting(limiter, 3)
        await hands.turn(29.0)
        assert (len(line.asked), done(calls)) == (asked, 0)
        await hands.turn(1.1)
        assert done(calls) == 1
        for call in calls:
            call.cancel()


async def test_without_slots_nothing_is_sent_and_the_reason_is_shown(hands: Hands) -> None:
    line = Line(away="connection refused")
    paces: list[Pace] = []
    async with SharedLimiter(line, clock=hands.clock()) as limiter:
        limiter.watch(paces.append)
        calls = await waiting(limiter, 1)
        assert "connection refused" in str(limiter.pace())
        assert [pace.blocked for pace in paces] == [limiter.pace().blocked]
        line.away = ""
        await hands.turn(2.1)
        assert done(calls) == 1
        assert paces[-1].blocked == ""
        line.away = "connection refused"
        calls = await waiting(limiter, 2)
        for _ in range(460):
            await hands.turn(2.0)
        for call in calls:
            with pytest.raises(TransportError, match="connection refused; nothing was sent"):
                await call


async def test_a_call_without_slots_ends_at_its_deadline_with_the_reason(
    server: FaultServer,
) -> None:
    line = Line(away="connection refused")
    async with (
        SharedLimiter(line) as limiter,
        Client("t", base_url=server.base_url, limiter=limiter) as client,
    ):
        hasty = client.with_options(retry=RetryPolicy(deadline=0.05))
        with pytest.raises(DeadlineExceededError, match="shared limit cannot be reached"):
            await hasty.devices.get("dev-1")
        assert server.seen == []
        line.away = ""
        await client.devices.get("dev-1")
        assert server.seen == ["GET"]


def test_a_limiter_and_pacing_do_not_go_together() -> None:
    with pytest.raises(ConfigurationError, match="pass either limiter or pacing"):
        Client("t", limiter=SharedLimiter(Line()), pacing=Pacing(max_rate=5))
