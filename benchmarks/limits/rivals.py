"""Other algorithms on the same servers: 64 workers that repeat each request until it passes."""

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from benchmarks.limits.rows import WORKERS
from benchmarks.limits.world import Server

ODD_SECONDS: Final = 0.5
"""botocore counts sent requests in halves of a second."""


class Rule(Protocol):
    """When an attempt may begin, and what a refusal means."""

    async def enter(self) -> None:
        """Wait until an attempt may begin."""

    def passed(self) -> None:
        """Record an attempt that passed."""

    def refused(self, told: float | None, times: int) -> float:
        """Return how long an operation waits after that many refusals."""


class AsTold:
    """Waits as the server says, separately for each operation, and slows down nothing else."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def enter(self) -> None:
        """Begin at once."""

    def passed(self) -> None:
        """Learn nothing."""

    def refused(self, told: float | None, times: int) -> float:
        """Wait as the server says, or for a jittered second that doubles."""
        if told is not None:
            return told + self._chance.uniform(0.0, min(5.0, 0.25 * told + 0.5))
        return self._chance.uniform(0.0, min(20.0, 2.0 ** min(times, 30)))


class Adaptive:
    """botocore's `retry_mode=adaptive`: a token bucket whose rate every refusal cuts.

    Its rate grows as a cubic of the time since the last refusal. Attempts are not limited here, so
    that every operation passes in the end.
    """

    KEPT: Final = 0.7
    SCALE: Final = 0.4
    SMOOTHED: Final = 0.8
    SLOWEST: Final = 0.5

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._rate: float | None = None
        self._most_tokens = self._tokens = 0.0
        self._filled_at: float | None = None
        self._rate_at_cut = 0.0
        self._cut_at = self._loop.time()
        self._measured = 0.0
        self._bin = self._now_bin()
        self._in_bin = 0

    async def enter(self) -> None:
        """Take a token, once there was a refusal."""
        if self._rate is None:
            return
        async with self._lock:
            self._fill()
            while self._tokens < 1:
                await asyncio.sleep((1 - self._tokens) / self._rate + 1e-6)
                self._fill()
            self._tokens -= 1

    def passed(self) -> None:
        """Grow, but to no more than twice the rate of sending."""
        self._measure()
        if self._rate is not None:
            self._set(min(self._cubic(), 2 * self._measured))

    def refused(self, told: float | None, times: int) -> float:
        """Cut the rate; wait for a jittered second that doubles."""
        self._measure()
        rate = self._measured if self._rate is None else min(self._measured, self._rate)
        self._rate_at_cut, self._cut_at = rate, self._loop.time()
        self._set(rate * self.KEPT)
        return self._chance.uniform(0.0, min(20.0, 2.0 ** min(times, 30)))

    def _cubic(self) -> float:
        back_after = math.cbrt(self._rate_at_cut * (1 - self.KEPT) / self.SCALE)
        since = self._loop.time() - self._cut_at
        return self.SCALE * (since - back_after) ** 3 + self._rate_at_cut

    def _set(self, rate: float) -> None:
        if self._rate is not None:
            self._fill()
        self._rate = max(self.SLOWEST, rate)
        self._most_tokens = max(1.0, rate)
        self._tokens = min(self._tokens, self._most_tokens)

    def _fill(self) -> None:
        now = self._loop.time()
        if self._filled_at is not None and self._rate is not None:
            new = (now - self._filled_at) * self._rate
            self._tokens = min(self._most_tokens, self._tokens + new)
        self._filled_at = now

    def _now_bin(self) -> float:
        return math.floor(self._loop.time() / ODD_SECONDS) * ODD_SECONDS

    def _measure(self) -> None:
        self._in_bin += 1
        now = self._now_bin()
        if now > self._bin:
            rate = self._in_bin / (now - self._bin)
            self._measured = rate * self.SMOOTHED + self._measured * (1 - self.SMOOTHED)
            self._in_bin, self._bin = 0, now


RIVALS: Final[dict[str, Callable[[random.Random], Rule]]] = {
    "as told": AsTold,
    "botocore adaptive": Adaptive,
}


async def pooled(server: Server, name: str, operations: int, clients: int, seed: int) -> float:
    """Carry out that many operations by a rival's algorithm; return the seconds it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def client(number: int) -> None:
        rule = RIVALS[name](random.Random(100 * seed + number))  # noqa: S311 - no secret
        left = iter(range(operations // clients))
        await asyncio.gather(*(_work(server, rule, left) for _ in range(WORKERS)))

    await asyncio.gather(*(client(number) for number in range(clients)))
    return loop.time() - began


async def _work(server: Server, rule: Rule, left: Iterator[int]) -> None:
    for _ in left:
        times = 0
        while True:
            await rule.enter()
            status, told = await server.exchange()
            if status == 200:
                rule.passed()
                break
            await asyncio.sleep(rule.refused(told, times))
            times += 1
