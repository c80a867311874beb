"""How much a server bears: places and rates, alone and against a simulated server."""

import heapq
import random
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.fleet.pacing.adaptive_limits import FIRST, LEAST_RATE, Concurrency, Rate
from tests.fleet.ticking import Ticking


def full_round(places: Concurrency) -> None:
    for _ in range(places.limit):
        places.passed(places.limit)


def test_places_double_each_round_until_the_most() -> None:
    places = Concurrency(64)
    seen = [places.limit]
    for _ in range(4):
        full_round(places)
        seen.append(places.limit)
    assert seen == [8, 16, 32, 64, 64]


def test_after_a_loss_three_tenths_are_taken_and_a_round_adds_one() -> None:
    places = Concurrency(64)
    full_round(places)
    assert places.lost(places.epoch)
    assert places.limit == 11  # 0.7 * 16 = 11.2
    full_round(places)
    assert places.limit == 12


def test_losses_of_what_was_under_way_together_count_once() -> None:
    places = Concurrency(64)
    epoch = places.epoch
    assert [places.lost(epoch) for _ in range(64)] == [True] + [False] * 63
    assert places.limit == 5  # 0.7 * 8 = 5.6


def test_nothing_grows_while_the_places_are_not_used() -> None:
    places = Concurrency(64)
    for _ in range(1000):
        places.passed(3)
    assert places.limit == FIRST
    places.passed(4)
    assert places.limit == FIRST + 1


def test_after_an_outage_one_goes_first_then_twice_as_many_up_to_what_was() -> None:
    places = Concurrency(64)
    for _ in range(2):
        full_round(places)
    places.restart()
    seen = [places.limit]
    for _ in range(7):
        full_round(places)
        seen.append(places.limit)
    assert seen == [1, 2, 4, 8, 16, 23, 24, 25]  # doubled up to 0.7 * 32 = 22.4


@given(st.integers(1, 200), st.lists(st.booleans(), max_size=400))
def test_places_never_leave_their_bounds(most: int, good: list[bool]) -> None:
    places = Concurrency(most)
    for each in good:
        if each:
            places.passed(places.limit)
        else:
            places.lost(places.epoch)
        assert 1 <= places.limit <= most


def test_without_a_429_there_is_no_rate() -> None:
    clock = Ticking()
    rate = Rate(clock.monotonic)
    for _ in range(1000):
        rate.begin()
        rate.passed(clock.now)
        assert rate.wait() <= 0
    assert rate.per_second() is None


def throttled(rate: Rate, clock: Ticking, *, per_second: float, seconds: float) -> None:
    """Let so many answers come, then a 429 with a pause of one second, and that pause."""
    for _ in range(round(per_second * seconds)):
        clock.pass_by(1.0 / per_second)
        rate.begin()
        rate.passed(clock.now)
    rate.throttled(rate.epoch, 1.0)
    clock.pass_by(1.0)


def test_the_first_429_makes_a_rate_of_seven_tenths_of_what_was_measured() -> None:
    clock = Ticking()
    rate = Rate(clock.monotonic)
    throttled(rate, clock, per_second=100, seconds=10)
    assert rate.per_second() == pytest.approx(70, rel=0.02)


def test_a_pause_is_kept_and_not_made_up_for() -> None:
    clock = Ticking()
    rate = Rate(clock.monotonic)
    throttled(rate, clock, per_second=100, seconds=10)
    rate.throttled(rate.epoch, 30.0)
    assert rate.wait() == pytest.approx(30.0)
    clock.pass_by(60.0)
    waits = []
    for _ in range(5):
        waits.append(rate.wait())
        rate.begin()
    assert waits[0] <= 0
    assert all(wait > 0 for wait in waits[1:]), "others began at once after the pause"


def test_many_429s_of_one_moment_are_one_event() -> None:
    clock = Ticking()
    rate = Rate(clock.monotonic)
    throttled(rate, clock, per_second=100, seconds=10)
    epoch = rate.epoch
    assert [rate.throttled(epoch, 1.0) for _ in range(64)] == [True] + [False] * 63
    clock.pass_by(1.0)
    now = rate.per_second()
    assert now is not None
    assert now > 20, "a rate of 70 was taken back more than once"


def test_a_rate_that_nobody_uses_does_not_grow() -> None:
    clock = Ticking()
    rate = Rate(clock.monotonic)
    throttled(rate, clock, per_second=100, seconds=10)
    clock.pass_by(3600.0)
    assert rate.per_second() == pytest.approx(70, rel=0.02)


@given(
    st.lists(
        st.tuples(st.sampled_from(["pass", "throttle", "begin"]), st.floats(0, 5)), max_size=200
    )
)
def test_a_rate_is_never_less_than_the_least(steps: list[tuple[str, float]]) -> None:
    clock = Ticking()
    rate = Rate(clock.monotonic)
    for what, seconds in steps:
        clock.pass_by(seconds)
        if what == "pass":
            rate.passed(clock.now)
        elif what == "begin":
            rate.begin()
        else:
            rate.throttled(rate.epoch, seconds)
        now = rate.per_second()
        assert now is None or now >= LEAST_RATE


JITTER: Final = 0.0005


@attrs.define
class Bucket:
    """A server that allows `rate` requests a second, and `burst` saved up."""

    rate: float
    burst: float
    tokens: float = attrs.field(init=False)
    at: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.tokens = self.burst

    def allows(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@attrs.frozen
class Told:
    """What a simulated job needed."""

    seconds: float
    requests: int


def simulate(count: int, server: Bucket, *, latency: float, asked: int | None, seed: int) -> Told:
    """Run a job of `count` operations in simulated time, one request after the other.

    `asked` is the Retry-After of each 429; without it the pause is drawn as the client does.
    A refused request is sent again after the pause, as a client does.
    """
    chance = random.Random(seed)
    clock = Ticking(now=0.0)
    places, rate = Concurrency(64), Rate(clock.monotonic)
    under_way: list[tuple[float, int, int, int]] = []
    left, done, requests, paused_until = count, 0, 0, 0.0
    while done < count:
        until = max(paused_until, clock.now + rate.wait())
        if left and len(under_way) < places.limit and until <= clock.now:
            left -= 1
            requests += 1
            rate.begin()
            heapq.heappush(under_way, (clock.now + latency, requests, rate.epoch, places.epoch))
            continue
        may_begin = left and len(under_way) < places.limit
        if may_begin and (not under_way or until < under_way[0][0]):
            clock.now = max(clock.now, until) + chance.random() * JITTER
            continue
        clock.now, _, rate_epoch, places_epoch = heapq.heappop(under_way)
        if server.allows(clock.now):
            done += 1
            rate.passed(clock.now)
            places.passed(len(under_way) + 1)
            continue
        left += 1
        pause = chance.uniform(0, 1)
        if asked is not None:
            pause = asked + chance.uniform(0, min(5.0, 0.25 * asked + 0.5))
        paused_until = max(paused_until, clock.now + pause)
        rate.throttled(rate_epoch, paused_until - clock.now)
        places.lost(places_epoch)
    return Told(clock.now, requests)


@pytest.mark.parametrize("asked", [None, 1])
@pytest.mark.parametrize("seed", range(5))
def test_a_job_finds_the_rate_of_its_server(asked: int | None, seed: int) -> None:
    told = simulate(2000, Bucket(50, 10), latency=0.002, asked=asked, seed=seed)
    ideal = (2000 - 10) / 50
    assert told.requests <= 1.1 * 2000
    assert told.seconds <= 1.2 * ideal


@pytest.mark.parametrize("rate", [5, 500])
def test_a_job_finds_slow_and_fast_servers_too(rate: int) -> None:
    count = rate * 60
    told = simulate(count, Bucket(rate, 10), latency=0.002, asked=None, seed=1)
    assert told.requests <= 1.1 * count
    assert told.seconds <= 1.35 * count / rate
