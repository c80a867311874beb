"""Unit tests of the retry budget and the breaker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.fleet.circuit_breaker import RESERVE, Breaker, RetryBudget
from tests.fleet.ticking import Ticking
from tests.support.clock import upper


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


@pytest.fixture
def breaker(ticking: Ticking) -> Breaker:
    return Breaker(ticking.monotonic, upper)


def test_a_hundred_retries_at_once_are_free_and_then_ten_a_second(ticking: Ticking) -> None:
    budget = RetryBudget(ticking.monotonic)
    for _ in range(100):
        budget.retried()
    assert budget.wait() <= 0
    for _ in range(25):
        budget.retried()
    assert budget.wait() == pytest.approx(2.5)
    ticking.pass_by(2.5)
    assert budget.wait() == pytest.approx(0)


def test_one_retry_for_five_operations_is_always_allowed(ticking: Ticking) -> None:
    budget = RetryBudget(ticking.monotonic)
    for _ in range(10_000):
        for _ in range(5):
            budget.began()
        budget.retried()
        assert budget.wait() <= 1e-9


@given(st.lists(st.sampled_from(["began", "retried", "later"]), max_size=300))
def test_the_budget_never_exceeds_its_reserve(steps: list[str]) -> None:
    ticking = Ticking()
    budget = RetryBudget(ticking.monotonic)
    for step in steps:
        if step == "later":
            ticking.pass_by(100)
        else:
            getattr(budget, step)()
        assert budget.wait() >= -RESERVE / 10


def test_ten_attempts_without_a_connection_open_it_and_nine_do_not(
    breaker: Breaker, ticking: Ticking
) -> None:
    assert not any(breaker.unanswered(0, sent=False) for _ in range(9))
    breaker.answered(0, ticking.now)
    assert not any(breaker.unanswered(0, sent=False) for _ in range(9))
    assert breaker.unanswered(0, sent=False)
    assert breaker.is_open


def test_ten_failures_of_twenty_open_it(breaker: Breaker, ticking: Ticking) -> None:
    for number in range(19):
        assert not breaker.is_open
        if number % 2:
            breaker.answered(0, ticking.now)
        else:
            breaker.unanswered(0, sent=True)
    breaker.answered(0, ticking.now)  # the tenth success of twenty: half of them failed
    assert not breaker.is_open, "a success does not open it"
    breaker.unanswered(0, sent=True)
    assert breaker.is_open


def test_scattered_failures_do_not_open_it(breaker: Breaker, ticking: Ticking) -> None:
    for _ in range(200):
        ticking.pass_by(1.0)
        assert not breaker.unanswered(0, sent=True)


def test_only_a_probe_closes_it(breaker: Breaker, ticking: Ticking) -> None:
    early = breaker.epoch
    assert breaker.open()
    assert not breaker.open()
    assert not breaker.answered(early, ticking.now), "an attempt from before the outage"
    assert breaker.probe_at == ticking.now + 1.0, "randomness is at its maximum"
    ticking.pass_by(1.0)
    due = [breaker.probe_due]
    breaker.probe()
    due.append(breaker.probe_due)
    assert due == [True, False], "one probe at a time"
    assert breaker.answered(breaker.epoch, ticking.now)
    assert not breaker.is_open


def test_each_failed_probe_doubles_the_time_up_to_a_minute(
    breaker: Breaker, ticking: Ticking
) -> None:
    breaker.open()
    waits = []
    for _ in range(9):
        waits.append(breaker.probe_at - ticking.now)
        ticking.now = breaker.probe_at
        breaker.probe()
        breaker.unanswered(breaker.epoch, sent=False)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    breaker.probe()
    breaker.answered(breaker.epoch, ticking.now)
    breaker.open()
    assert breaker.probe_at - ticking.now == 1.0
