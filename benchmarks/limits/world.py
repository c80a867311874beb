"""Virtual time, and servers that limit in different ways. Nothing of the package is used here."""

import asyncio
import heapq
import math
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH: Final = 1000.0
"""The start of virtual time: no limiter may rely on zero."""
LATENCY: Final = 0.02
"""The seconds of a round trip."""

Rate = Callable[[float], float]


class _Selector(selectors.SelectSelector):
    """Lets no time pass: events that the loop would wait for are due at once."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is scheduled, so virtual time stands still")
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer."""

    # Names of asyncio's base loop, which offers no other way to set the time of its timers.
    _ready: Any
    _scheduled: Any
    _timer_cancelled_count: int

    def __init__(self) -> None:
        self._now = EPOCH
        super().__init__(_Selector())

    def time(self) -> float:
        """Return the virtual time."""
        return self._now

    def _run_once(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:  # noqa: SLF001 - as the base loop does
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False  # noqa: SLF001 - as the base loop does
        if not self._ready and scheduled:
            # Exactly that number, so that no rounding keeps a timer from being due.
            self._now = max(self._now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]  # typeshed shows what is public


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


Answer = tuple[int, float | None]
"""A status, and the seconds of Retry-After if it was sent."""


class Server:
    """Answers everything; a subclass that limits decides in `decide`, when a request arrives."""

    def __init__(self, *, latency: float = LATENCY, service: float = 0.0) -> None:
        self.random = random.Random(1)  # noqa: S311 - no secret
        self.latency = latency
        self.service = service
        self.requests = 0
        self.good = 0
        self.in_flight = 0
        self.arrived: list[float] = []

    def decide(self, now: float) -> Answer | None:
        """Return how a request that arrives now is refused, or None."""
        return None

    async def exchange(self) -> Answer:
        """Take one request; return its answer after the round trip."""
        latency = self.latency * self.random.uniform(0.8, 1.25)
        await asyncio.sleep(0.4 * latency)
        now = asyncio.get_running_loop().time()
        self.requests += 1
        self.arrived.append(now)
        refusal = self.decide(now)
        if refusal is not None:
            await asyncio.sleep(0.4 * latency)
            return refusal
        self.in_flight += 1
        await asyncio.sleep(0.2 * latency + self.service)
        self.in_flight -= 1
        self.good += 1
        await asyncio.sleep(0.4 * latency)
        return 200, None


class Chance(Server):
    """Refuses a share of all requests, whatever their rate."""

    def __init__(self, share: float, told: float | None = None, status: int = 429) -> None:
        super().__init__()
        self._share = share
        self._answer: Answer = (status, told)

    def decide(self, now: float) -> Answer | None:
        """Refuse by lot."""
        return self._answer if self.random.random() < self._share else None


class Bucket(Server):
    """A token bucket; `others` first take that much of its rate, and `share` is refused as well."""

    def __init__(
        self,
        rate: float | Rate,
        burst: float,
        *,
        told: float | None = None,
        others: Rate | None = None,
        share: float = 0.0,
    ) -> None:
        super().__init__()
        self._rate: Rate = rate if callable(rate) else lambda _: rate
        self._burst = self._tokens = burst
        self._told = told
        self._others = others
        self._share = share
        self._at: float | None = None

    def decide(self, now: float) -> Answer | None:
        """Refuse if no token is left."""
        if self._share and self.random.random() < self._share:
            return 429, None
        passed = 0.0 if self._at is None else now - self._at
        self._at = now
        rate = self._rate(now) - (self._others(now) if self._others else 0.0)
        self._tokens = min(self._burst, self._tokens + max(0.0, rate) * passed)
        if self._tokens < 1:
            return 429, self._told
        self._tokens -= 1
        return None


class Window(Server):
    """Accepts a limited number of requests in each window; `tells` when the next one begins."""

    def __init__(self, count: int, seconds: float, *, tells: bool = False) -> None:
        super().__init__()
        self._count = count
        self._seconds = seconds
        self._tells = tells
        self._window = -1
        self._taken = 0

    def decide(self, now: float) -> Answer | None:
        """Refuse requests beyond the window's quota."""
        window = math.floor((now - EPOCH) / self._seconds)
        if window != self._window:
            self._window, self._taken = window, 0
        if self._taken < self._count:
            self._taken += 1
            return None
        left = math.ceil((window + 1) * self._seconds + EPOCH - now)
        return 429, left if self._tells else None


class Places(Server):
    """Accepts that many requests at once."""

    def __init__(self, count: int, service: float) -> None:
        super().__init__(service=service)
        self._count = count

    def decide(self, now: float) -> Answer | None:
        """Refuse if every place is taken."""
        return None if self.in_flight < self._count else (429, None)


class Outages(Server):
    """Refuses everything for the last `bad` seconds of each `period`; its answers take long."""

    def __init__(self, period: float, bad: float) -> None:
        super().__init__(latency=10 * LATENCY)
        self._period = period
        self._bad = bad

    def decide(self, now: float) -> Answer | None:
        """Refuse in an outage."""
        return (429, None) if (now - EPOCH) % self._period > self._period - self._bad else None


def in_turn(first: float, second: float, period: float) -> Rate:
    """Return a rate that changes with each period."""
    return lambda now: first if int((now - EPOCH) / period) % 2 == 0 else second


def wave(mean: float, amplitude: float, period: float) -> Rate:
    """Return a rate that rises and falls."""
    return lambda now: mean + amplitude * math.sin(2 * math.pi * (now - EPOCH) / period)
