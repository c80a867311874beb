"""The pace of a job: what each attempt teaches it, and what it says is waited for."""

import attrs
import pytest

from enapter_async.errors import Attempt, Certainty, HostDownError
from enapter_async.fleet.pacing.adaptive_limits import FIRST
from enapter_async.fleet.pacing.controller import Controller, Epoch, Reason, Wait, minutes
from tests.fleet.ticking import Ticking


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


@pytest.fixture
def pace(ticking: Ticking) -> Controller:
    return Controller(64, ticking.clock(), max_pause=900.0)


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


def fail(pace: Controller, what: Attempt, *, pause: float = 0.0, timed_out: bool = False) -> Epoch:
    stamp = pace.start()
    pace.failed(stamp, what, timed_out=timed_out, pause=pause)
    pace.end(stamp)
    return stamp


def reason(wait: Wait | None) -> Reason | None:
    return None if wait is None else wait.reason


def test_a_job_begins_with_eight(pace: Controller) -> None:
    for _ in range(FIRST):
        assert pace.wait_to_start() is None
        pace.start()
    assert reason(pace.wait_to_start()) is Reason.FULL
    assert pace.wait_to_repeat() is None, "a retry has its place already"


def test_a_429_makes_all_wait_and_spaces_them_after(pace: Controller, ticking: Ticking) -> None:
    for _ in range(100):
        ticking.pass_by(0.01)
        stamp = pace.start()
        pace.passed(stamp)
        pace.end(stamp)
    assert pace.rate is None
    fail(pace, THROTTLED, pause=2.0)
    assert reason(pace.wait_to_start()) is Reason.THROTTLED
    ticking.pass_by(2.0)
    assert pace.wait_to_start() is None
    pace.start()
    spaced = pace.wait_to_start()
    assert spaced is not None
    assert spaced.reason is Reason.RATE
    assert spaced.until is not None
    assert spaced.until - ticking.now == pytest.approx(1 / 70, abs=0.005)
    assert reason(pace.wait_to_repeat()) is Reason.RATE, "retries are spaced, too"


def test_what_the_api_refuses_for_good_slows_nothing(pace: Controller) -> None:
    for _ in range(500):
        fail(pace, NOT_FOUND)
    assert pace.wait_to_start() is None
    assert pace.rate is None


def test_a_time_out_takes_places_and_a_lost_connection_does_not(pace: Controller) -> None:
    before = pace.limit
    fail(pace, LOST)
    assert pace.limit == before
    fail(pace, LOST, timed_out=True)
    assert pace.limit < before


def test_a_host_that_is_down_is_waited_for(pace: Controller, ticking: Ticking) -> None:
    for _ in range(10):
        fail(pace, UNSENT)
    wait = pace.wait_to_start()
    assert wait is not None
    assert wait.reason is Reason.HOST_DOWN
    assert pace.wait_to_repeat() == wait, "nor is anything tried again"
    assert wait.until == ticking.now + 1.0
    due = [pace.probe_due]
    ticking.pass_by(1.0)
    due.append(pace.probe_due)
    assert due == [False, True]
    probe = pace.start(probe=True)
    pace.passed(probe)
    pace.end(probe)
    assert pace.wait_to_start() is None
    assert pace.limit == 2, "one goes first, then two"


def test_a_probe_that_ends_without_an_attempt_is_no_answer(
    pace: Controller, ticking: Ticking
) -> None:
    for _ in range(10):
        fail(pace, UNSENT)
    ticking.pass_by(1.0)
    probe = pace.start(probe=True)
    pace.end(probe)
    due = [pace.probe_due]
    ticking.pass_by(2.0)
    due.append(pace.probe_due)
    assert due == [False, True]


def test_an_operation_that_never_reached_the_host_is_enough(pace: Controller) -> None:
    unresolved = attrs.evolve(UNSENT, error_type="ClientConnectorDNSError")
    pace.unreachable(HostDownError("no such name", attempts=(UNSENT, unresolved)))
    wait = pace.wait_to_start()
    assert wait is not None
    assert wait.detail == "the host's name cannot be resolved"


def test_half_the_answers_being_502_is_an_outage_and_429s_are_none(pace: Controller) -> None:
    for _ in range(19):
        fail(pace, BAD_GATEWAY)
    assert reason(pace.pause()) is None
    fail(pace, BAD_GATEWAY)
    wait = pace.pause()
    assert wait is not None
    assert wait.detail == "the host answers HTTP 502"
    other = Controller(64, Ticking().clock())
    for _ in range(100):
        fail(other, THROTTLED)
    assert reason(other.pause()) is not Reason.HOST_DOWN


def test_too_many_retries_hold_new_operations_back_and_fail_none(
    pace: Controller, ticking: Ticking
) -> None:
    pace.start()
    for _ in range(130):
        assert pace.wait_to_repeat() is None
        pace.repeat()
    wait = pace.wait_to_start()
    assert wait is not None
    assert wait.reason is Reason.RETRIES
    assert wait.until is not None
    ticking.pass_by(wait.until - ticking.now)
    assert pace.wait_to_start() is None


def test_a_pause_beyond_the_cap_is_told_at_once(pace: Controller) -> None:
    fail(pace, attempt(Certainty.REFUSED, 429, retry_after=3600.0), pause=120.0)
    error = pace.overdue()
    assert error is not None
    assert "1:00:00" in str(error)
    assert "15:00" in str(error)


def test_nothing_getting_through_for_too_long_is_told(pace: Controller, ticking: Ticking) -> None:
    for _ in range(10):
        fail(pace, UNSENT)
    assert pace.gives_up_at == ticking.now + 900.0
    ticking.pass_by(899.0)
    assert pace.overdue() is None
    ticking.pass_by(1.0)
    error = pace.overdue()
    assert error is not None
    assert "nothing got through for 15:00" in str(error)


def test_what_gets_through_between_429s_is_progress(pace: Controller, ticking: Ticking) -> None:
    for _ in range(100):
        fail(pace, THROTTLED, pause=60.0)
        ticking.pass_by(60.0)
        stamp = pace.start()
        pace.passed(stamp)
        pace.end(stamp)
    assert pace.overdue() is None


def test_a_pause_that_ended_an_operation_is_waited_for(pace: Controller, ticking: Ticking) -> None:
    pace.refused_for_now(300.0)
    wait = pace.wait_to_start()
    assert wait is not None
    assert wait.until == ticking.now + 300.0
    assert pace.overdue() is None


def test_a_wait_is_told_in_words() -> None:
    wait = Wait(
        reason=Reason.HOST_DOWN, since=1000.0, until=1060.0, detail="host refuses connections"
    )
    assert wait.text(1042.0) == "paused 0:42, host refuses connections, next probe in 0:18"
    wait = Wait(reason=Reason.HOLD, since=0.0, until=4000.0, detail="the hold between two waves")
    assert wait.text(100.0) == "paused 1:40, the hold between two waves, on again in 1:05:00"
    assert Wait(reason=Reason.HEALTH, since=0.0).text(0.0) == "paused 0:00, health"


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
