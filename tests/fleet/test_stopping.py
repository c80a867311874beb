"""Runs that stop themselves: nothing starts afterwards, and the rest is held."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Emulator, Reply, World
from enapter_async.errors import (
    AmbiguousOutcomeError,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    EnapterError,
)
from enapter_async.fleet import NotStartedError, Outcome, State
from enapter_async.fleet.errors import RunAbortedError
from enapter_async.fleet.outcomes import RunEvent, RunStopped
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT, AbortCriterion
from enapter_async.operation import Operation
from tests.fleet.callers import ScriptedCaller, refusal, rename

ENDS: dict[str, Any] = {
    "applied": None,
    "failed": refusal,
    "unknown": lambda: AmbiguousOutcomeError("lost"),
    "timed out": lambda: DeadlineExceededError("late"),
    "401": lambda: AuthenticationError("no", status=401),
}

criteria = st.builds(
    AbortCriterion,
    failure_type=st.sampled_from(["all", "failed", "unknown", "timed_out"]),
    threshold_percentage=st.sampled_from([0.5, 1.0, 5.0, 33.33, 100.0]),
    min_executed=st.integers(1, 30),
)


class Chancy(ScriptedCaller):
    """Ends each operation as drawn, after a random number of turns of the loop."""

    def __init__(self, ends: list[str], seed: int) -> None:
        super().__init__(self._end)
        self._ends = ends
        self._chance = random.Random(seed)

    async def _end(self, operation: Operation[Any]) -> None:
        for _ in range(self._chance.randrange(6)):
            await asyncio.sleep(0)
        number = int(str(operation.subject())[1:])
        error = ENDS[self._ends[number]]
        if error is not None:
            raise error()


@given(
    ends=st.lists(
        st.sampled_from(["applied"] * 6 + ["failed", "failed", "unknown", "timed out", "401"]),
        max_size=120,
    ),
    abort=st.lists(criteria, max_size=3),
    concurrency=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_after_a_criterion_trips_only_operations_in_flight_complete(
    ends: list[str], abort: list[AbortCriterion], concurrency: int, seed: int
) -> None:
    caller = Chancy(ends, seed)
    at_the_trip: list[tuple[int, int]] = []

    def on_event(event: RunEvent) -> None:
        if isinstance(event, RunStopped):
            at_the_trip.append((len(caller.began), len(caller.under_way)))

    async def run() -> tuple[fleet.Report, list[Outcome[Any]]]:
        outcomes: list[Outcome[Any]] = []
        report = await fleet.apply(
            caller,
            [rename(f"d{number}") for number in range(len(ends))],
            abort=abort,
            concurrency=concurrency,
            on_event=on_event,
            on_outcome=outcomes.append,
        )
        return report, outcomes

    report, outcomes = asyncio.run(run())
    assert report.total == len(ends) == len(outcomes)
    if report.stopped is None:
        assert not at_the_trip
        assert len(caller.began) == len(ends)
        return
    ((began, under_way),) = at_the_trip
    assert len(caller.began) == began, "an operation began after the criterion was met"
    assert under_way <= concurrency
    states = [outcome.state for outcome in outcomes]
    tripped = next(index + 1 for index in range(len(states)) if began - under_way == index + 1)
    assert all(state is not State.HELD for state in states[:tripped])
    assert sum(state is not State.HELD for state in states[tripped:]) == under_way
    assert report.counts[State.HELD] == len(ends) - began


async def test_the_default_criteria_stop_a_run_that_goes_wrong() -> None:
    caller = Chancy(["failed"] * 500, 1)
    report = await fleet.apply(
        caller, [rename(f"d{number}") for number in range(500)], concurrency=8
    )
    assert isinstance(report.stopped, RunAbortedError)
    assert 50 <= report.counts[State.FAILED] <= 50 + 7
    assert report.counts[State.HELD] == 500 - report.counts[State.FAILED]


async def test_no_criteria_leave_only_the_hard_stops() -> None:
    operations = [rename(f"d{number}") for number in range(200)]
    report = await fleet.apply(Chancy(["unknown"] * 200, 1), operations, abort=None)
    assert report.counts[State.UNKNOWN] == 200
    assert report.stopped is None
    report = await fleet.apply(Chancy(["401"] * 200, 1), operations, abort=None)
    assert isinstance(report.stopped, AuthenticationError)


async def test_held_items_name_the_reason() -> None:
    outcomes: list[Outcome[Any]] = []
    await fleet.apply(
        Chancy(["failed"] * 60, 1),
        [rename(f"d{number}") for number in range(60)],
        concurrency=1,
        on_outcome=outcomes.append,
    )
    error = outcomes[-1].error
    assert isinstance(error, NotStartedError)
    assert isinstance(error.because, RunAbortedError)
    assert "RunAbortedError" in str(error)


async def test_wrong_criteria_are_refused_before_anything_is_sent() -> None:
    caller = ScriptedCaller()
    with pytest.raises(ConfigurationError):
        await fleet.apply(caller, [rename("a")], abort=[0.05])  # type: ignore[list-item]  # the mistake is the point
    with pytest.raises(ConfigurationError):
        await fleet.apply(caller, [rename("a")], max_pause=0)
    assert caller.began == []


async def test_a_failing_listener_affects_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def on_event(_: RunEvent) -> None:
        raise RuntimeError("its own failure")

    report = await fleet.apply(
        Chancy(["401"], 1), [rename("d0")], on_event=on_event, abort=DEFAULT_ABORT
    )
    assert isinstance(report.stopped, EnapterError)
    assert "a listener failed" in caplog.text


async def test_a_foreign_service_stops_a_run_at_its_third_answer() -> None:
    portal = Reply(status=200, body=b"<html>Welcome to the hotel</html>")
    async with Emulator(world=World.seeded(40, 1, role="OWNER")) as emulator:
        emulator.faults.add(portal, times=None)
        operations = [rename(device.id) for device in emulator.world]
        quick = RetryPolicy(base_delay=0.001)
        async with Client(emulator.token, base_url=emulator.base_url, retry=quick) as client:
            report = await fleet.apply(client, operations, concurrency=1, abort=None)
    assert isinstance(report.stopped, RunAbortedError)
    assert report.counts[State.UNKNOWN] == 3
    assert report.counts[State.HELD] == 37
