"""Lets tasks share one connection although each of them may be cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import attrs

from enapter_async.fleet.journal.job_database import JobDatabase, Row


@attrs.frozen
class Uninterrupted:
    """Executes each statement to its end, even if the task that waits for it is cancelled.

    A connection with an interrupted statement can only be closed, and everything else that waits
    for it would fail: other partitions would not be renewed, or not be returned.
    """

    database: JobDatabase
    _running: set["asyncio.Task[list[Row]]"] = attrs.field(factory=set)

    async def execute(self, sql: str, **values: Any) -> list[Row]:
        """Execute one statement, and return its rows.

        Raises:
            JournalError: the database cannot be used now.
        """
        return await self._whole(self.database.execute(sql, **values))

    async def execute_both(self, first: str, second: str, **values: Any) -> list[Row]:
        """Execute `second` only if `first` returns a row, both or neither; return those rows.

        Raises:
            JournalError: the database cannot be used now.
        """
        return await self._whole(self.database.execute_both(first, second, **values))

    async def _whole(self, executing: Coroutine[Any, Any, list[Row]]) -> list[Row]:
        running = asyncio.create_task(executing)
        self._running.add(running)
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, running: "asyncio.Task[list[Row]]") -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # whoever waits receives it; otherwise nobody needs it

    async def close(self) -> None:
        """Wait for statements in progress, and close the connection; safe to repeat."""
        if self._running:
            await asyncio.wait(self._running)
        await self.database.close()
