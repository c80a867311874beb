"""The input of a run, pulled by one task, at most so far ahead of the outcomes."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from enapter_async.fleet.work import Work

AHEAD: Final = 2
"""The input is pulled at most this many times the concurrency ahead of the taken outcomes."""


class Feed:
    """Pulls works and admits each, while there is room.

    One task pulls, so that an async iterable is never pulled twice at once. `before` is awaited
    between pulling a work and admitting it. `ended` says that the input came to its end.
    """

    def __init__(
        self,
        works: Iterable[Work] | AsyncIterable[Work],
        admit: Callable[[Work], None],
        *,
        concurrency: int,
        before: Callable[[Work], Awaitable[None]] | None = None,
        ahead: int = AHEAD,
    ) -> None:
        self._works = works
        self._admit = admit
        self._before = before
        self._window = ahead * concurrency
        # The task sleeps until so much room is free: waking it for each outcome costs more.
        self._wake_at = self._window - max(1, concurrency // 4)
        self._ahead = 0
        self._room = asyncio.Event()
        self._halted = False
        self._task: asyncio.Task[None] | None = None
        self.ended = False

    def start(self, pulling: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Begin the task that pulls."""
        self._task = asyncio.create_task(pulling, name="fleet feeder")
        return self._task

    @property
    def is_async(self) -> bool:
        """Whether the input waits by itself, so that it is not read on after a stop."""
        return isinstance(self._works, AsyncIterable)

    def taken(self) -> None:
        """Take note that an outcome was taken: there is room for one more."""
        self._ahead -= 1
        if self._ahead == self._wake_at:
            self._room.set()

    def halt(self) -> None:
        """Pull nothing more; safe to repeat."""
        self._halted = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def pull(self) -> None:
        """Pull until the input ends or is halted; what the input raises comes out."""
        if isinstance(self._works, AsyncIterable):
            async_pulls = aiter(self._works)
            while not self._halted:
                if self._ahead >= self._window:
                    await self._wait_for_room()
                try:
                    work = await anext(async_pulls)
                except StopAsyncIteration:
                    self.ended = True
                    return
                if self._before is not None:
                    await self._before(work)
                self._ahead += 1
                self._admit(work)
            return
        pulls = iter(self._works)
        while not self._halted:
            if self._ahead >= self._window:
                await self._wait_for_room()
            try:
                work = next(pulls)
            except StopIteration:
                self.ended = True
                return
            if self._before is not None:
                await self._before(work)
            self._ahead += 1
            self._admit(work)

    async def _wait_for_room(self) -> None:
        while self._ahead >= self._window:
            self._room.clear()
            await self._room.wait()
