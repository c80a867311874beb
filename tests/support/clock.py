"""A clock whose sleep never waits, and whose chance is known."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import attrs

from enapter_async.clock import Clock


def upper(_low: float, high: float) -> float:
    """Draw the largest number there is, so that a delay shows its bound."""
    return high


def lower(low: float, _high: float) -> float:
    """Draw the smallest number there is."""
    return low


@attrs.define
class FakeClock:
    """Real time plus what was slept; `sleeps` and `draws` tell what was asked for.

    Sleeps that overlap pass together, as they do in life. Real time goes on because
    sockets need it; each test takes so little of it that whole seconds come from
    sleeping alone.
    """

    draw: Callable[[float, float], float] = upper
    skipped: float = 0.0
    sleeps: list[float] = attrs.Factory(list)
    draws: list[tuple[float, float]] = attrs.Factory(list)
    gate: asyncio.Event | None = None
    """If there is one, each sleep lasts until it is set."""
    on_sleep: Callable[[], Awaitable[None]] | None = None
    """Is awaited within each sleep."""
    _news: asyncio.Condition = attrs.Factory(asyncio.Condition)

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped

    def wall(self) -> float:
        return time.time() + self.skipped

    async def sleep(self, seconds: float) -> None:
        awake = self.monotonic() + seconds
        async with self._news:
            self.sleeps.append(seconds)
            self._news.notify_all()
        await asyncio.sleep(0)
        if self.on_sleep is not None:
            await self.on_sleep()
        if self.gate is not None:
            await self.gate.wait()
        self.skipped = max(self.skipped, awake - time.monotonic())

    async def slept(self, count: int = 1) -> None:
        """Wait until so many sleeps have begun."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.sleeps) >= count)

    def uniform(self, low: float, high: float) -> float:
        self.draws.append((low, high))
        return self.draw(low, high)

    def clock(self) -> Clock:
        return Clock(
            monotonic=self.monotonic, wall=self.wall, sleep=self.sleep, uniform=self.uniform
        )
