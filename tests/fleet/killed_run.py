"""A run that kills itself at a named point, in its own process, started by `kills`.

    python -m tests.fleet.killed_run SETTINGS     # a JSON object, see `Settings`

The points are reached by wrapping functions that the run calls; the package is unchanged.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import attrs

from enapter_async.client import Client
from enapter_async.converter.operations import operation_from_json
from enapter_async.fleet import JournalOptions, Run
from enapter_async.fleet.credentials import CredentialsFile
from enapter_async.fleet.journal.options import LEAST_LEASE
from enapter_async.fleet.journal.postgres.hold import PostgresHold
from enapter_async.fleet.journal.row_groups import RowGroup
from enapter_async.fleet.journal.sqlite import writer as journal_writer
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal


@attrs.frozen(kw_only=True)
class Settings:
    """`operations` None resumes, and `credentials` "" means none.

    The kill is at the point's `hit`-th pass, or never if the point is "".
    """

    base_url: str
    token: str
    journal: str
    credentials: str
    concurrency: int
    operations: list[dict[str, Any]] | None
    point: str = ""
    hit: int = 1


class Trap:
    """Counts how often the named point is passed, and kills the process there."""

    def __init__(self, settings: Settings) -> None:
        self._point = settings.point
        self._left = settings.hit
        self._lock = threading.Lock()

    def passes(self, point: str) -> None:
        if self.due(point):
            os.kill(os.getpid(), signal.SIGKILL)

    def due(self, point: str) -> bool:
        with self._lock:
            self._left -= point == self._point
            return point == self._point and self._left == 0


def set_traps(trap: Trap) -> None:
    add, store, checkpoint = SQLiteJournal.add, CredentialsFile.store, SQLiteJournal.checkpoint

    def add_with_trap(
        self: SQLiteJournal, items: Any, events: Any, facts: Any, *, full: bool
    ) -> None:
        intents = any("intent" in row for row in events)
        if intents:
            trap.passes("before the intent's commit")
        add(self, items, events, facts, full=full)
        if intents:
            trap.passes("after the intent's commit")

    async def store_with_trap(self: CredentialsFile, *arguments: Any) -> None:
        trap.passes("between answer and credentials")
        await store(self, *arguments)
        trap.passes("between credentials and outcome")

    def checkpoint_with_trap(self: SQLiteJournal, *, shorten: bool = False) -> None:
        if trap.due("during a checkpoint"):
            # A thread kills the process while SQLite is working, at a moment that we do not choose.
            threading.Timer(0.0002, os.kill, (os.getpid(), signal.SIGKILL)).start()
        checkpoint(self, shorten=shorten)

    write = PostgresHold.write

    async def write_with_trap(self: PostgresHold, group: RowGroup) -> None:
        intents = any("intent" in row for row in group.events)
        if intents:
            trap.passes("before the intent's commit")
        await write(self, group)
        if intents:
            trap.passes("after the intent's commit")

    replace: Callable[..., None] = setattr
    replace(PostgresHold, "write", write_with_trap)
    replace(SQLiteJournal, "add", add_with_trap)
    replace(CredentialsFile, "store", store_with_trap)
    replace(SQLiteJournal, "checkpoint", checkpoint_with_trap)
    replace(journal_writer, "CHECKPOINT_ROWS", 20)


async def carry_out(settings: Settings, trap: Trap | None = None) -> None:
    """Begin or resume the run."""
    operations = settings.operations
    async with (
        Client(settings.token, base_url=settings.base_url) as client,
        Run(
            client,
            None if operations is None else [operation_from_json(each) for each in operations],
            concurrency=settings.concurrency,
            journal=JournalOptions(path=settings.journal, lease=LEAST_LEASE),
            credentials=None if operations is None else settings.credentials or None,
        ) as run,
    ):
        async for _ in run:
            if settings.point == "in a drain":
                run.stop()
            if trap is not None:
                trap.passes("in a drain")
                trap.passes("after an outcome")


async def main(settings: Settings) -> None:
    trap = Trap(settings)
    set_traps(trap)
    await carry_out(settings, trap)


if __name__ == "__main__":
    asyncio.run(main(Settings(**json.loads(sys.argv[1]))))
