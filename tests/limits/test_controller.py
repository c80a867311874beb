"""The state machine of the limiter: what it allows, and what it learns."""

import math
from collections import deque
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.limits.cohorts import Cohort
from enapter_async.limits.controller import (
    CUT,
    FREEZE_S,
    LOWEST_RATE,
    MOST_BASE,
    Controller,
)
from enapter_async.limits.places import AFTER_PAUSE, FIRST

LATENCY_S = 0.02


@attrs.define
class Desk:
    """Begins attempts as fast as allowed, at most `workers`, and ends each after 20 ms.

    `answers` decides for each attempt, by its number, whether it passes; a number is Retry-After.
    """

    answers: Callable[[int], bool | float]
    controller: Controller
    workers: int = 64
    now: float = 1000.0
    number: int = 0
    passed: int = 0
    began: list[float] = attrs.Factory(list)
    _flying: deque[tuple[float, Cohort, bool | float]] = attrs.Factory(deque)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            opens_at = self.controller.opens_at(self.now)
            if opens_at <= self.now and len(self._flying) < self.workers:
                self.began.append(self.now)
                cohort = self.controller.begin(self.now)
                self._flying.append((self.now + LATENCY_S, cohort, self.answers(self.number)))
                self.number += 1
                continue
            ends_at = self._flying[0][0] if self._flying else math.inf
            opens_at = opens_at if len(self._flying) < self.workers else math.inf
            self.now = min(end, ends_at, max(self.now, opens_at))
            if self._flying and ends_at <= self.now:
                self._end_first()

    def _end_first(self) -> None:
        _, cohort, answer = self._flying.popleft()
        if answer is True:
            self.passed += 1
            self.controller.passed(cohort, self.now)
        else:
            told = answer if isinstance(answer, float) and answer else None
            self.controller.refused(cohort, self.now, told)


def controller(*, max_in_flight: int = 100, max_rate: float | None = None) -> Controller:
    return Controller(
        max_in_flight=max_in_flight, max_rate=max_rate, uniform=lambda low, high: (low + high) / 2
    )


def every(nth: int) -> Callable[[int], bool]:
    return lambda number: number % nth != nth - 1


def test_without_a_refusal_places_grow_and_there_is_no_rate() -> None:
    desk = Desk(lambda _: True, controller())
    assert desk.controller.pace(desk.now).in_flight == FIRST
    desk.run(2.0)
    pace = desk.controller.pace(desk.now)
    assert (pace.rate, pace.refused, pace.in_flight) == (None, 0, 100)
    assert str(pace) == "nothing limits the rate"


@pytest.mark.parametrize("nth", [100, 20, 10, 5])
def test_random_refusals_slow_nothing_down_for_long(nth: int) -> None:
    desk = Desk(every(nth), controller())
    desk.run(4.0)
    before = desk.passed
    desk.run(4.0)
    # 64 at once, 20 ms each: 3,200 a second, of which every nth is refused.
    assert desk.passed - before > 0.85 * 4.0 * 3200 * (1 - 1 / nth)


def test_more_refusals_than_chance_explains_cut_the_rate_to_what_was_accepted() -> None:
    desk = Desk(lambda number: number < 2000 or number % 3 == 0, controller())
    desk.run(1.2)
    rate = desk.controller.pace(desk.now).rate
    assert rate is not None
    assert rate < 3200 / 3 * 1.3
    assert MOST_BASE < 2 / 3


def test_a_verdict_of_chance_is_withdrawn_if_more_is_refused_at_the_restored_rate() -> None:
    desk = Desk(every(10), controller())
    for _ in range(400):
        desk.run(0.01)
        if desk.controller._claimed:
            break
    assert 0.0 < desk.controller._base <= MOST_BASE
    desk.answers = lambda number: number % 3 == 0
    desk.run(1.0)
    assert desk.controller._base == 0.0


def bucket(rate: float, desk: Callable[[], Desk]) -> Callable[[int], bool]:
    tokens = [1.0, 1000.0]

    def take(_: int) -> bool:
        now = desk().now
        tokens[0] = min(1.0 + rate / 10, tokens[0] + (now - tokens[1]) * rate)
        tokens[1] = now
        if tokens[0] >= 1.0:
            tokens[0] -= 1.0
            return True
        return False

    return take


@pytest.mark.parametrize("rate", [10.0, 50.0, 1000.0])
def test_the_rate_of_a_server_is_found_and_used(rate: float) -> None:
    desk = Desk(bucket(rate, lambda: desk), controller())
    desk.run(10.0)
    before, sent = desk.passed, desk.number
    desk.run(30.0)
    assert desk.passed - before > 0.9 * 30 * rate
    assert (desk.number - sent) / (desk.passed - before) < 1.15
    assert "the server refused" in str(desk.controller.pace(desk.now))


def test_a_run_of_refusals_pauses_everything_until_calls_in_flight_end() -> None:
    machine = controller()
    flying = [machine.begin(1000.0) for _ in range(7)]
    for each in flying[:6]:
        machine.refused(each, 1000.1, None)
    assert machine.opens_at(1000.1) == 1000.1 + FREEZE_S
    machine.passed(flying[6], 1000.2)
    assert machine.opens_at(1000.2) <= 1000.2 + 1.0 / LOWEST_RATE


@pytest.mark.parametrize(("told", "seconds"), [(None, 0.375), (7.0, 7.0), (1e10, 900.0)])
def test_total_refusal_is_a_pause_and_then_one_probe(told: float | None, seconds: float) -> None:
    machine = controller()
    for each in [machine.begin(1000.0) for _ in range(8)]:
        machine.refused(each, 1000.0, told)
    assert machine.opens_at(1000.0) == 1000.0 + seconds
    assert machine.pace(1000.0).paused_s == seconds
    assert "paused for" in str(machine.pace(1000.0))
    probe = machine.begin(1000.0 + seconds)
    assert machine.opens_at(1000.0 + seconds) == math.inf
    machine.passed(probe, 1001.0 + seconds)
    pace = machine.pace(1001.0 + seconds)
    assert (pace.paused_s, pace.in_flight) == (0.0, AFTER_PAUSE)


def test_pauses_double_while_everything_is_refused() -> None:
    machine = controller()
    for each in [machine.begin(1000.0) for _ in range(8)]:
        machine.refused(each, 1000.0, None)
    now, pauses = 1000.0, []
    for _ in range(7):
        pauses.append(machine.opens_at(now) - now)
        now = machine.opens_at(now)
        machine.refused(machine.begin(now), now, None)
    assert pauses == [pytest.approx(each) for each in (0.375, 0.75, 1.5, 3.0, 6.0, 6.0, 6.0)]


def test_a_cancelled_probe_lets_another_start() -> None:
    machine = controller()
    for each in [machine.begin(1000.0) for _ in range(8)]:
        machine.refused(each, 1000.0, 5.0)
    machine.dropped(machine.begin(1005.0), 1005.0)
    assert machine.opens_at(1005.0) <= 1006.0


def test_hanging_requests_freeze_others_for_a_bounded_time() -> None:
    machine = controller()
    flying = [machine.begin(1000.0) for _ in range(8)]
    for each in flying[1:]:
        machine.refused(each, 1000.0, None)
    assert machine.opens_at(1001.0) == 1000.0 + FREEZE_S
    # Nothing has passed, so this is a pause, as if every request had ended.
    assert machine.opens_at(1000.0 + FREEZE_S) == 1000.0 + FREEZE_S + 0.375


def test_losses_leave_fewer_places_but_count_once() -> None:
    machine = controller()
    flying = [machine.begin(1000.0) for _ in range(8)]
    for each in flying:
        machine.lost(each, 1001.0)
    assert machine.pace(1001.0).in_flight == math.floor(FIRST * 0.7)


def test_the_learned_rate_is_forgotten_after_a_long_rest() -> None:
    desk = Desk(bucket(10.0, lambda: desk), controller())
    desk.run(20.0)
    assert desk.controller.pace(desk.now).rate is not None
    desk.controller.begin(desk.now + 100.0)
    assert desk.controller.pace(desk.now + 100.0).rate is None


def test_a_declared_rate_is_reported_as_such() -> None:
    machine = controller(max_rate=47.0)
    assert str(machine.pace(1000.0)) == "47/s, as declared by max_rate"
    assert CUT < 1.0


def in_each_second(began: list[float]) -> int:
    """Return the most attempts that began within any one second."""
    return max(
        sum(1 for other in began[number:] if other < start + 1.0)
        for number, start in enumerate(began)
    )


STEPS = st.one_of(
    st.just("begin"),
    st.tuples(st.sampled_from(["passed", "refused", "dropped", "lost"]), st.integers(0, 99)),
    st.sampled_from([0.0, 0.0005, 0.003, 0.05, 0.4, 2.5]),
)


@given(
    steps=st.lists(STEPS, max_size=150),
    most=st.integers(1, 12),
    rate=st.sampled_from([None, 3.0, 40.0, 900.0]),
    told=st.sampled_from([None, 0.0, 1.0, 30.0]),
)
def test_whatever_happens_the_bounds_hold_and_requests_start_eventually(
    steps: list[str | tuple[str, int] | float], most: int, rate: float | None, told: float | None
) -> None:
    machine = controller(max_in_flight=most, max_rate=rate)
    now, flying, began = 1000.0, list[Cohort](), list[float]()
    for step in steps:
        if isinstance(step, float):
            now += step
        elif step == "begin":
            if machine.opens_at(now) <= now:
                began.append(now)
                flying.append(machine.begin(now))
        elif flying and not isinstance(step, str):
            how, index = step
            cohort = flying.pop(index % len(flying))
            if how == "refused":
                machine.refused(cohort, now, told)
            else:
                getattr(machine, how)(cohort, now)
        assert machine.in_flight == len(flying) <= most
        opens_at = machine.opens_at(now)
        assert opens_at < now + 60.0 or flying, "nothing is in flight, and nothing may ever begin"
    for cohort in flying:
        machine.dropped(cohort, now)
    assert machine.in_flight == 0
    assert machine.opens_at(now) < now + 60.0
    if rate is not None and began:
        assert in_each_second(began) <= 1.02 * rate + 1
