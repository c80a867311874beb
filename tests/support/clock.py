"""A clock whose sleep returns at once, with predictable randomness."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import attrs

from enapter_async.clock import Clock


def upper(_low: float, high: float) -> float:
    """Return the upper bound, so that a delay shows its maximum."""
    return high


def lower(low: float, _high: float) -> float:
    """Return the lower bound."""
    return low


@attrs.define
class FakeClock:
    """Real time plus the time slept; `sleeps` and `draws` record the calls.

    Overlapping sleeps pass together, as real ones do. Real time also advances because sockets need
    it, but each test takes so little of it that whole seconds come only from sleeping.
    """

    draw: Callable[[float, float], float] = upper
    skipped: float = 0.0
    sleeps: list[float] = attrs.Factory(list)
    draws: list[tuple[float, float]] = attrs.Factory(list)
    gate: asyncio.Event | None = None
    """If set, each sleep lasts until this event is set."""
    on_sleep: Callable[[], Awaitable[None]] | None = None
    """Awaited within each sleep."""
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
        """Wait until at least `count` sleeps have begun."""
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: len(self.sleeps) >= count)

    def uniform(self, low: float, high: float) -> float:
        self.draws.append((low, high))
        return self.draw(low, high)

    def clock(self) -> Clock:
        return Clock(
            monotonic=self.monotonic, wall=self.wall, sleep=self.sleep, uniform=self.uniform
        )
