"""The loop: time passes only by timers, nothing runs on threads, and nothing runs after a kill."""

import asyncio
import random
import threading
from collections.abc import Iterator

import pytest

from tests.simulation.loop import ProcessKilled, StuckError, VirtualLoop, end


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop(random.Random(1), start=100.0)
    yield made
    if not made.is_closed():
        assert end(made) == []


def test_time_passes_only_by_timers(loop: VirtualLoop) -> None:
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(loop.time())

    async def main() -> None:
        await asyncio.gather(sleeper(3600.0), sleeper(0.25), sleeper(0.0))

    loop.run_until_complete(main())
    assert woken == [100.0, 100.25, 3700.0]


def test_a_thread_is_simulated_and_its_end_comes_later(loop: VirtualLoop) -> None:
    async def main() -> tuple[int, float]:
        began = loop.time()
        name = await asyncio.to_thread(threading.get_ident)
        return name, loop.time() - began

    name, seconds = loop.run_until_complete(main())
    assert name == threading.get_ident()
    assert 0.0 < seconds <= 0.008


def test_an_error_in_a_threads_work_is_raised(loop: VirtualLoop) -> None:
    def fail() -> None:
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        loop.run_until_complete(asyncio.to_thread(fail))


def test_an_endless_wait_is_detected(loop: VirtualLoop) -> None:
    with pytest.raises(StuckError):
        loop.run_until_complete(asyncio.Event().wait())


def test_a_leap_is_noticed_afterwards(loop: VirtualLoop) -> None:
    async def main() -> float:
        loop.call_later(1.0, loop.leap, 600.0)
        await asyncio.sleep(2.0)
        return loop.time()

    assert loop.run_until_complete(main()) == pytest.approx(701.0)


@pytest.mark.parametrize("by_time", [True, False])
def test_a_kill_lets_nothing_run_on(*, loop: VirtualLoop, by_time: bool) -> None:
    steps: list[int] = []

    async def main() -> None:
        for step in range(10):
            steps.append(step)
            await asyncio.sleep(1.0)

    if by_time:
        loop.call_later(2.5, loop.kill)
    else:
        loop.kill_at_turn = 4
    with pytest.raises(ProcessKilled):
        loop.run_until_complete(main())
    before = list(steps)
    assert 0 < len(before) < 10
    assert end(loop) == []
    assert steps == before
