"""Write a journal in groups: rows submitted in two turns of the event loop are written together.

There are two levels. *Process*: the group is committed on the event loop, without waiting
for the disk, and survives SIGKILL. *Power*: rows are gathered for at most 10 ms and committed
on a thread, which returns once they are on disk; they also survive a power loss.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, Final

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.records import EventRow
from enapter_async.fleet.journal.row_groups import RowGroup, Writer, copied, to_its_end
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal

GATHER_SECONDS: Final = 0.010
CHECKPOINT_ROWS: Final = 10_000
"""After this many rows the log is copied into the file."""
SHORTEN_BYTES: Final = 16 * 1024 * 1024
"""A log longer than this is truncated, which pauses writing for some milliseconds."""


class JournalWriter(Writer):
    """Writes all rows of two turns at once; those that must survive a power loss, on a thread."""

    def __init__(self, journal: SQLiteJournal, on_failure: Callable[[JournalError], None]) -> None:
        super().__init__(on_failure)
        self._journal = journal
        self._gathered = RowGroup()
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._closing = False
        self._rows = 0
        self._tasks: set[asyncio.Task[None]] = set()
        # Held while a thread writes, so that there is only one writer at a time.
        self._turn = asyncio.Lock()

    def add(self, event: EventRow, *, power: bool = False) -> None:
        """Submit an event without waiting for its commit."""
        if power:
            self._gathered.events.append(event)
            self._gather()
        else:
            self._next.events.append(event)
            if not self._scheduled:
                self._schedule()

    def commit(self, event: EventRow, *, power: bool = False) -> asyncio.Future[None]:
        """Submit an event; the returned future is done when it is committed."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self.failure is not None:
            waiter.set_exception(copied(self.failure))
            return waiter
        group = self._gathered if power else self._next
        group.waiters.append(waiter)
        group.events.append(event)
        if power:
            self._gather()
        elif not self._scheduled:
            self._schedule()
        return waiter

    async def close(self) -> None:
        """Write the remaining rows to disk, and shorten the log."""
        await to_its_end(self._finish())
        if self.failure is not None:
            raise copied(self.failure)

    def _schedule(self) -> None:
        # While a thread writes, rows accumulate; whoever releases the lock schedules again.
        if not self._scheduled and not self._turn.locked():
            self._scheduled = True
            # Not at the end of this turn: a commit costs more than the rows of a whole turn.
            self._loop.call_soon(self._loop.call_soon, self._flush)

    def _gather(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_SECONDS, self._flush_to_disk)

    def _flush(self) -> None:
        self._scheduled = False
        if self._turn.locked() or self._next.empty:
            return
        group, self._next = self._next, RowGroup()
        try:
            if self.failure is None:
                self._journal.add(group.items, group.events, group.facts, full=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, the group is not written
            self._fail(error)
        group.release(self.failure)
        self._rows += len(group.items) + len(group.events)
        if self._rows >= CHECKPOINT_ROWS and not self._closing:
            self._rows = 0
            self._start(self._checkpoint())

    def _flush_to_disk(self) -> None:
        self._timer = None
        self._start(self._write_to_disk())

    async def _write_to_disk(self) -> None:
        async with self._turn:
            group, self._next = self._next, RowGroup()
            gathered, self._gathered = self._gathered, RowGroup()
            group.events += gathered.events
            group.waiters += gathered.waiters
            try:
                if self.failure is None and not group.empty:
                    await asyncio.to_thread(
                        self._journal.add, group.items, group.events, group.facts, full=True
                    )
            except BaseException as error:
                self._fail(error)
                if not isinstance(error, Exception):
                    raise  # the task was cancelled; `finally` fails the waiters
            finally:
                group.release(self.failure)
        self._go_on()

    async def _checkpoint(self) -> None:
        try:
            await asyncio.to_thread(self._journal.checkpoint)
            if self._journal.log_bytes() > SHORTEN_BYTES:
                async with self._turn:
                    await asyncio.to_thread(self._journal.checkpoint, shorten=True)
                self._go_on()
        except sqlite3.Error as error:
            self._fail(error)

    async def _finish(self) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._write_to_disk()
        with contextlib.suppress(sqlite3.Error):
            # Nothing is lost if the log cannot be shortened: it is read with the file.
            await asyncio.to_thread(self._journal.checkpoint, shorten=True)

    def _go_on(self) -> None:
        if not self._next.empty:
            self._schedule()
        if not self._gathered.empty:
            self._gather()

    def _start(self, writing: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(writing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, error: BaseException) -> None:
        told = str(error) or type(error).__name__
        self.fail(JournalError(f"the journal {self._journal.path} cannot be written: {told}"))
