"""A lock that allows one writer per object at a time, and a wait with a time limit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable


class KeyedLock:
    """Allows one writer at a time per object: one call holds a key, others wait in order."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]] | None] = {}

    def try_take(self, key: Hashable) -> bool:
        """Acquire the key if it is free; return whether that succeeded."""
        if key in self._waiting:
            return False
        self._waiting[key] = None
        return True

    async def take(self, key: Hashable) -> None:
        """Wait for the key and acquire it; if cancelled, pass on a turn already granted."""
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
        """Release the key: pass it to the next in line, or free it."""
        line = self._waiting[key]
        while line:
            place = line.popleft()
            if not place.done():
                place.set_result(None)
                return
        del self._waiting[key]


async def within(seconds: float, waiting: Callable[[], Awaitable[object]]) -> bool:
    """Wait up to the given number of seconds; return whether it happened in time."""
    try:
        async with asyncio.timeout(seconds):
            await waiting()
    except TimeoutError:
        return False
    return True
