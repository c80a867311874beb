"""What all calls of a client share: in-flight limit, pause after 429, writers' turns."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Protocol

import attrs

from enapter_async.clock import Clock
from enapter_async.errors import Attempt, ConfigurationError, check_number

PROBE: Final = 1
"""How many exchanges may be under way when the gate reopens after a pause."""


@attrs.frozen(kw_only=True)
class Pacing:
    """How much a client asks of the server at once.

    `max_in_flight` bounds the exchanges that are under way; `max_rate` the requests a second
    that are begun, None for no bound. There is no burst: begun requests are evenly spaced.
    """

    max_in_flight: int = 100
    max_rate: float | None = None

    def __attrs_post_init__(self) -> None:
        if isinstance(self.max_in_flight, bool) or not isinstance(self.max_in_flight, int):
            raise ConfigurationError(
                f"Pacing.max_in_flight is {self.max_in_flight!r}; give a whole number"
            )
        if self.max_in_flight < 1:
            raise ConfigurationError(
                f"Pacing.max_in_flight is {self.max_in_flight}; the least is 1"
            )
        if self.max_rate is not None:
            check_number("Pacing.max_rate", self.max_rate, above=True)


class Gate:
    """Every attempt of every call of a client passes here, in order of arrival.

    After a 429 nobody passes until the pause is over. Then one waiting call goes first; each
    attempt that ends in anything but 429 doubles how many may be under way, up to the limit.
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
        """Which pause we are after; an attempt remembers the one it began in."""
        self.level = 0
        """How many pauses came since an attempt last ended in anything but 429."""

    @property
    def in_flight(self) -> int:
        """How many exchanges are under way."""
        return self._in_flight

    def try_enter(self) -> bool:
        """Pass at once where nobody waits and nothing holds; the quick path."""
        if self._line or self._in_flight >= self._allowed:
            return False
        if (self._paused_until or self._spacing) and self._shut_seconds() > 0:
            return False
        if self._spacing:
            self._space()
        self._in_flight += 1
        return True

    async def enter(self) -> None:
        """Wait in line and pass. Cancelled, it leaves the line as if it had never come."""
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
        """Return the place back."""
        self._in_flight -= 1
        if self._line:
            self._call_first()

    def _shut_seconds(self) -> float:
        """Reopen if a pause is over; give how long nobody may pass yet."""
        now = self._clock.monotonic()
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            self._allowed = PROBE
        return max(self._paused_until, self._next_start) - now

    def pause_seconds(self) -> float:
        """Return how much of a pause after 429 is left; 0 or less where there is none."""
        return self._paused_until - self._clock.monotonic() if self._paused_until else 0.0

    def pause(self, seconds: float, epoch: int) -> None:
        """Let nobody pass for some seconds: the server said 429 to an attempt of that epoch.

        Many attempts that were under way together are told 429 together; that is one event,
        so only the first of an epoch raises the level.
        """
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)
        if epoch == self.epoch:
            self.epoch += 1
            self.level += 1

    def widen(self, epoch: int) -> None:
        """Let more pass after a pause: an attempt begun after it ended in no 429."""
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
    """One writer at a time for each thing: a key is held by one call, others wait in order."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]] | None] = {}

    def try_take(self, key: Hashable) -> bool:
        """Take a turn that nobody holds."""
        if key in self._waiting:
            return False
        self._waiting[key] = None
        return True

    async def take(self, key: Hashable) -> None:
        """Wait for the turn and take it. Cancelled, it passes on what it may have been given."""
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
        """Return the turn to the next in line, or free it."""
        line = self._waiting[key]
        while line:
            place = line.popleft()
            if not place.done():
                place.set_result(None)
                return
        del self._waiting[key]


class AttemptObserver(Protocol):
    """Goes with one call: has a say in when its attempts begin, and hears how they end."""

    def may_begin(self) -> bool:
        """Say whether an attempt may begin at once."""
        ...

    async def begin(self) -> None:
        """Wait until an attempt may begin; that does not count against the deadline."""

    def passed(self) -> None:
        """Take note that an attempt brought a good answer."""

    def failed(self, attempt: Attempt, *, timed_out: bool, pause: float) -> None:
        """Take note that an attempt failed.

        `timed_out` says that a limit of ours cut it; `pause` how many seconds the client lets
        nothing pass after a 429, else 0.
        """


async def within(seconds: float, waiting: Callable[[], Awaitable[object]]) -> bool:
    """Wait for something for at most so many seconds; say whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await waiting()
    except TimeoutError:
        return False
    return True
