"""The limiter that every attempt of a client's calls and jobs waits for.

Every attempt acquires a permit and ends it in one of four ways. Attempts are served in order of
arrival, but a refused call returns to the front, because it has waited already.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from enapter_async.clock import Clock
from enapter_async.limits.cohorts import Cohort
from enapter_async.limits.controller import Controller
from enapter_async.limits.pace import Pace
from enapter_async.limits.pacing import Pacing

OnChange = Callable[[Pace], None]

Permit = Cohort
"""The permit of an attempt in flight; only the limiter that granted it uses its contents."""

FIRST_OWN_DELAY_S: Final = 0.1
LONGEST_OWN_DELAY_S: Final = 20.0


class Limiter(Protocol):
    """Decides when attempts may start, and learns from how they end.

    `Client(limiter=…)` replaces a client's own limiter, for example with one that several
    machines share. Every permit is ended by exactly one of the four methods.
    """

    def try_acquire(self) -> Permit | None:
        """Return a permit at once, or None if the attempt has to wait."""

    async def acquire(self, *, again: bool = False) -> Permit:
        """Wait in line for a permit; with `again`, after a refusal, wait at the front.

        A cancellation leaves no trace: a permit already granted goes to the next in line.
        """
        ...

    def passed(self, permit: Permit) -> None:
        """End an attempt that received any answer other than a refusal."""

    def refused(self, permit: Permit, retry_after: float | None) -> None:
        """End an attempt refused for too many requests; `retry_after` is in seconds, if sent."""

    def dropped(self, permit: Permit) -> None:
        """End an attempt that reveals nothing about the server, such as a cancelled one."""

    def lost(self, permit: Permit, *, unreachable: bool = False) -> None:
        """End an attempt that timed out, or that found the host `unreachable`."""

    def pace(self) -> Pace:
        """Return the currently allowed pace, with the reason."""
        ...

    def watch(self, on_change: OnChange) -> Callable[[], None]:
        """Call `on_change` with each new pace; return a function that stops this."""
        ...


def own_delay(clock: Clock, times: int, retry_after: float | None) -> float:
    """Return how many seconds an operation itself waits after its `times`-th refusal.

    The limiter decides whether others are slowed down as well. Full jitter keeps operations that
    were refused together from returning together; the server's Retry-After is a lower bound.
    """
    most = min(LONGEST_OWN_DELAY_S, FIRST_OWN_DELAY_S * 2.0 ** min(times - 1, 30))
    return (retry_after or 0.0) + clock.uniform(0.0, most)


class AdaptiveLimiter:
    """A client's own limiter: a line in front of a `Controller`."""

    def __init__(self, pacing: Pacing, clock: Clock) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._controller = Controller(
            max_in_flight=pacing.max_in_flight, max_rate=pacing.max_rate, uniform=clock.uniform
        )
        self._line: deque[asyncio.Future[Permit]] = deque()
        self._sleeper: asyncio.Task[None] | None = None
        self._wakes_at = math.inf
        self._watchers: list[OnChange] = []
        self._told_epoch = self._controller.epoch

    @property
    def in_flight(self) -> int:
        """How many attempts are in flight."""
        return self._controller.in_flight

    def holds_back(self, permit: Permit) -> bool:
        """Return whether a permit that is not used yet should not be used now."""
        return self._controller.holds_back(permit)

    def try_acquire(self) -> Permit | None:
        """Return a permit at once, or None if the attempt has to wait."""
        if self._line:
            return None
        return self._controller.try_begin(self._monotonic())

    async def acquire(self, *, again: bool = False) -> Permit:
        """Wait in line for a permit."""
        place: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        if again:
            self._line.appendleft(place)
        else:
            self._line.append(place)
        self._serve()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.dropped(place.result())
            else:
                self._serve()
            raise

    def passed(self, permit: Permit) -> None:
        """End an attempt that received any answer other than a refusal."""
        self._controller.passed(permit, self._monotonic())
        if self._line or self._told_epoch != self._controller.epoch:
            self._ended()

    def refused(self, permit: Permit, retry_after: float | None) -> None:
        """End an attempt that was refused for too many requests."""
        self._controller.refused(permit, self._monotonic(), retry_after)
        self._ended()

    def dropped(self, permit: Permit) -> None:
        """End an attempt that reveals nothing about the server."""
        self._controller.dropped(permit, self._monotonic())
        self._ended()

    def lost(self, permit: Permit, *, unreachable: bool = False) -> None:
        """End an attempt that timed out, or that found the host unreachable."""
        self._controller.lost(permit, self._monotonic(), unreachable=unreachable)
        self._ended()

    def pace(self) -> Pace:
        """Return the currently allowed pace, with the reason."""
        return self._controller.pace(self._monotonic())

    def watch(self, on_change: OnChange) -> Callable[[], None]:
        """Call `on_change` with each new pace; return a function that stops this."""
        self._watchers.append(on_change)
        return lambda: self._watchers.remove(on_change)

    def _ended(self) -> None:
        if self._line:
            self._serve()
        if self._told_epoch != self._controller.epoch:
            self._told_epoch = self._controller.epoch
            if self._watchers:
                pace = self.pace()
                for on_change in tuple(self._watchers):
                    on_change(pace)

    def _serve(self) -> None:
        """Grant the permits that are possible now, and schedule a wake-up for the next one."""
        line = self._line
        while line:
            if line[0].done():
                line.popleft()
                continue
            now = self._monotonic()
            opens_at = self._controller.opens_at(now)
            if opens_at > now:
                self._wake_at(opens_at)
                return
            line.popleft().set_result(self._controller.begin(now))
        self._wake_at(math.inf)

    def _wake_at(self, opens_at: float) -> None:
        sleeper = self._sleeper
        if sleeper is not None and (self._wakes_at > opens_at or not self._line):
            self._sleeper = None
            sleeper.cancel()
        if self._sleeper is None and opens_at < math.inf:
            self._wakes_at = opens_at
            self._sleeper = asyncio.get_running_loop().create_task(self._sleep())

    async def _sleep(self) -> None:
        while (seconds := self._wakes_at - self._monotonic()) > 0:
            await self._clock.sleep(seconds)
        self._sleeper = None
        self._serve()

    async def close(self) -> None:
        """Stop the pending wake-up; called when the client is closed."""
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sleeper
