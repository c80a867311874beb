"""Reads a run's input in a single task, staying at most a few items ahead of the outcomes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from enapter_async.fleet.inputs import WorkItem

AHEAD: Final = 2
"""The input is pulled at most this many times the concurrency ahead of the consumed outcomes."""


class Producer:
    """Reads items and admits each one, as long as there is room.

    A single task reads, so an async iterable is never advanced twice at once. `before` is awaited
    after an item is read and before it is admitted. `waits` means that reading the input may have
    to wait, so it is not read any further after a stop. `ended` means that the input is exhausted.
    """

    def __init__(
        self,
        items: Iterable[WorkItem] | AsyncIterable[WorkItem],
        admit: Callable[[WorkItem], None],
        *,
        concurrency: int,
        before: Callable[[WorkItem], Awaitable[None]] | None = None,
        waits: bool,
        ahead: int = AHEAD,
    ) -> None:
        self.waits = waits
        self._items = items
        self._admit = admit
        self._before = before
        self._window = ahead * concurrency
        # Wake the task only once this much room is free: waking it for each outcome costs more.
        self._wake_at = self._window - max(1, concurrency // 4)
        self._ahead = 0
        self._room = asyncio.Event()
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self.ended = False

    def start(self, pulling: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start the task that pulls the items."""
        self._task = asyncio.create_task(pulling, name="fleet producer")
        return self._task

    def taken(self, _: object) -> None:
        """Record that an outcome was consumed, which makes room for one more item."""
        self._ahead -= 1
        if self._ahead == self._wake_at:
            self._room.set()

    def stop(self) -> None:
        """Stop reading the input; safe to repeat."""
        self._stopped = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def pull(self) -> None:
        """Read until the input ends or `stop` is called, and raise the errors of the input."""
        items: Any = self._items
        is_async = isinstance(items, AsyncIterable)
        pulls: Any = aiter(items) if is_async else iter(items)
        try:
            while not self._stopped:
                if self._ahead >= self._window:
                    await self._wait_for_room()
                try:
                    item = await anext(pulls) if is_async else next(pulls)
                except (StopIteration, StopAsyncIteration):
                    self.ended = True
                    return
                if self._before is not None:
                    await self._before(item)
                self._ahead += 1
                self._admit(item)
        finally:
            if isinstance(pulls, AsyncGenerator):
                await pulls.aclose()

    async def _wait_for_room(self) -> None:
        while self._ahead >= self._window:
            self._room.clear()
            await self._room.wait()
