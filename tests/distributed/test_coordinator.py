"""The next step of a job, decided only from counts."""

from typing import Any

import pytest

from enapter_async.fleet.distributed.coordinator import (
    Begin,
    End,
    Hold,
    Position,
    Step,
    Stop,
    Wait,
    WaveCounts,
    is_wave_refused,
    next_step,
    without_reason,
)
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.rollout.abort import AbortCriterion
from enapter_async.fleet.rollout.waves import Rollout

STAGED = Rollout(waves=(1, 10, 100, "rest"), hold=60.0)
CRITERION = AbortCriterion(failure_type="all", threshold_percentage=5.0, min_executed=50)


def wave(number: int, *, open: int = 0, **counts: int) -> WaveCounts:  # noqa: A002 - as the field
    states = {State(name): count for name, count in counts.items()}
    return WaveCounts(wave=number, partitions=2, open=open, size=10, counts=states)


def judged(number: int, executed: int, failed: int, **fields: Any) -> WaveCounts:
    counts = {"executed": executed, "failed": failed}
    return WaveCounts(wave=number, open=1, judged=counts, **fields)


def step(
    waves: list[WaveCounts],
    at: int,
    *,
    rollout: Rollout | None = STAGED,
    **position: Any,
) -> Step:
    where = Position(wave=at, now=position.pop("now", 1000.0), **position)
    return next_step(waves, where, rollout=rollout, criteria=(CRITERION,))


def test_a_job_begins_with_its_first_wave_and_without_a_hold() -> None:
    assert step([wave(0, open=1), wave(1, open=2)], -1) == Begin(0)


def test_a_wave_waits_for_every_partition_before_it() -> None:
    assert step([wave(0, applied=10, open=1), wave(1, open=2)], 0) == Wait()


def test_the_hold_comes_between_two_waves() -> None:
    waves = [wave(0, applied=10), wave(1, open=2)]
    assert step(waves, 0) == Hold(60.0)
    assert step(waves, 0, hold_until=1001.0) == Wait()
    assert step(waves, 0, hold_until=1000.0) == Begin(1)
    assert step(waves, 0, rollout=Rollout(waves=(1, "rest"))) == Begin(1)


def test_after_the_last_wave_it_ends() -> None:
    assert step([wave(0, applied=10), wave(1, unchanged=4, absent=6)], 1) == End()
    assert step([], -1, rollout=None) == End()


@pytest.mark.parametrize("bad", ["failed", "unknown", "differs", "held"])
def test_a_fault_in_the_first_two_waves_stops_it(bad: str) -> None:
    faulty = {"applied": 9, bad: 1}
    for number in (0, 1):
        waves = [wave(each, applied=10) for each in range(number)]
        found = step([*waves, wave(number, **faulty), wave(number + 1, open=1)], number)
        assert isinstance(found, Stop)
        assert f"wave {number + 1} did not pass" in found.why
        assert f"1 {bad}" in found.why
    later = [wave(0, applied=10), wave(1, applied=10), wave(2, **faulty), wave(3, open=1)]
    assert step(later, 2, hold_until=0.0) == Begin(3)
    first = [wave(0, **faulty), wave(1, open=1)]
    assert step(first, 0, hold_until=0.0, accepted=True) == Begin(1)
    assert step([wave(0, **faulty)], 0) == End(), "nothing follows the last wave"


def test_the_failures_of_all_workers_stop_it_together() -> None:
    assert step([judged(0, 30, 1), judged(1, 30, 1)], 1, rollout=None) == Wait()
    found = step([judged(0, 30, 1), judged(1, 30, 2)], 1, rollout=None)
    assert isinstance(found, Stop)
    assert "3 of 60 operations of all workers ended" in found.why


def test_a_partition_that_no_worker_can_carry_out_stops_it() -> None:
    assert step([judged(0, 0, 0, failures=2)], 0, rollout=None) == Wait()
    found = step([judged(0, 0, 0, failures=3, why="TLSError: no")], 0, rollout=None)
    assert found == Stop("a partition was returned 3 times: TLSError: no")


def test_a_stop_is_shown_in_a_browser_without_the_text_of_an_error() -> None:
    text = "ServerError: HTTP 500: what the server said"
    given_back = step([WaveCounts(wave=0, open=1, failures=3, why=text)], 0)
    assert isinstance(given_back, Stop)
    assert text in given_back.why
    assert without_reason(given_back.why) == "a partition was returned 3 times"
    assert without_reason("ann: not today") == "ann: not today"
    assert not is_wave_refused(given_back.why)
    not_passed = step([wave(0, failed=1), wave(1, open=2)], 0)
    assert isinstance(not_passed, Stop)
    assert is_wave_refused(not_passed.why)
