"""A line of slots in an SQLite file, for the processes of one machine."""

import contextlib
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from enapter_async.clock import Clock
from enapter_async.limits.shared import HORIZON_S, Grant, SlotsAwayError

BUSY_S: Final = 2.0
FORGOTTEN_S: Final = 1000.0
"""A line that starts further ahead is left over from before a reboot."""
_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS slot (next_at REAL NOT NULL, paused_until REAL NOT NULL)"
)


@attrs.define(kw_only=True)
class SQLiteSlots:
    """A line of slots in a file; times are the machine's monotonic clock."""

    path: Path
    max_rate: float
    clock: Clock = attrs.field(factory=Clock)
    _connection: sqlite3.Connection | None = None

    async def take(self, number: int) -> Grant:
        """Reserve at most `number` slots."""
        spacing = 1.0 / self.max_rate
        with self._row() as (connection, next_at, paused_until):
            now = self.clock.monotonic()
            if now < paused_until < now + FORGOTTEN_S:
                return Grant(number=0, begins_in=paused_until - now, spacing=spacing, paused=True)
            first = max(now, next_at) if next_at < now + FORGOTTEN_S else now
            room = math.floor((now + HORIZON_S - first) / spacing) + 1
            granted = max(0, min(number, room))
            if not granted:
                wait = first - now - HORIZON_S / 2
                return Grant(number=0, begins_in=max(0.0, wait), spacing=spacing)
            connection.execute("UPDATE slot SET next_at = ?", (first + granted * spacing,))
        return Grant(number=granted, begins_in=first - now, spacing=spacing)

    async def pause(self, seconds: float) -> None:
        """Grant no slots for this many seconds."""
        with self._row() as (connection, _, paused_until):
            until = max(paused_until, self.clock.monotonic() + seconds)
            connection.execute("UPDATE slot SET paused_until = ?", (until,))

    async def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextlib.contextmanager
    def _row(self) -> Iterator[tuple[sqlite3.Connection, float, float]]:
        try:
            if self._connection is None:
                self._connection = self._opened()
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                row = connection.execute("SELECT next_at, paused_until FROM slot").fetchone()
                yield connection, *row
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise SlotsAwayError(f"{self.path}: {error}") from None

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_S)
        # Nothing in it must survive a reboot.
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF", _CREATE):
            connection.execute(statement)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO slot SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM slot)")
        connection.execute("COMMIT")
        return connection
