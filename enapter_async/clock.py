"""Time, sleep and randomness, passed in as an object so that tests can replace them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import attrs


@attrs.frozen(kw_only=True)
class Clock:
    """The source of time and randomness; tests pass their own clock and never wait.

    `monotonic` returns monotonic seconds, and `wall` seconds since 1970, for dates that servers
    send. `sleep` waits; `uniform(a, b)` returns a random number between a and b.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform
