"""What all calls of a client share: in-flight limit, pause after a 429, one writer at a time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Protocol

import attrs

from enapter_async.clock import Clock
from enapter_async.errors import Attempt, ConfigurationError, check_number

PROBE: Final = 1
"""How many exchanges may be in flight when the gate reopens after a pause."""


@attrs.frozen(kw_only=True)
class Pacing:
    """How much load a client puts on the server.

    `max_in_flight` limits the exchanges in flight; `max_rate` the requests started per second,
    None for no limit. There are no bursts: requests start evenly spaced.
    """

    max_in_flight: int = 100
    max_rate: float | None = None

    def __attrs_post_init__(self) -> None:
        if isinstance(self.max_in_flight, bool) or not isinstance(self.max_in_flight, int):
            raise ConfigurationError(
                f"Pacing.max_in_flight is {self.max_in_flight!r}; it must be a whole number"
            )
        if self.max_in_flight < 1:
            raise ConfigurationError(
                f"Pacing.max_in_flight is {self.max_in_flight}; it must be at least 1"
            )
        if self.max_rate is not None:
            check_number("Pacing.max_rate", self.max_rate, above=True)


class Gate:
    """The gate that every attempt of every call of a client passes, in order of arrival.

    After a 429 nothing passes until the pause is over. Then one waiting call goes first; each
    attempt that ends in anything but 429 doubles how many may be in flight, up to the limit.
    """

    def __init__(self, pacing: Pacing, clock: Clock) -> None:
        self._limit = pacing.max_in_flight
        self._spacing = 0.0 if pacing.max_rate is None else 1.0 / pacing.max_rate
        self._clock = clock
        self._in_flight = 0
        self._allowed = self._limit
        self._paused_until = 0.0
        self._next_start = 0.0
        self._line: deque[asyncio.Future[None]] = deque()
        self.epoch = 0
        """The number of pauses so far; an attempt remembers the one in which it began."""
        self.level = 0
        """How many pauses there were since an attempt last ended in anything but 429."""

    @property
    def in_flight(self) -> int:
        """How many exchanges are in flight."""
        return self._in_flight

    def try_enter(self) -> bool:
        """Pass at once if nobody waits and nothing is in the way; the fast path."""
        if self._line or self._in_flight >= self._allowed:
            return False
        if (self._paused_until or self._spacing) and self._shut_seconds() > 0:
            return False
        if self._spacing:
            self._space()
        self._in_flight += 1
        return True

    async def enter(self) -> None:
        """Wait in line and pass. If cancelled, leave the line as if never in it."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            while True:
                if self._line[0] is not place or self._in_flight >= self._allowed:
                    await place
                    place = self._renew(place)
                elif (seconds := self._shut_seconds()) > 0:
                    await self._clock.sleep(seconds)
                else:
                    break
        except BaseException:
            self._line.remove(place)
            self._call_first()
            raise
        self._line.popleft()
        if self._spacing:
            self._space()
        self._in_flight += 1
        self._call_first()

    def leave(self) -> None:
        """Release the place."""
        self._in_flight -= 1
        if self._line:
            self._call_first()

    def _shut_seconds(self) -> float:
        """Reopen if a pause is over, and return for how long the gate stays shut."""
        now = self._clock.monotonic()
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            self._allowed = PROBE
        return max(self._paused_until, self._next_start) - now

    def pause_seconds(self) -> float:
        """Return how much of a pause after a 429 is left; 0 or less if there is none."""
        return self._paused_until - self._clock.monotonic() if self._paused_until else 0.0

    def pause(self, seconds: float, epoch: int) -> None:
        """Shut the gate for some seconds: an attempt of that epoch was answered with 429.

        Attempts that were in flight together receive their 429 together. That is one event, so
        only the first of an epoch raises the level.
        """
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)
        if epoch == self.epoch:
            self.epoch += 1
            self.level += 1

    def widen(self, epoch: int) -> None:
        """Let more pass after a pause: an attempt begun after it did not end in 429."""
        if epoch != self.epoch:
            return
        self.level = 0
        if self._allowed < self._limit and not self._paused_until:
            self._allowed = min(self._limit, self._allowed * 2)

    def _space(self) -> None:
        self._next_start = max(self._clock.monotonic(), self._next_start) + self._spacing

    def _renew(self, place: asyncio.Future[None]) -> asyncio.Future[None]:
        """Swap a future that has been woken for a new one, at the same place in the line."""
        fresh: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line[self._line.index(place)] = fresh
        return fresh

    def _call_first(self) -> None:
        if self._line and self._in_flight < self._allowed and not self._line[0].done():
            self._line[0].set_result(None)


class KeyedLock:
    """A lock for each key: one call holds it, others wait in order."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]] | None] = {}

    def try_take(self, key: Hashable) -> bool:
        """Take the lock of a key if it is free, and return whether it was."""
        if key in self._waiting:
            return False
        self._waiting[key] = None
        return True

    async def take(self, key: Hashable) -> None:
        """Wait for the lock and take it. If cancelled, pass on what may have been received."""
        line = self._waiting.get(key)
        if line is None:
            line = self._waiting[key] = deque()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            await place
        except BaseException:
            if place in line:
                line.remove(place)
            elif not place.cancelled():
                self.give(key)
            raise

    def give(self, key: Hashable) -> None:
        """Hand the lock to the next in line, or free it."""
        line = self._waiting[key]
        while line:
            place = line.popleft()
            if not place.done():
                place.set_result(None)
                return
        del self._waiting[key]


class AttemptObserver(Protocol):
    """Decides when the attempts of one call may begin, and is notified of how they end."""

    def may_begin(self) -> bool:
        """Return whether an attempt may begin at once."""
        ...

    async def begin(self) -> None:
        """Wait until an attempt may begin; the wait does not count against the deadline."""

    def passed(self) -> None:
        """Record that an attempt received a good answer."""

    def failed(self, attempt: Attempt, *, timed_out: bool, pause: float) -> None:
        """Record that an attempt failed.

        `timed_out` says that one of the client's limits cut it; `pause` is how many seconds the
        gate stays shut after a 429, else 0.
        """


async def within(seconds: float, waiting: Callable[[], Awaitable[object]]) -> bool:
    """Wait for something for at most `seconds`, and return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await waiting()
    except TimeoutError:
        return False
    return True
