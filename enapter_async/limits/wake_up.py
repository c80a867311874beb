"""A timer that can be rescheduled: it calls a function once, at the last time that was set."""

import asyncio
import contextlib
from collections.abc import Callable

from enapter_async.clock import Clock


class WakeUp:
    """Calls `wake` once the time is reached; all times are monotonic seconds."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._sleeper: asyncio.Task[None] | None = None
        self._at = 0.0

    def at(self, when: float) -> None:
        """Wake at this time, or earlier if an earlier time is set already."""
        if self._sleeper is not None and self._at > when:
            self.cancel()
        if self._sleeper is None:
            self._at = when
            self._sleeper = asyncio.get_running_loop().create_task(self._sleep())

    def cancel(self) -> None:
        """Forget the time."""
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.cancel()

    async def close(self) -> None:
        """Forget the time, and wait for the end of the task."""
        sleeper = self._sleeper
        self.cancel()
        if sleeper is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await sleeper

    async def _sleep(self) -> None:
        while (seconds := self._at - self._clock.monotonic()) > 0:
            await self._clock.sleep(seconds)
        self._sleeper = None
        self._wake()
