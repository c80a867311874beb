"""Time, sleep and randomness, passed in rather than reached for."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import attrs


@attrs.frozen(kw_only=True)
class Clock:
    """Where the package gets time and chance from; tests pass their own and never wait.

    `monotonic` and `wall` give seconds (wall: since 1970, for dates that servers send);
    `sleep` waits; `uniform(a, b)` draws a number between a and b.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform
