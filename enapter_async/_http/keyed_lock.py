"""One writer at a time for each thing that is written to, and waiting that is bounded."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable


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


async def within(seconds: float, waiting: Callable[[], Awaitable[object]]) -> bool:
    """Wait for something for at most so many seconds; return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await waiting()
    except TimeoutError:
        return False
    return True
