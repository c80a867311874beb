"""The limiter that every attempt of a client's calls and jobs waits for.

Every attempt acquires a permit and ends it in one of four ways. Attempts are served in order of
arrival, but a refused call returns to the front, because it has waited already.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from enapter_async.clock import Clock
from enapter_async.limits.cohorts import Cohort
from enapter_async.limits.controller import Controller
from enapter_async.limits.pace import OnChange, Pace, PaceWatchers
from enapter_async.limits.pacing import Pacing
from enapter_async.limits.wake_up import WakeUp

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
        self._monotonic = clock.monotonic
        self._controller = Controller(
            max_in_flight=pacing.max_in_flight, max_rate=pacing.max_rate, uniform=clock.uniform
        )
        self._line: deque[asyncio.Future[Permit]] = deque()
        self._wake_up = WakeUp(clock, self._serve)
        self._watchers = PaceWatchers(self.pace)
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
        return self._watchers.add(on_change)

    def _ended(self) -> None:
        if self._line:
            self._serve()
        if self._told_epoch != self._controller.epoch:
            self._told_epoch = self._controller.epoch
            self._watchers.tell()

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
                if opens_at < math.inf:
                    self._wake_up.at(opens_at)
                return
            line.popleft().set_result(self._controller.begin(now))
        self._wake_up.cancel()

    async def close(self) -> None:
        """Stop the pending wake-up; called when the client is closed."""
        await self._wake_up.close()
