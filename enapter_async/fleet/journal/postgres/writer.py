"""Write a journal to PostgreSQL in groups: each commit takes all rows since the previous one.

Every commit is as durable as the server's settings require: no mode trades certainty for speed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.postgres.rows import group_statement
from enapter_async.fleet.journal.records import EventRow, ItemRow, RowGroup


class Group(RowGroup):
    """A group that one statement writes."""

    __slots__ = ()

    def statement(self, run: int, epoch: int, *, durable: bool) -> tuple[str, list[Any]]:
        """Return the one statement that writes the group; see `rows.group_statement`."""
        return group_statement(run, epoch, self.items, self.events, self.facts, durable=durable)


class PostgresWriter:
    """Accepts rows, and writes all rows since the last commit in one statement."""

    def __init__(
        self,
        write: Callable[[Group], Awaitable[None]],
        on_failure: Callable[[JournalError], None],
    ) -> None:
        self._write = write
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._next = Group()
        self._flushing: asyncio.Task[None] | None = None
        self.failure: JournalError | None = None

    def add_item(self, row: ItemRow) -> None:
        """Submit an item; it is committed with, or before, any event submitted later."""
        self._next.items.append(row)
        self._schedule()

    def add_fact(self, key: str, value: str) -> None:
        """Submit a fact about the run, replacing one of the same name."""
        self._next.facts[key] = value
        self._schedule()

    def add(self, event: EventRow, *, power: bool = False) -> None:
        """Submit an event without waiting for its commit."""
        self._next.events.append(event)
        self._schedule()

    def commit(self, event: EventRow, *, power: bool = False) -> asyncio.Future[None]:
        """Submit an event; the returned future is done when it is committed."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self.failure is not None:
            waiter.set_exception(_copy(self.failure))
            return waiter
        self._next.waiters.append(waiter)
        self.add(event)
        return waiter

    async def close(self) -> None:
        """Write the remaining rows.

        Raises:
            JournalError: not everything could be written.
        """
        while self._flushing is not None:
            await asyncio.wait({self._flushing})
        if self.failure is not None:
            raise _copy(self.failure)

    def fail(self, error: JournalError) -> None:
        """Accept nothing more, because the hold is lost."""
        if self.failure is None:
            self.failure = error
            self._on_failure(error)

    def _schedule(self) -> None:
        if self._flushing is None:
            self._flushing = self._loop.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while not self._next.empty:
                group, self._next = self._next, Group()
                try:
                    if self.failure is None:
                        await self._write(group)
                except JournalError as error:
                    self.fail(error)
                except BaseException as error:
                    self.fail(JournalError(f"the journal cannot be written: {error!r}"))
                    raise
                finally:
                    self._release(group.waiters)
        finally:
            self._flushing = None

    def _release(self, waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if waiter.done():
                continue
            if self.failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(_copy(self.failure))


def _copy(error: JournalError) -> JournalError:
    """Return a separate error for each waiter: one raised twice would collect two tracebacks."""
    return type(error)(str(error))
