"""A test of real time is repeated only if the loop was late."""

import asyncio
import time

import pytest

from tests.support.clock import FakeClock
from tests.support.lag import LATE, TRIES, Lag, timed
from tests.support.server import FaultServer


def hold_the_loop() -> None:
    time.sleep(2 * LATE)  # 0.04 s: this measures how long a loop was blocked


async def test_a_delay_is_counted_while_it_lasts_and_after() -> None:
    lag = Lag()
    hold_the_loop()
    assert lag.now() >= LATE
    lag.stop()
    assert lag.longest >= LATE
    assert lag.total >= lag.longest


async def test_a_failure_on_a_late_loop_is_repeated_with_everything_new() -> None:
    met: list[object] = []

    @timed
    async def fails_once(server: FaultServer, clock: FakeClock) -> None:
        met.extend((server, clock))
        if len(met) == 2:
            hold_the_loop()
            await asyncio.sleep(0.001)
            raise AssertionError

    await fails_once(server=None, clock=None)
    assert len({id(each) for each in met}) == 4


async def test_a_failure_on_a_punctual_loop_counts_at_once() -> None:
    tries = 0

    @timed
    async def fails() -> None:
        nonlocal tries
        tries += 1
        if tries == TRIES:
            hold_the_loop()
        await asyncio.sleep(0)
        pytest.fail("as it is")

    with pytest.raises(pytest.fail.Exception):
        await fails()
    assert tries < TRIES


async def test_a_permanent_failure_fails_on_a_late_loop_too() -> None:
    tries = 0

    @timed
    async def fails() -> None:
        nonlocal tries
        tries += 1
        hold_the_loop()
        await asyncio.sleep(0)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await fails()
    assert tries == TRIES
