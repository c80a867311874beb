"""How late the event loop is, and tests of real seconds that do not blame it on the package.

A deadline is kept in real time, on a machine that others may use. `timed` tells a test that
fails because the package is late from one that fails because nobody was let act.
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
"""A loop that came so many seconds late to what was due was not let act."""
TRIES: Final = 8
FAILURES: Final = (Exception, pytest.fail.Exception)


class Lag:
    """How late the loop comes to what is due: the time in which nobody could have acted.

    `total` is the sum of all delays, `longest` the longest one.
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
        """Return what has summed up, also of a delay that is not over."""
        return self.total + max(0.0, self._loop.time() - self._due)

    def stop(self) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self._count(self._loop.time() - self._due)


def timed(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Let a failure count only where the loop was on time, or after so many tries.

    Each try has a server and a clock of its own. What the package does wrong fails the first
    try on a quiet machine, and the last one on a busy machine.
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
