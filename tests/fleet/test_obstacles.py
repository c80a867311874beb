"""The obstacles that keep a run from starting more: how it finds them, and what it waits for."""

import attrs
import pytest

from enapter_async.errors import Attempt, Certainty, HostDownError
from enapter_async.fleet.obstacles import Obstacles
from enapter_async.fleet.waits import Reason, Wait, minutes
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.limits.pacing import Pacing
from tests.fleet.ticking import Ticking


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


@pytest.fixture
def limiter(ticking: Ticking) -> AdaptiveLimiter:
    return AdaptiveLimiter(Pacing(), ticking.clock())


@pytest.fixture
def obstacles(ticking: Ticking, limiter: AdaptiveLimiter) -> Obstacles:
    return Obstacles(limiter, ticking.clock(), max_pause=900.0)


def attempt(
    certainty: Certainty, status: int | None = None, retry_after: float | None = None
) -> Attempt:
    return Attempt(
        number=1,
        certainty=certainty,
        error_type="Told",
        elapsed=0.1,
        status=status,
        retry_after=retry_after,
    )


UNSENT = attempt(Certainty.NOT_SENT)
LOST = attempt(Certainty.MAYBE)
BAD_GATEWAY = attempt(Certainty.MAYBE, 502)
NOT_FOUND = attempt(Certainty.REFUSED, 404)
THROTTLED = attempt(Certainty.REFUSED, 429)


def fail(obstacles: Obstacles, what: Attempt) -> None:
    obstacles.failed(obstacles.begin(), what)


def reason(wait: Wait | None) -> Reason | None:
    return None if wait is None else wait.reason


def test_a_server_that_refuses_everything_is_waited_for(
    obstacles: Obstacles, limiter: AdaptiveLimiter
) -> None:
    fail(obstacles, THROTTLED)
    assert obstacles.to_begin() is None, "one refusal proves nothing about others"
    for permit in [limiter.try_acquire() for _ in range(8)]:
        assert permit is not None
        limiter.refused(permit, 2.0)
    wait = obstacles.to_begin()
    assert wait is not None
    assert (wait.reason, wait.until) == (Reason.THROTTLED, 1002.0)
    assert obstacles.to_repeat() is None, "the limiter already holds back operations in flight"


def test_a_final_refusal_slows_nothing_down(obstacles: Obstacles) -> None:
    for _ in range(500):
        fail(obstacles, NOT_FOUND)
    assert obstacles.to_begin() is None


def test_a_job_waits_for_a_host_that_is_down(obstacles: Obstacles, ticking: Ticking) -> None:
    for _ in range(10):
        fail(obstacles, UNSENT)
    wait = obstacles.to_begin()
    assert wait is not None
    assert wait.reason is Reason.HOST_DOWN
    assert obstacles.to_repeat() == wait, "nothing is retried either"
    assert wait.until == ticking.now + 1.0
    due = [obstacles.breaker.probe_due]
    ticking.pass_by(1.0)
    due.append(obstacles.breaker.probe_due)
    assert due == [False, True]
    obstacles.passed(obstacles.begin(probe=True))
    assert obstacles.to_begin() is None


def test_a_probe_without_an_attempt_is_not_an_answer(
    obstacles: Obstacles, ticking: Ticking
) -> None:
    for _ in range(10):
        fail(obstacles, UNSENT)
    ticking.pass_by(1.0)
    obstacles.end_probe(obstacles.begin(probe=True))
    due = [obstacles.breaker.probe_due]
    ticking.pass_by(2.0)
    due.append(obstacles.breaker.probe_due)
    assert due == [False, True]


def test_an_operation_that_never_reached_the_host_is_enough(obstacles: Obstacles) -> None:
    unresolved = attrs.evolve(UNSENT, error_type="ClientConnectorDNSError")
    obstacles.unreachable(HostDownError("no such name", attempts=(UNSENT, unresolved)))
    wait = obstacles.to_begin()
    assert wait is not None
    assert wait.detail == "the host's name cannot be resolved"


def test_many_502s_are_an_outage_and_429s_are_not(obstacles: Obstacles) -> None:
    for _ in range(19):
        fail(obstacles, BAD_GATEWAY)
    assert reason(obstacles.to_begin()) is None
    fail(obstacles, BAD_GATEWAY)
    wait = obstacles.to_begin()
    assert wait is not None
    assert wait.detail == "the host responds with HTTP 502"
    other = Obstacles(None, Ticking().clock())
    for _ in range(100):
        fail(other, THROTTLED)
    assert reason(other.to_begin()) is not Reason.HOST_DOWN


def test_too_many_retries_hold_new_operations_back_and_fail_none(
    obstacles: Obstacles, ticking: Ticking
) -> None:
    obstacles.begin()
    for _ in range(130):
        assert obstacles.to_repeat() is None
        obstacles.repeat()
    wait = obstacles.to_begin()
    assert wait is not None
    assert wait.reason is Reason.RETRIES
    assert wait.until is not None
    ticking.pass_by(wait.until - ticking.now)
    assert obstacles.to_begin() is None


def test_a_long_outage_is_reported(obstacles: Obstacles, ticking: Ticking) -> None:
    for _ in range(10):
        fail(obstacles, UNSENT)
    assert obstacles.gives_up_at == ticking.now + 900.0
    ticking.pass_by(899.0)
    assert obstacles.overdue() is None
    ticking.pass_by(1.0)
    error = obstacles.overdue()
    assert error is not None
    assert "nothing got through for 15:00" in str(error)


def test_successes_between_429s_are_progress(obstacles: Obstacles, ticking: Ticking) -> None:
    for _ in range(100):
        fail(obstacles, THROTTLED)
        ticking.pass_by(60.0)
        obstacles.passed(obstacles.begin())
    assert obstacles.overdue() is None


def test_a_wait_is_described_in_words() -> None:
    wait = Wait(
        reason=Reason.HOST_DOWN, since=1000.0, until=1060.0, detail="host refuses connections"
    )
    assert wait.text(1042.0) == "paused 0:42, host refuses connections, next probe in 0:18"
    wait = Wait(reason=Reason.HOLD, since=0.0, until=4000.0, detail="the hold between two waves")
    assert wait.text(100.0) == "paused 1:40, the hold between two waves, on again in 1:05:00"
    assert Wait(reason=Reason.HEALTH, since=0.0).text(0.0) == "health"
    assert Wait(reason=Reason.HEALTH, since=0.0).text(65.0) == "health, 1:05"


def test_seconds_are_written_as_minutes() -> None:
    assert [minutes(each) for each in (-1, 0, 59.4, 60, 3599, 3600, 86_400)] == [
        "0:00",
        "0:00",
        "0:59",
        "1:00",
        "59:59",
        "1:00:00",
        "24:00:00",
    ]
