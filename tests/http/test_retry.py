"""When a call is repeated, and after what delay: the rules, without a server."""

from typing import Any

import pytest

from enapter_async._http.message import Failure
from enapter_async._http.retry import RetryPolicy, backoff, drive, may_repeat, settle_reserve
from enapter_async.errors import Certainty, ConfigurationError, TransportError
from enapter_async.operation import Repeat, Settles

N, R, M, A = Certainty.NOT_SENT, Certainty.REFUSED, Certainty.MAYBE, Certainty.APPLIED


def failure(certainty: Certainty, **more: Any) -> Failure:
    return Failure(certainty=certainty, error=TransportError("lost"), kind="Lost", **more)


def upper(_low: float, high: float) -> float:
    return high


def lower(low: float, _high: float) -> float:
    return low


@pytest.mark.parametrize(
    ("repeat", "certainty", "expected"),
    [
        (Repeat.READ, N, True),
        (Repeat.READ, R, True),
        (Repeat.READ, M, True),
        (Repeat.READ, A, True),
        (Repeat.CONVERGENT, N, True),
        (Repeat.CONVERGENT, R, True),
        (Repeat.CONVERGENT, M, True),
        (Repeat.CONVERGENT, A, False),
        (Repeat.ONCE, N, True),
        (Repeat.ONCE, R, True),
        (Repeat.ONCE, M, False),
        (Repeat.ONCE, A, False),
    ],
)
def test_what_may_be_sent_again_after_each_failure(
    repeat: Repeat, certainty: Certainty, expected: bool
) -> None:
    assert may_repeat(RetryPolicy(), repeat, failure(certainty)) is expected
    opted_in = RetryPolicy(on_ambiguous="regenerate")
    expected = expected or repeat is Repeat.ONCE
    assert may_repeat(opted_in, repeat, failure(certainty)) is expected


def test_a_permanent_failure_is_not_repeated() -> None:
    assert not may_repeat(RetryPolicy(), Repeat.READ, failure(R, retries=0))
    assert may_repeat(RetryPolicy(), Repeat.READ, failure(R, retries=1))


def test_a_wait_may_be_as_long_as_the_policy_says_and_no_longer() -> None:
    policy = RetryPolicy(max_retry_after=30.0)
    assert may_repeat(policy, Repeat.READ, failure(R, retry_after=0.0))
    assert may_repeat(policy, Repeat.READ, failure(R, retry_after=30.0))
    assert not may_repeat(policy, Repeat.READ, failure(R, retry_after=30.01))


def test_delays_double_up_to_their_maximum() -> None:
    policy = RetryPolicy(base_delay=0.5, max_delay=20.0)
    most = [backoff(policy, failure(M), number, upper) for number in range(1, 8)]
    assert most == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0]
    assert [backoff(policy, failure(R), number, upper) for number in (1, 2)] == [1.0, 2.0]
    assert backoff(policy, failure(M), 3, lower) == 0.0


def test_an_unlimited_count_does_not_overflow() -> None:
    policy = RetryPolicy(base_delay=1.0, max_delay=1e300)
    assert backoff(policy, failure(M), 61, upper) == 2.0**60
    assert backoff(policy, failure(M), 10_000, upper) == 2.0**60


@pytest.mark.parametrize(
    ("asked", "above"), [(0.0, 0.5), (1.0, 0.75), (10.0, 3.0), (18.0, 5.0), (100.0, 5.0)]
)
def test_the_whole_retry_after_is_waited_out_plus_jitter(asked: float, above: float) -> None:
    failed = failure(R, retry_after=asked)
    assert backoff(RetryPolicy(), failed, 1, lower) == asked
    assert backoff(RetryPolicy(), failed, 1, upper) == asked + above


@pytest.mark.parametrize(("left", "kept"), [(60.0, 5.0), (25.0, 5.0), (20.0, 4.0), (1.0, 0.2)])
def test_a_fifth_of_the_time_but_at_most_five_seconds_is_kept_for_settling(
    left: float, kept: float
) -> None:
    assert settle_reserve(Settles.STATE, left) == pytest.approx(kept)
    assert settle_reserve(Settles.KEY, left) == pytest.approx(kept)
    assert settle_reserve(Settles.NEVER, left) == 0.0


def test_the_defaults_are_the_documented_ones() -> None:
    policy = RetryPolicy()
    assert (policy.attempts, policy.base_delay, policy.max_delay) == (4, 0.5, 20.0)
    assert (policy.deadline, policy.max_retry_after) == (60.0, 120.0)
    assert policy.on_ambiguous == "raise"


@pytest.mark.parametrize(
    "settings",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 1.5},
        {"base_delay": -0.1},
        {"max_delay": -0.1},
        {"max_retry_after": -0.1},
        {"deadline": 0.0},
        {"on_ambiguous": "hope"},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        RetryPolicy(**settings)


def test_a_policy_is_keyword_only() -> None:
    with pytest.raises(TypeError):
        RetryPolicy(5)  # type: ignore[call-arg]  # what is wrong is the point


def test_a_policy_may_be_minimal() -> None:
    least = RetryPolicy(attempts=1, base_delay=0, max_delay=0, max_retry_after=0, deadline=0.001)
    assert least.attempts == 1


class Driven:
    """A loop over attempts that all fail, and how far it got."""

    def __init__(
        self, *, left: float = 100.0, delay: float = 1.0, limit: int | None = None
    ) -> None:
        self.tries = 0
        self.slept: list[float] = []
        self.left = left
        self.delay = delay
        self.limit = limit

    async def attempt(self) -> str | Failure:
        self.tries += 1
        return failure(M, retries=self.limit, status=self.tries)

    async def sleep(self, seconds: float, _: Failure) -> None:
        self.slept.append(seconds)
        self.left -= seconds

    async def end(self, *, attempts: int) -> str | Failure:
        return await drive(
            failure(M, retries=self.limit, status=0),
            self.attempt,
            attempts=attempts,
            uncounted=lambda: 0,
            may_repeat=lambda _: True,
            delay=lambda: self.delay,
            time_left=lambda: self.left,
            sleep=self.sleep,
        )


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_the_first_failure_is_the_first_attempt(attempts: int) -> None:
    driven = Driven()
    ended = await driven.end(attempts=attempts)
    assert isinstance(ended, Failure)
    assert ended.status == attempts - 1, "the last failure is reported"
    assert driven.tries == attempts - 1
    assert driven.slept == [1.0] * (attempts - 1)


@pytest.mark.parametrize(("limit", "tries"), [(0, 0), (1, 1), (2, 2), (9, 3)])
async def test_a_failure_may_be_repeated_less_often_than_the_policy_allows(
    limit: int, tries: int
) -> None:
    driven = Driven(limit=limit)
    await driven.end(attempts=4)
    assert driven.tries == tries


@pytest.mark.parametrize(("left", "tries"), [(0.5, 0), (1.0, 0), (1.5, 1), (2.0, 1), (2.5, 2)])
async def test_a_sleep_that_would_outlast_the_time_is_not_started(left: float, tries: int) -> None:
    driven = Driven(left=left)
    await driven.end(attempts=4)
    assert driven.tries == tries
    assert driven.slept == [1.0] * tries
