"""The queue in front of the limiter: without a server, on a clock that stands still."""

import asyncio
from collections.abc import Callable

import pytest

from enapter_async.clock import Clock
from enapter_async.limits.limiter import AdaptiveLimiter, Permit, own_delay
from enapter_async.limits.pacing import Pacing


class Hands:
    """A clock that advances only by its sleeps, which take no time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, sleep=self.sleep, uniform=lambda _, high: high)


@pytest.fixture
def hands() -> Hands:
    return Hands()


Make = Callable[..., AdaptiveLimiter]


@pytest.fixture
def make(hands: Hands) -> Make:
    return lambda **pacing: AdaptiveLimiter(Pacing(**pacing), hands.clock())


async def turned(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def granted(limiter: AdaptiveLimiter) -> Permit:
    permit = limiter.try_acquire()
    assert permit is not None
    return permit


async def test_no_more_are_granted_than_may_be_in_flight(make: Make) -> None:
    limiter = make(max_in_flight=2)
    first, _ = granted(limiter), granted(limiter)
    assert limiter.try_acquire() is None
    third = asyncio.create_task(limiter.acquire())
    await turned()
    assert not third.done()
    limiter.passed(first)
    await turned()
    assert third.done()
    assert limiter.in_flight == 2
    assert limiter.try_acquire() is None


async def test_no_call_overtakes_the_queue(make: Make) -> None:
    limiter = make(max_in_flight=1)
    permit = granted(limiter)
    order: list[str] = []

    async def come(name: str, *, again: bool = False) -> None:
        held = await limiter.acquire(again=again)
        order.append(name)
        limiter.passed(held)

    waiting = [asyncio.create_task(come("first")), asyncio.create_task(come("second"))]
    await turned()
    waiting.append(asyncio.create_task(come("refused before", again=True)))
    await turned()
    limiter.passed(permit)
    assert limiter.try_acquire() is None
    await asyncio.gather(*waiting)
    assert order == ["refused before", "first", "second"]
    assert limiter.in_flight == 0


@pytest.mark.parametrize("granted_already", [False, True], ids=["waiting", "just-granted"])
async def test_a_cancelled_call_leaves_its_place_to_the_next(
    make: Make, *, granted_already: bool
) -> None:
    limiter = make(max_in_flight=1)
    permit = granted(limiter)
    one, two = (asyncio.create_task(limiter.acquire()) for _ in range(2))
    await turned()
    if granted_already:
        limiter.passed(permit)
        one.cancel()
    else:
        one.cancel()
        await turned()
        limiter.passed(permit)
    limiter.passed(await two)
    assert one.cancelled()
    assert limiter.in_flight == 0


async def test_requests_are_evenly_spaced_and_lost_time_is_not_made_up_for(
    make: Make, hands: Hands
) -> None:
    limiter = make(max_rate=10.0)
    limiter.passed(granted(limiter))
    for _ in range(4):
        limiter.passed(await limiter.acquire())
    assert hands.slept == [pytest.approx(0.1)] * 4
    hands.now += 10.0
    limiter.passed(granted(limiter))
    assert limiter.try_acquire() is None


async def test_a_waiting_call_sleeps_through_a_pause(make: Make, hands: Hands) -> None:
    limiter = make()
    for permit in [granted(limiter) for _ in range(6)]:
        limiter.refused(permit, 7.0)
    assert limiter.pace().paused_s == 7.0
    limiter.passed(await limiter.acquire())
    assert hands.slept == [7.0]
    assert limiter.pace().paused_s == 0.0


async def test_many_cancelled_waiters_cost_little_time(make: Make) -> None:
    limiter = make(max_in_flight=1)
    permit = granted(limiter)
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(5000)]
    await turned()
    for each in waiting[:-1]:
        each.cancel()
    limiter.passed(permit)
    limiter.passed(await waiting[-1])
    assert limiter.in_flight == 0


async def test_a_closed_limiter_sleeps_no_more(make: Make) -> None:
    limiter = make(max_rate=1.0)
    granted(limiter)
    waiting = asyncio.create_task(limiter.acquire())
    await turned(1)
    await limiter.close()
    assert len(asyncio.all_tasks()) == 2  # this task and the waiting one
    waiting.cancel()


@pytest.mark.parametrize(
    ("times", "retry_after", "longest"),
    [(1, None, 0.1), (2, None, 0.2), (5, None, 1.6), (60, None, 20.0), (1, 3.0, 3.1)],
)
def test_an_operations_own_delay_doubles_above_retry_after(
    hands: Hands, times: int, retry_after: float | None, longest: float
) -> None:
    assert own_delay(hands.clock(), times, retry_after) == pytest.approx(longest)
