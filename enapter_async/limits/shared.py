"""A limiter whose maximum rate is shared by many processes, on one machine or on several.

The processes share a line of *slots*, one for each request, kept by a server that all of them can
reach. A process reserves a slot for each waiting call, in one round trip. The answer is a duration
("your 12 slots start in 0.08 s, 2 ms apart"), so clocks need not agree. Each process learns for
itself how much the API's server can handle; declared limits and pauses are shared.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, Self

import attrs

from enapter_async.clock import Clock
from enapter_async.errors import TransportError
from enapter_async.limits.limiter import AdaptiveLimiter, Permit
from enapter_async.limits.pace import OnChange, Pace, PaceWatchers
from enapter_async.limits.pacing import Pacing
from enapter_async.limits.wake_up import WakeUp

HORIZON_S: Final = 0.5
"""How far ahead slots may be reserved; a process that needs later slots must ask again."""
MOST_AT_ONCE: Final = 64
"""How many slots one process may reserve at once."""
LEAD_S: Final = 0.05
"""More slots are reserved once the last reserved slot is no further ahead than this."""
LATE_S: Final = 0.01
"""A slot that is this late (or one spacing, if that is longer) is lost. Otherwise a process that
wakes up late would send everything it missed at once.
"""
SLOW_ANSWER_S: Final = 0.1
"""If a reservation takes this much longer than the fastest reservation, its slots may have passed.
"""
TAKE_S: Final = 5.0
"""How long a reservation may take before the slot server counts as unreachable."""
FIRST_RETRY_S: Final = 0.1
LONGEST_RETRY_S: Final = 2.0
MAX_AWAY_S: Final = 900.0
"""How long callers without a deadline wait while the slot server is unreachable."""


@attrs.frozen(kw_only=True)
class Grant:
    """The answer to a reservation: `number` slots, the first of them in `begins_in` seconds.

    They are `spacing` seconds apart. If there are no slots, ask again in `begins_in` seconds;
    `paused` means that this is because of a pause.
    """

    number: int
    begins_in: float
    spacing: float
    paused: bool = False


class SlotsAwayError(Exception):
    """The slot server cannot be reached; the message says why."""


class Slots(Protocol):
    """A line of slots that several processes share; `max_rate` is the number per second."""

    max_rate: float

    async def take(self, number: int) -> Grant:
        """Reserve at most `number` slots, none further ahead than `HORIZON_S`.

        Raises:
            SlotsAwayError: they cannot be reserved now.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Grant no slots for this many seconds.

        Raises:
            SlotsAwayError: the pause could not be shared.
        """

    async def close(self) -> None:
        """Release all resources; safe to repeat."""


def _nothing() -> None:
    pass


class SharedLimiter:
    """A `Limiter` that starts attempts only in slots that all processes share.

    Use it in an `async with` block around the clients that take it as `Client(limiter=…)`. While
    the slot server is unreachable, nothing is sent: calls wait within their deadlines.
    `max_in_flight` applies to this process alone; so does `own`, a limiter that may be shared with
    other clients of this process and takes its place.
    """

    def __init__(
        self,
        slots: Slots,
        *,
        max_in_flight: int = 100,
        clock: Clock | None = None,
        own: AdaptiveLimiter | None = None,
    ) -> None:
        self._slots = slots
        self._clock = clock = clock or Clock()
        self._monotonic = clock.monotonic
        self._own = own or AdaptiveLimiter(Pacing(max_in_flight=max_in_flight), clock)
        self._own_is_given = own is not None
        self._line: deque[asyncio.Future[float | None]] = deque()
        self._held: deque[float] = deque()
        """When each reserved but unused slot starts."""
        self._wake_up = WakeUp(clock, self._serve)
        self._reserving: asyncio.Task[None] | None = None
        self._pausing: asyncio.Task[None] | None = None
        self._asks_at = 0.0
        self._quickest = math.inf
        self._paused_until = 0.0
        self._away = ""
        self._away_since = 0.0
        self._failures = 0
        self._watchers = PaceWatchers(self.pace)
        self._unwatch = self._own.watch(lambda _: self._watchers.tell())
        self.lost_slots = 0
        """How many reserved slots passed without being used."""

    async def __aenter__(self) -> Self:
        """Return the limiter; it first contacts the slot server when a call waits."""
        return self

    async def __aexit__(self, *exit_: object) -> None:
        """Cancel pending waits, and close the slots."""
        await self.close()

    async def close(self) -> None:
        """Cancel pending waits, and close the slots; safe to repeat."""
        tasks = [each for each in (self._reserving, self._pausing) if each]
        self._reserving = self._pausing = None
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._wake_up.close()
        unwatch, self._unwatch = self._unwatch, _nothing
        unwatch()
        if not self._own_is_given:
            await self._own.close()
        await self._slots.close()

    # The methods of `Limiter`.

    def try_acquire(self) -> Permit | None:
        """Return a permit immediately if a slot is free now and no call is waiting."""
        if self._line or not self._is_due(self._monotonic()):
            return None
        permit = self._own.try_acquire()
        if permit is not None:
            self._held.popleft()
        return permit

    async def acquire(self, *, again: bool = False) -> Permit:
        """Wait for a permit of this process, and then for a slot."""
        while True:
            permit = self._own.try_acquire() or await self._own.acquire(again=again)
            if not self._own.holds_back(permit) and await self._wait_for_slot(permit, again=again):
                return permit
            # Refusals came in the meantime, so this process decides again.
            self._own.dropped(permit)
            self._share_pause()
            again = True

    async def _wait_for_slot(self, permit: Permit, *, again: bool) -> bool:
        """Wait for a slot; return False if refusals came first."""
        place: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
        if again:
            self._line.appendleft(place)
        else:
            self._line.append(place)
        self._serve()
        try:
            return await place is not None
        except BaseException as error:
            self._own.dropped(permit)
            if isinstance(error, asyncio.CancelledError) and place.done():
                if not place.cancelled() and (slot := place.result()) is not None:
                    self._held.appendleft(slot)
                self._serve()
            raise

    def passed(self, permit: Permit) -> None:
        """End an attempt that received any answer other than a refusal."""
        self._own.passed(permit)

    def refused(self, permit: Permit, retry_after: float | None) -> None:
        """End an attempt that was refused; if this process now pauses, so do the others."""
        self._own.refused(permit, retry_after)
        if self._own.holds_back(permit):
            self._held.clear()
            for place in self._line:
                if not place.done():
                    place.set_result(None)
            self._line.clear()
        self._share_pause()

    def _share_pause(self) -> None:
        seconds, now = self._own.pace().paused_s, self._monotonic()
        if seconds > 0 and now + seconds > self._paused_until + LEAD_S:
            self._pause_here(now, seconds)
            if self._pausing is None:
                self._pausing = asyncio.get_running_loop().create_task(self._tell_pause())

    def dropped(self, permit: Permit) -> None:
        """End an attempt that reveals nothing about the server."""
        self._own.dropped(permit)

    def lost(self, permit: Permit, *, unreachable: bool = False) -> None:
        """End an attempt that timed out, or that found the host unreachable."""
        self._own.lost(permit, unreachable=unreachable)

    def pace(self) -> Pace:
        """Return the pace of this process, within the shared rate."""
        own, most = self._own.pace(), self._slots.max_rate
        paused_s = max(own.paused_s, self._paused_until - self._monotonic())
        declared = own.rate is None or own.rate >= most
        return attrs.evolve(
            own,
            rate=most if declared else own.rate,
            declared=declared or own.declared,
            paused_s=paused_s,
            blocked=self._away,
        )

    def watch(self, on_change: OnChange) -> Callable[[], None]:
        """Call `on_change` with each new pace; return a function that stops this."""
        return self._watchers.add(on_change)

    # The line, and the slots for it.

    def _is_due(self, now: float) -> bool:
        """Return whether a slot may be used now; slots that have passed are dropped."""
        late = max(LATE_S, 1.0 / self._slots.max_rate)
        held = self._held
        while held and held[0] < now - late:
            held.popleft()
            self.lost_slots += 1
        return bool(held) and held[0] <= now

    def _serve(self) -> None:
        """Release calls whose slots are due, reserve more, and schedule the next step."""
        line, held = self._line, self._held
        now = self._monotonic()
        while line and (line[0].done() or self._is_due(now)):
            place = line.popleft()
            if not place.done():
                place.set_result(held.popleft())
        if not line:
            self._wake_up.cancel()
            return
        wakes_at = held[0] if held else math.inf
        if len(line) > len(held) and self._reserving is None:
            asks_at = max(self._asks_at, held[-1] - LEAD_S if held else 0.0)
            if asks_at <= now:
                self._reserving = asyncio.get_running_loop().create_task(self._reserve())
            else:
                wakes_at = min(wakes_at, asks_at)
        if wakes_at < math.inf:
            self._wake_up.at(wakes_at)

    async def _reserve(self) -> None:
        asked = self._monotonic()
        try:
            async with asyncio.timeout(TAKE_S):
                grant = await self._slots.take(
                    min(MOST_AT_ONCE, max(1, len(self._line) - len(self._held)))
                )
        except (SlotsAwayError, TimeoutError) as error:
            self._went_away(str(error) or f"no answer within {TAKE_S:g} s")
        else:
            self._take(grant, asked)
        self._reserving = None
        self._serve()

    def _take(self, grant: Grant, asked: float) -> None:
        now = self._monotonic()
        came_back, self._away, self._failures = bool(self._away), "", 0
        took = now - asked
        self._quickest = min(self._quickest, took)
        if grant.paused and now + grant.begins_in > self._paused_until + LEAD_S:
            self._pause_here(now, grant.begins_in)
        elif not grant.number:
            # The first process to ask gets the free slots, which is not always the same process.
            self._asks_at = now + max(0.001, self._clock.uniform(0.5, 1.0) * grant.begins_in)
        elif took > self._quickest + SLOW_ANSWER_S:
            self.lost_slots += grant.number
        else:
            # Counted from the answer: this is never early, and late by at most the round trip.
            first = now + grant.begins_in
            self._held.extend(first + number * grant.spacing for number in range(grant.number))
        if came_back:
            self._watchers.tell()

    def _pause_here(self, now: float, seconds: float) -> None:
        self._paused_until = self._asks_at = now + seconds
        self._held.clear()
        self._watchers.tell()

    async def _tell_pause(self) -> None:
        try:
            async with asyncio.timeout(TAKE_S):
                await self._slots.pause(self._paused_until - self._monotonic())
        except (SlotsAwayError, TimeoutError) as error:
            self._went_away(str(error) or f"no answer within {TAKE_S:g} s")
        self._pausing = None

    def _went_away(self, why: str) -> None:
        now = self._monotonic()
        changed = not self._away
        if changed:
            self._away_since = now
        self._away = f"the shared limit cannot be reached: {why}"
        doubled = FIRST_RETRY_S * 2.0 ** min(self._failures, 10)
        self._failures += 1
        self._asks_at = now + self._clock.uniform(0.5, 1.0) * min(LONGEST_RETRY_S, doubled)
        if now - self._away_since >= MAX_AWAY_S:
            for place in self._line:
                if not place.done():
                    place.set_exception(TransportError(f"{self._away}; nothing was sent"))
            self._line.clear()
        if changed:
            self._watchers.tell()
