"""Measure how late the event loop is, so that tests of real time do not blame the package for it.

Deadlines are kept in real time, on a machine that may be busy. `timed` distinguishes a test that
fails because the package is late from one that fails because the loop was not scheduled.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from tests.support.clock import FakeClock
from tests.support.server import FaultServer

TICK: Final = 0.005
LATE: Final = 0.02
"""If the loop was this many seconds late, it was not scheduled in time."""
TRIES: Final = 8
FAILURES: Final = (Exception, pytest.fail.Exception)


class Lag:
    """How late the event loop runs its timers: during that time no code could act.

    `total` is the sum of all delays, `longest` the longest.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self.longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ask()

    def _ask(self) -> None:
        now = self._loop.time()
        if self._due:
            self._count(now - self._due)
        self._due = now + TICK
        self._timer = self._loop.call_at(self._due, self._ask)

    def _count(self, late: float) -> None:
        self.total += max(0.0, late)
        self.longest = max(self.longest, late)

    def now(self) -> float:
        """Return the sum so far, including a delay that is not over yet."""
        return self.total + max(0.0, self._loop.time() - self._due)

    def stop(self) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self._count(self._loop.time() - self._due)


def timed(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Accept a failure only if the loop was on time, or after `TRIES` attempts.

    Each attempt has its own server and clock. A bug in the package fails the first attempt on a
    quiet machine, and the last one on a busy machine.
    """

    @functools.wraps(test)
    async def tried(**given: Any) -> None:
        for _ in range(TRIES - 1):
            lag = Lag()
            try:
                await _anew(test, given)
            except FAILURES:
                lag.stop()
                if lag.longest < LATE:
                    raise
            else:
                return
            finally:
                lag.stop()
        await _anew(test, given)

    return tried


async def _anew(test: Callable[..., Awaitable[None]], given: dict[str, Any]) -> None:
    async with FaultServer() as server:
        fresh = {"server": server, "clock": FakeClock()}
        await test(**{name: fresh.get(name, value) for name, value in given.items()})
