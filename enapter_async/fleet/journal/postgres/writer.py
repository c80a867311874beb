"""Write a journal to PostgreSQL in groups: each commit takes all rows since the previous one.

Every commit is as durable as the server's settings require: no mode trades certainty for speed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.records import EventRow
from enapter_async.fleet.journal.row_groups import RowGroup, Writer, copied

GATHER_SECONDS: Final = 0.002
"""How long rows are gathered before each commit. A commit costs as much CPU time as 50 rows, and an
operation's request takes much longer than this."""


class PostgresWriter(Writer):
    """Accepts rows, and writes all rows since the last commit in one statement."""

    def __init__(
        self,
        write: Callable[[RowGroup], Awaitable[None]],
        on_failure: Callable[[JournalError], None],
    ) -> None:
        super().__init__(on_failure)
        self._write = write
        self._flushing: asyncio.Task[None] | None = None

    def add(self, event: EventRow, *, power: bool = False) -> None:
        """Submit an event without waiting for its commit."""
        self._next.events.append(event)
        if self._flushing is None:
            self._schedule()

    def commit(self, event: EventRow, *, power: bool = False) -> asyncio.Future[None]:
        """Submit an event; the returned future is done when it is committed."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self.failure is not None:
            waiter.set_exception(copied(self.failure))
            return waiter
        group = self._next
        group.waiters.append(waiter)
        group.events.append(event)
        if self._flushing is None:
            self._schedule()
        return waiter

    async def close(self) -> None:
        """Write the remaining rows."""
        while self._flushing is not None:
            await asyncio.wait({self._flushing})
        if self.failure is not None:
            raise copied(self.failure)

    def _schedule(self) -> None:
        if self._flushing is None:
            self._flushing = self._loop.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while not self._next.empty:
                await asyncio.sleep(GATHER_SECONDS)
                group, self._next = self._next, RowGroup()
                try:
                    if self.failure is None:
                        await self._write(group)
                except JournalError as error:
                    self.fail(error)
                except BaseException as error:
                    self.fail(JournalError(f"the journal cannot be written: {error!r}"))
                    raise
                finally:
                    group.release(self.failure)
        finally:
            self._flushing = None
