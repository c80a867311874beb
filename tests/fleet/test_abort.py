"""When a run stops itself: shares, minimum counts, and the outcomes that count at all."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.errors import (
    AmbiguousOutcomeError,
    Attempt,
    Certainty,
    ConfigurationError,
    DeadlineExceededError,
    EnapterError,
    ResponseError,
    ResultLostError,
)
from enapter_async.fleet.errors import RunAbortedError
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.rollout.abort import (
    DEFAULT_ABORT,
    AbortCriterion,
    AbortJudge,
    check_criteria,
    parse_criterion,
)
from tests.fleet.callers import refusal, rename

BAD = (State.DIFFERS, State.FAILED, State.UNKNOWN)
STATES = st.sampled_from(list(State))


def ended(state: State, error: EnapterError | None = None) -> Outcome[Any]:
    return Outcome(operation=rename("d"), state=state, error=error)


def judged(judge: AbortJudge, *states: State) -> list[RunAbortedError | None]:
    return [judge.judge(ended(state)) for state in states]


def test_the_default_is_five_percent_of_fifty_and_one_percent_unknown_of_twenty() -> None:
    assert [
        (each.failure_type, each.threshold_percentage, each.min_executed) for each in DEFAULT_ABORT
    ] == [("all", 5.00, 50), ("unknown", 1.00, 20)]


def test_nothing_is_judged_before_the_minimum_count() -> None:
    judge = AbortJudge(DEFAULT_ABORT)
    assert judged(judge, *[State.FAILED] * 49) == [None] * 49
    (error,) = judged(judge, State.FAILED)
    assert isinstance(error, RunAbortedError)
    assert "50 of 50" in str(error)


def test_reaching_a_share_stops_and_staying_below_does_not() -> None:
    judge = AbortJudge(DEFAULT_ABORT)
    assert judged(judge, *[State.FAILED] * 2, *[State.APPLIED] * 58) == [None] * 60
    (error,) = judged(judge, State.FAILED)  # 3 of 61 are 4.9 %
    assert error is None
    judge = AbortJudge(DEFAULT_ABORT)
    states = [State.FAILED] * 2 + [State.APPLIED] * 57 + [State.FAILED]  # 3 of 60 are 5 %
    assert [error is not None for error in judged(judge, *states)] == [False] * 59 + [True]


def test_one_unknown_of_twenty_is_too_many_and_one_of_101_is_not() -> None:
    judge = AbortJudge(DEFAULT_ABORT)
    errors = judged(judge, *[State.APPLIED] * 19, State.UNKNOWN)
    assert errors[:19] == [None] * 19
    assert errors[19] is not None
    assert "1 of 20 operations ended as unknown" in str(errors[19])
    assert judged(AbortJudge(DEFAULT_ABORT), *[State.APPLIED] * 100, State.UNKNOWN)[-1] is None


def test_operations_that_were_not_executed_do_not_count() -> None:
    judge = AbortJudge(DEFAULT_ABORT)
    idle = [State.ABSENT, State.UNCHANGED, State.HELD] * 1000
    assert judged(judge, *idle, *[State.FAILED] * 49, *idle) == [None] * 6049
    assert judge.executed == 49
    assert judged(judge, State.APPLIED)[0] is not None  # 49 of 50


def test_timeouts_can_be_counted_separately() -> None:
    judge = AbortJudge((AbortCriterion(failure_type="timed_out", threshold_percentage=50.0),))
    assert judge.judge(ended(State.FAILED, refusal())) is None
    assert judge.judge(ended(State.FAILED, DeadlineExceededError("late"))) is not None


def lost(kind: str) -> tuple[Attempt, ...]:
    return (Attempt(number=1, certainty=Certainty.MAYBE, error_type=kind, elapsed=0.1),)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (State.FAILED, ResponseError("no JSON")),
        (State.UNKNOWN, ResultLostError("lost", attempts=lost("ResponseError"))),
        (State.UNKNOWN, AmbiguousOutcomeError("a portal", attempts=lost("ResponseError"))),
        (State.UNKNOWN, AmbiguousOutcomeError("mixed", attempts=lost("ResponseMismatchError"))),
    ],
)
def test_three_unusable_answers_of_the_first_ten_stop_without_any_criterion(
    state: State, error: EnapterError
) -> None:
    judge = AbortJudge(())
    judged(judge, *[State.APPLIED] * 7)
    assert judge.judge(ended(state, error)) is None
    assert judge.judge(ended(state, error)) is None
    assert judge.judge(ended(state, error)) is not None
    judge = AbortJudge(())
    judged(judge, *[State.APPLIED] * 8)
    assert [judge.judge(ended(state, error)) for _ in range(5)] == [None] * 5


@pytest.mark.parametrize(
    ("kinds", "stopped"),
    [(("ResponseError", "ReadTimeout"), False), (("ReadTimeout", "ResponseError"), True)],
)
def test_the_last_attempt_decides_whether_an_answer_was_unusable(
    kinds: tuple[str, ...], stopped: bool
) -> None:
    attempts = tuple(attempt for kind in kinds for attempt in lost(kind))
    error = AmbiguousOutcomeError("lost", attempts=attempts)
    judge = AbortJudge(())
    errors = [judge.judge(ended(State.UNKNOWN, error)) for _ in range(3)]
    assert (errors[-1] is not None) is stopped


def test_other_failures_are_not_unusable_answers() -> None:
    judge = AbortJudge(())
    errors = [refusal(), AmbiguousOutcomeError("lost", attempts=lost("ServerDisconnectedError"))]
    assert [judge.judge(ended(State.FAILED, error)) for error in errors * 5] == [None] * 10


@given(
    states=st.lists(STATES, max_size=120),
    hundredths=st.integers(1, 10_000),
    least=st.integers(1, 60),
    kind=st.sampled_from(["all", "failed", "unknown", "differs"]),
)
def test_a_criterion_is_met_exactly_as_its_fractions_say(
    states: list[State], hundredths: int, least: int, kind: Any
) -> None:
    criterion = AbortCriterion(
        failure_type=kind, threshold_percentage=hundredths / 100, min_executed=least
    )
    judge = AbortJudge((criterion,))
    counted = {"all": BAD}.get(kind, (kind,))
    executed = failures = 0
    for state in states:
        error = judge.judge(ended(state))
        if state not in (State.APPLIED, *BAD):
            assert error is None
            continue
        executed += 1
        failures += state in counted
        share = Fraction(failures, executed)
        assert (error is not None) == (executed >= least and share >= Fraction(hundredths, 10_000))


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold_percentage": 0},
        {"threshold_percentage": -1},
        {"threshold_percentage": 100.01},
        {"threshold_percentage": float("nan")},
        {"threshold_percentage": 0.001},
        {"threshold_percentage": 5.0, "min_executed": 0},
        {"threshold_percentage": 5.0, "min_executed": True},
        {"threshold_percentage": 5.0, "failure_type": "rejected"},
    ],
)
def test_a_wrong_criterion_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AbortCriterion(**wrong)


def test_none_means_no_criteria_and_one_may_stand_alone() -> None:
    assert check_criteria(None) == ()
    assert check_criteria(DEFAULT_ABORT[0]) == DEFAULT_ABORT[:1]
    assert check_criteria(list(DEFAULT_ABORT)) == DEFAULT_ABORT
    with pytest.raises(ConfigurationError):
        check_criteria([0.05])


def test_a_criterion_is_read_as_the_command_line_writes_it() -> None:
    assert parse_criterion("all:5%:50") == DEFAULT_ABORT[0]
    assert parse_criterion("unknown:1.00:20") == DEFAULT_ABORT[1]
    assert parse_criterion("timed-out:2.5%") == AbortCriterion(
        failure_type="timed_out", threshold_percentage=2.5, min_executed=1
    )
    for wrong in ("", "all", "all:x", "all:5:x", "some:5"):
        with pytest.raises(ConfigurationError):
            parse_criterion(wrong)


def test_the_extremes_of_a_criterion_are_accepted() -> None:
    assert AbortCriterion(threshold_percentage=100, min_executed=1).met(1, 1)
    assert AbortCriterion(threshold_percentage=0.01).met(10_000, 1)
    assert not AbortCriterion(threshold_percentage=0.01).met(10_001, 1)
    assert AbortCriterion(threshold_percentage=5.0).min_executed == 1
    assert AbortCriterion(threshold_percentage=5.0).failure_type == "all"
    assert AbortCriterion(threshold_percentage=99.99).met(10_000, 9_999)
    with pytest.raises(ConfigurationError, match="two decimals"):
        AbortCriterion(threshold_percentage=99.995)
    with pytest.raises(TypeError):
        AbortCriterion("all")  # type: ignore[call-arg]  # what is wrong is the point
