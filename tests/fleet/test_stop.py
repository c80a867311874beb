"""Why a run stops starting operations, and which errors are sufficient reason."""

import asyncio

import pytest

from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    AuthenticationError,
    EnapterError,
    TLSError,
)
from enapter_async.fleet.errors import (
    CredentialsNotKeptError,
    JournalError,
    NoRoomError,
    NotStartedError,
)
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.stop import StopSignal, stop_error
from enapter_async.operations.devices import DeleteDevice


def outcome(error: EnapterError | None) -> Outcome[DeleteDevice]:
    return Outcome(operation=DeleteDevice(device_id="d"), state=State.FAILED, error=error)


def test_the_first_reason_is_kept_and_reported_once() -> None:
    told: list[str] = []
    halt = StopSignal(lambda: told.append(halt.reason))
    assert not halt
    halt.because("enough")
    halt.because("more than enough")
    assert halt
    assert halt.reason == "enough"
    assert told == ["enough"]
    assert halt.error is None


def test_the_first_error_is_kept() -> None:
    halt = StopSignal(lambda: None)
    first, second = TLSError("one"), TLSError("two")
    halt.by(first)
    halt.by(second)
    assert halt.error is first
    assert halt.reason == "the run was stopped by TLSError"


def test_what_broke_the_run_is_raised_once() -> None:
    halt = StopSignal(lambda: None)
    halt.raise_broken()
    halt.by_break(ValueError("first"), "the input failed")
    halt.by_break(ValueError("second"), "the input failed again")
    assert halt.reason == "the input failed"
    assert halt.error is None
    with pytest.raises(ValueError, match="first"):
        halt.raise_broken()
    halt.raise_broken()


async def test_waiting_ends_with_the_awaited_result() -> None:
    halt = StopSignal(lambda: None)
    event = asyncio.Event()
    waiting = asyncio.create_task(halt.unless(event.wait))
    await asyncio.sleep(0)
    assert not waiting.done()
    event.set()
    await asyncio.wait_for(waiting, 60)


async def test_waiting_ends_with_the_run_and_leaves_no_task() -> None:
    halt = StopSignal(lambda: None)
    before = asyncio.all_tasks()
    asyncio.get_running_loop().call_later(0.01, halt.because, "enough")
    async with asyncio.timeout(60):
        await halt.unless(asyncio.Event().wait)
        assert asyncio.all_tasks() == before


async def test_an_error_of_the_awaited_task_is_raised() -> None:
    async def fails() -> None:
        raise JournalError("full")

    with pytest.raises(JournalError):
        await StopSignal(lambda: None).unless(fails)


HARD: list[EnapterError] = [
    AuthenticationError("no", status=401),
    TLSError("no"),
    CredentialsNotKeptError("gone"),
    NoRoomError("full"),
    JournalError("full"),
]


@pytest.mark.parametrize("error", HARD, ids=lambda error: type(error).__name__)
def test_some_errors_stop_a_run_wherever_they_occur(error: EnapterError) -> None:
    assert stop_error(outcome(error)) is error
    assert stop_error(outcome(NotStartedError("held", because=error))) is error
    wrapped = AmbiguousOutcomeError("lost")
    wrapped.__cause__ = error
    assert stop_error(outcome(wrapped)) is error


@pytest.mark.parametrize(
    "error",
    [
        None,
        APIError("no", status=403),
        AmbiguousOutcomeError("lost"),
        NotStartedError("held"),
        NotStartedError("held", because=APIError("no", status=404)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_stop_nothing(error: EnapterError | None) -> None:
    assert stop_error(outcome(error)) is None
