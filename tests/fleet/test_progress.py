"""The remaining time of a run: reported only once it can be estimated."""

import pytest

from enapter_async.fleet.progress import Estimate
from tests.fleet.ticking import Ticking


def test_there_is_no_estimate_before_thirty_seconds_of_unpaused_work() -> None:
    ticking = Ticking()
    estimate = Estimate(ticking.monotonic)
    estimate.advance(290)
    ticking.pass_by(29)
    assert estimate.left(100) is None
    estimate.pause()
    estimate.pause()
    ticking.pass_by(3600)
    assert estimate.left(100) is None
    estimate.go_on()
    estimate.go_on()
    ticking.pass_by(1)
    estimate.advance(10)
    assert estimate.worked() == 30
    assert estimate.left(100) == pytest.approx(10)  # 300 in 30 s are ten a second


def test_there_is_no_estimate_while_nothing_is_done() -> None:
    ticking = Ticking()
    estimate = Estimate(ticking.monotonic)
    ticking.pass_by(100)
    assert estimate.left(1) is None


def test_the_pace_is_that_of_the_last_minute() -> None:
    ticking = Ticking()
    estimate = Estimate(ticking.monotonic)
    for _ in range(600):
        ticking.pass_by(1)
        estimate.advance(100)
    for _ in range(70):
        ticking.pass_by(1)
        estimate.advance(10)
    assert estimate.left(100) == pytest.approx(10)
