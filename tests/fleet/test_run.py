"""The engine alone: pulling, order, back-pressure, stops, draining, cancellation."""

import asyncio
import gc
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import fleet
from enapter_async.errors import (
    AmbiguousOutcomeError,
    AuthenticationError,
    ConfigurationError,
    TLSError,
)
from enapter_async.fleet import NotStartedError, Outcome, State
from enapter_async.fleet.outcomes import FAILURES_KEPT
from enapter_async.operation import Operation
from enapter_async.operations.devices import GetDevice, UpdateDevice
from tests.fleet.callers import ScriptedCaller, fleet_tasks, follow, forever, refusal, rename, turns


async def test_each_operation_has_one_outcome() -> None:
    operations = [rename(f"d{number}") for number in range(50)]
    caller = ScriptedCaller()
    seen = []
    async with fleet.Run(caller, operations, concurrency=7) as run:
        async for outcome in run:
            assert outcome.attempts == 1
            seen.append(outcome.operation)
    assert sorted(seen, key=lambda each: each.device_id) == sorted(
        operations, key=lambda each: each.device_id
    )
    assert run.report.counts[State.APPLIED] == run.report.total == 50
    assert run.report.complete
    assert run.report.ok
    assert caller.most_under_way == 7


async def test_few_operations_start_few_workers() -> None:
    async with fleet.Run(ScriptedCaller(forever), [rename("a"), rename("b")]) as run:
        await turns()
        assert sum(task.get_name() == "fleet worker" for task in fleet_tasks()) == 2
        run.cut()


async def test_a_run_with_nothing_to_do_ends_immediately() -> None:
    report = await fleet.apply(ScriptedCaller(), [])
    assert report.total == 0
    assert report.ok


async def test_input_is_pulled_at_most_twice_the_concurrency_ahead() -> None:
    pulled = 0

    def endless() -> Iterator[UpdateDevice]:
        nonlocal pulled
        while True:
            pulled += 1
            yield rename(f"d{pulled}")

    async with fleet.Run(ScriptedCaller(), endless(), concurrency=4) as run:
        await turns(100)
        assert pulled == 8  # nobody consumes an outcome, so nothing more is pulled
        taken = 0
        async for _ in run:
            taken += 1
            await turns(3)
            assert pulled - taken <= 8
            if taken == 30:
                break
    assert not run.report.complete


async def test_one_busy_device_does_not_block_the_others() -> None:
    others_done = asyncio.Event()

    async def answer(operation: Operation[Any]) -> None:
        if operation.subject() == "busy":
            await others_done.wait()
        elif operation.subject() == "last":
            others_done.set()

    operations = [
        *(rename("busy", str(number)) for number in range(3)),
        rename("a"),
        rename("last"),
    ]
    caller = ScriptedCaller(answer)
    report = await fleet.apply(caller, operations, concurrency=2 + 1)
    assert report.ok
    assert [each.subject() for each in caller.ended[:2]] == ["a", "last"]
    assert [each for each in caller.ended if each.subject() == "busy"] == operations[:3]


async def test_later_operations_of_a_device_that_failed_are_held() -> None:
    async def answer(operation: Operation[Any]) -> None:
        if isinstance(operation, UpdateDevice) and operation.name == "bad":
            raise refusal()

    operations = [rename("a", "bad"), rename("a", "x"), rename("b"), rename("a", "y")]
    caller = ScriptedCaller(answer)
    outcomes = {}
    async with fleet.Run(caller, operations, concurrency=1) as run:
        async for outcome in run:
            outcomes[operations.index(outcome.operation)] = outcome
    assert [outcomes[index].state for index in range(4)] == ["failed", "held", "applied", "held"]
    assert isinstance(outcomes[1].error, NotStartedError)
    assert "an earlier operation on a in this run" in str(outcomes[3].error)
    assert outcomes[1].attempts == 0
    assert caller.began == [operations[0], operations[2]]


def expect(
    plan: list[tuple[str, str]], operations: list[UpdateDevice]
) -> tuple[list[State], dict[str, list[UpdateDevice]]]:
    """Return the expected outcomes: a device's first bad end holds all of its later items."""
    ends = {"ok": State.APPLIED, "bad": State.FAILED, "unknown": State.UNKNOWN}
    expected: list[State] = []
    sent: dict[str, list[UpdateDevice]] = {device: [] for device in "abc"}
    blocked: set[str] = set()
    for operation, (device, end) in zip(operations, plan, strict=True):
        if device in blocked:
            expected.append(State.HELD)
            continue
        sent[device].append(operation)
        expected.append(ends[end])
        if end != "ok":
            blocked.add(device)
    return expected, sent


operations_of_few_devices = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["ok", "bad", "unknown"])), max_size=30
)


@given(plan=operations_of_few_devices, concurrency=st.integers(1, 5), lazily=st.booleans())
def test_any_input_keeps_the_order_of_each_device(
    plan: list[tuple[str, str]], concurrency: int, *, lazily: bool
) -> None:
    async def answer(operation: Operation[Any]) -> None:
        await asyncio.sleep(0)
        assert isinstance(operation, UpdateDevice)
        if str(operation.name).startswith("bad"):
            raise refusal()
        if str(operation.name).startswith("unknown"):
            raise AmbiguousOutcomeError("who knows")

    async def stream() -> AsyncIterator[UpdateDevice]:
        for each in operations:
            await asyncio.sleep(0)
            yield each

    operations = [rename(device, f"{end} {number}") for number, (device, end) in enumerate(plan)]
    expected, sent = expect(plan, operations)
    caller = ScriptedCaller(answer)

    outcomes: list[Outcome[Any]] = []
    source = stream() if lazily else operations
    run = fleet.Run(caller, source, concurrency=concurrency)
    asyncio.run(follow(run, outcomes))
    assert run.report.complete
    states = {outcome.operation: outcome.state for outcome in outcomes}
    assert len(outcomes) == len(states) == len(plan)
    assert [states[operation] for operation in operations] == expected
    assert caller.most_of_one_device <= 1
    assert caller.most_under_way <= concurrency
    for device, its_own in sent.items():
        assert [each for each in caller.began if each.subject() == device] == its_own


@pytest.mark.parametrize(
    "error", [AuthenticationError("no", status=401), TLSError("bad certificate")]
)
async def test_a_hard_stop_holds_the_rest_and_reads_a_plain_input_to_its_end(
    error: Exception,
) -> None:
    async def answer(operation: Operation[Any]) -> None:
        await asyncio.sleep(0)
        if operation.subject() == "d10":
            raise error

    caller = ScriptedCaller(answer)
    report = await fleet.apply(
        caller, (rename(f"d{number}") for number in range(1000)), concurrency=4
    )
    assert report.stopped is error
    assert report.complete
    assert report.total == 1000
    assert report.counts[State.FAILED] == 1
    assert report.counts[State.APPLIED] == len(caller.ended) <= 14
    assert report.counts[State.HELD] == 1000 - len(caller.began)
    assert not report.ok


async def test_a_hard_stop_does_not_pull_an_async_input_further() -> None:
    pulled = 0
    stopped_waiting = False

    async def stream() -> AsyncIterator[UpdateDevice]:
        nonlocal pulled, stopped_waiting
        try:
            for number in range(10):
                pulled += 1
                yield rename(f"d{number}")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped_waiting = True
            raise

    async def answer(operation: Operation[Any]) -> None:
        await turns()
        if operation.subject() == "d3":
            raise AuthenticationError("no", status=401)

    report = await fleet.apply(ScriptedCaller(answer), stream(), concurrency=10)
    assert pulled == 10
    assert stopped_waiting
    assert not report.complete
    assert report.total == 10
    assert report.counts[State.FAILED] == 1


async def test_an_input_error_is_raised_after_operations_in_flight() -> None:
    def broken() -> Iterator[UpdateDevice]:
        yield rename("a")
        yield rename("b")
        raise LookupError("the database is gone")

    started = asyncio.Event()

    async def answer(_: Operation[Any]) -> None:
        started.set()
        await turns()

    caller = ScriptedCaller(answer)
    outcomes: list[Outcome[Any]] = []
    run = fleet.Run(caller, broken(), concurrency=1)
    with pytest.raises(LookupError, match="database"):
        await follow(run, outcomes)
    assert len(outcomes) == run.report.total == 2
    assert not run.report.complete
    assert len(caller.began) == len(caller.ended) == run.report.counts[State.APPLIED]


async def test_apply_notes_the_counts_on_an_error_of_the_input() -> None:
    async def broken() -> AsyncIterator[UpdateDevice]:
        yield rename("a")
        await turns()
        raise LookupError("gone")

    with pytest.raises(LookupError) as caught:
        await fleet.apply(ScriptedCaller(), broken())
    assert caught.value.__notes__ == ["fleet.apply, until then: 1 applied"]


@pytest.mark.parametrize("wrong", ["abc", b"abc", {"a": 1}, 5, None, rename("a")])
async def test_an_invalid_input_is_refused(wrong: Any) -> None:
    with pytest.raises(
        ConfigurationError, match="operations must be an iterable of operations, plain or"
    ):
        await fleet.apply(ScriptedCaller(), wrong)


async def test_a_wrong_element_in_a_collection_is_refused_before_anything_is_sent() -> None:
    caller = ScriptedCaller()
    mixed: list[Any] = [rename("a"), "b"]
    with pytest.raises(
        ConfigurationError, match=r"operations\[1\] must be an operation, .* of type str"
    ):
        await fleet.apply(caller, mixed)
    assert caller.began == []


async def test_a_wrong_element_in_a_lazy_input_is_reported() -> None:
    mixed: Any = iter([rename("a"), "b"])
    with pytest.raises(
        ConfigurationError, match=r"operations\[1\] must be an operation, .* of type str"
    ):
        await fleet.apply(ScriptedCaller(), mixed)


async def test_concurrency_is_at_least_one() -> None:
    with pytest.raises(ConfigurationError, match="concurrency is 0"):
        fleet.Run(ScriptedCaller(), [], concurrency=0)


async def test_a_foreign_error_stops_the_run_and_is_raised() -> None:
    async def answer(operation: Operation[Any]) -> None:
        if operation.subject() == "d1":
            raise ZeroDivisionError("a bug")

    outcomes: list[Outcome[Any]] = []
    operations = [rename(f"d{number}") for number in range(5)]
    run = fleet.Run(ScriptedCaller(answer), operations, concurrency=1)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await follow(run, outcomes)
    assert [each.state for each in outcomes] == ["applied", "unknown", "held", "held", "held"]


async def test_a_run_is_used_once_and_inside_async_with() -> None:
    run = fleet.Run(ScriptedCaller(), [rename("a")])
    with pytest.raises(ConfigurationError, match="inside"):
        await anext(run)
    async with run:
        pass
    with pytest.raises(ConfigurationError, match="once"):
        await run.__aenter__()
    assert [each async for each in run] == []  # the run was left before anything was pulled
    with pytest.raises(StopAsyncIteration):
        await anext(run)


XDIST = ("execnet", "xdist")


def in_use() -> int:
    """Return how many bytes are in use, without what the thread of pytest-xdist receives."""
    gc.collect()
    others = [tracemalloc.Filter(inclusive=False, filename_pattern=f"*/{name}/*") for name in XDIST]
    traces = tracemalloc.take_snapshot().filter_traces(others).traces
    return sum(trace.size for trace in traces)


async def test_memory_does_not_grow_with_the_number_of_operations() -> None:
    async def most(count: int) -> int:
        answered, found = itertools.count(1), []

        async def answer(_: Operation[Any]) -> None:
            if next(answered) in (count // 2, count - 8):
                found.append(in_use())
            raise refusal()

        tracemalloc.start()
        try:
            report = await fleet.apply(
                ScriptedNothing(answer),
                (GetDevice(device_id=f"d{number}") for number in range(count)),
                concurrency=8,
                abort=None,
            )
            assert report.counts[State.FAILED] == count
            assert len(report.failures) == FAILURES_KEPT
            return max(found)
        finally:
            tracemalloc.stop()

    gc.collect()
    gc.freeze()  # items already present are not searched again and again
    try:
        few, many = await most(500), await most(4_000)
    finally:
        gc.unfreeze()
    # A kept outcome takes a thousand bytes.
    assert many < few + 100_000, f"{few} and {many} bytes"


class ScriptedNothing(ScriptedCaller):
    """Stores nothing, so that only the engine's memory is measured."""

    async def call(self, operation: Operation[Any], **_: Any) -> Any:
        return await self._answer(operation)


async def test_apply_passes_each_outcome_to_the_hook() -> None:
    states: list[State] = []
    report = await fleet.apply(
        ScriptedCaller(),
        [rename("a"), rename("b")],
        on_outcome=lambda outcome: states.append(outcome.state),
    )
    assert states == [State.APPLIED, State.APPLIED]
    assert report.attempts == 2
