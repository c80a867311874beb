"""The course of a run over time, from the events in its journal."""

from hypothesis import given
from hypothesis import strategies as st

from enapter_async.fleet.journal.records import Event
from enapter_async.fleet.reporting.timeline import Timeline, quantile


def event(kind: str, at_ms: int, *, seq: int = 0, elapsed_ms: int | None = None) -> Event:
    return Event(
        id=1, seq=seq, step=0, kind=kind, attempt=1, at_ms=at_ms, elapsed_ms=elapsed_ms,
        status=None, code=None, request_id=None, detail=None,
    )  # fmt: skip


def test_gaps_between_sessions_are_left_out_and_a_clock_set_back_stands_still() -> None:
    course = Timeline(3)
    course.begin(1_000)
    course.take(event("intent", 1_000), 0)
    course.take(event("applied", 1_040, elapsed_ms=40), 0)
    course.take(event("applied", 900, seq=1, elapsed_ms=40), 0)
    course.begin(9_000_000)
    course.take(event("applied", 9_000_010, seq=2, elapsed_ms=10), 1)
    told = course.tell()
    assert [each["at"] for each in told["sessions"]] == [0, 40]
    assert [each["ended_ms"] for each in told["sessions"]] == [1_040, 9_000_010]
    assert told["total_ms"] == 50
    assert told["ended"]["applied"][39:41] == [0, 2]
    assert told["ended"]["applied"][-1] == 3
    assert course.spans == {0: (0, 40), 1: (50, 50)}
    assert told["overall"] == [40, 40, 40, 40]


@given(st.lists(st.integers(0, 10_000), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_an_observed_value(values: list[int], share: float) -> None:
    found = quantile(sorted(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)
