"""tenacity drives a call's attempts: each call has its own loop, which can be cancelled at once."""

import asyncio
from typing import Any

import attrs
import pytest
import tenacity

from enapter_async._http.message import Failure
from enapter_async._http.retry import drive
from enapter_async._http.transport import maybe
from enapter_async.operations.devices import GetDevice
from tests.support.clock import FakeClock
from tests.support.replies import errors, reset
from tests.support.rig import UPDATE, TransportKind, open_rig
from tests.support.server import FaultServer, ignored

MANY = tuple(f"dev-{number}" for number in range(50))


class Again(Exception):  # noqa: N818 - it is a signal
    """Asks for another attempt."""


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """Record each tenacity object that is created, and how often it begins."""
    made: list[list[Any]] = []

    class Noted(tenacity.AsyncRetrying):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.calls: list[Any] = []
            made.append(self.calls)

        def begin(self) -> None:
            self.calls.append("begun")
            super().begin()

    monkeypatch.setattr(tenacity, "AsyncRetrying", Noted)
    return made


async def test_one_loop_for_many_calls_fails() -> None:
    """Why loops are not shared: they hold state, and each call resets the counts of the others."""
    shared = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(3),
        retry=tenacity.retry_if_exception_type(Again),
        sleep=lambda _: asyncio.sleep(0),
        reraise=True,
    )

    async def call(number: int) -> int:
        tries = 0
        async for attempt in shared:
            with attempt:
                tries += 1
                await asyncio.sleep(0)
                if tries < 3:
                    raise Again
        return number

    ended = await asyncio.gather(*(call(n) for n in range(50)), return_exceptions=True)
    assert ended != list(range(50)), "the next test is no longer needed"


async def test_each_failing_call_has_its_own_loop(
    transport: TransportKind, loops: list[list[Any]]
) -> None:
    async with FaultServer(devices=MANY) as server, open_rig(transport, server) as rig:
        server.script(*[ignored(reset())] * 20)
        found = await asyncio.gather(*(rig.run(GetDevice(device_id=name)) for name in MANY))
        assert tuple(device.id for device in found) == MANY
        assert len(server.arrivals) == 70
        failed = {event.call for event in rig.events if type(event).__name__ == "AttemptFailed"}
        assert [len(calls) for calls in loops] == [1] * len(failed)


async def test_a_call_that_succeeds_at_once_has_no_loop(
    transport: TransportKind, server: FaultServer, loops: list[list[Any]]
) -> None:
    async with open_rig(transport, server) as rig:
        await rig.run(UPDATE)
    assert loops == []


async def test_a_loop_that_repeats_all_but_some_swallows_a_cancellation() -> None:
    """Why the package repeats only one kind of exception, named by its type."""
    tries = 0

    async def once() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise asyncio.CancelledError

    swallowing = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_not_exception_type(Again), sleep=lambda _: asyncio.sleep(0)
    )
    await swallowing(once)
    assert tries == 3, "the next test is no longer needed"


@pytest.mark.parametrize("where", ["in-the-attempt", "in-the-wait", "in-the-sleep"])
async def test_a_cancellation_gets_through_at_once(where: str) -> None:
    tries = 0

    async def attempt() -> Failure:
        nonlocal tries
        tries += 1
        if where == "in-the-attempt":
            raise asyncio.CancelledError
        return maybe("lost", "Lost")

    def delay() -> float:
        if where == "in-the-wait":
            raise asyncio.CancelledError
        return 0.01

    async def sleep(_seconds: float, _failure: Failure) -> None:
        if where == "in-the-sleep":
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await drive(
            maybe("lost", "Lost"),
            attempt,
            attempts=4,
            uncounted=lambda: 0,
            may_repeat=lambda _: True,
            delay=delay,
            time_left=lambda: 60.0,
            sleep=sleep,
        )
    assert tries == (1 if where == "in-the-attempt" else 0)


async def test_a_call_that_is_cancelled_in_its_sleep_sends_nothing_more(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    clock.gate = asyncio.Event()
    server.always(ignored(errors(429)))
    async with open_rig(transport, server, clock) as rig:
        task = asyncio.ensure_future(rig.run(UPDATE))
        await clock.slept()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(server.arrivals) == 1


async def driven(*, time_left: float, retries: int | None = None, attempts: int = 4) -> list[float]:
    """Fail at every attempt, and return the sleeps between them."""
    slept: list[float] = []

    def lost(number: int) -> Failure:
        return attrs.evolve(maybe("lost", f"attempt-{number}"), retries=retries)

    async def fail() -> Failure:
        return lost(len(slept) + 1)

    async def sleep(seconds: float, _failure: Failure) -> None:
        slept.append(seconds)

    ended = await drive(
        lost(1),
        fail,
        attempts=attempts,
        uncounted=lambda: 0,
        may_repeat=lambda _: True,
        delay=lambda: 2.0 ** len(slept),
        time_left=lambda: time_left - sum(slept),
        sleep=sleep,
    )
    assert isinstance(ended, Failure)
    assert ended.kind == f"attempt-{len(slept) + 1}", "the last failure is returned"
    return slept


async def test_attempts_and_sleeps_are_counted_as_we_count_them() -> None:
    assert await driven(time_left=60.0) == [1.0, 2.0, 4.0]
    assert await driven(time_left=60.0, attempts=1) == []
    assert await driven(time_left=60.0, retries=2) == [1.0, 2.0]
    # A sleep of 4 s that ends with the 7th second is not started, because nothing could follow it.
    assert await driven(time_left=7.0) == [1.0, 2.0]
    assert await driven(time_left=7.1) == [1.0, 2.0, 4.0]
