"""The journal of a run: one SQLite file with its operations, attempts and outcomes.

Table `run` holds facts about the whole run, and `item` one row for each operation, which is written
once. Table `event` is append-only: it gets an intent before each send and an outcome after it. The
file contains no secrets and no bodies. `JournalWriter` decides when groups of rows are written, and
`JournalSession` determines their meaning.
"""

import contextlib
import functools
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.records import (
    INTENT,
    OLD_DIFFERS,
    Event,
    EventRow,
    ItemRow,
    event_of,
    item_of,
)
from enapter_async.fleet.journal.schema import check_version, connect, prepare, way_to_read
from enapter_async.fleet.private_files import NamedFile, check_private, open_private

PAGE_ROWS: Final = 500
MOST_ITEMS: Final = 100_000_000
"""A journal with a higher item number is refused, since each item takes a byte of memory."""

Rows = TypeVar("Rows")
P = ParamSpec("P")

_BUSY_SECONDS: Final = 1.0
_ADD_ITEM: Final = "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_EVENT: Final = "INSERT INTO event VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# Most rows have these forms, and each value that need not be bound saves time.
_ADD_BRIEF_ITEM: Final = (
    "INSERT INTO item (seq, digest, operation, grp, wave, unchanged) VALUES (?, ?, ?, '', 0, 0)"
)
_ADD_BRIEF_EVENT: Final = (
    "INSERT INTO event (seq, step, kind, attempt, at_ms, elapsed_ms) VALUES (?, 0, ?, ?, ?, ?)"
)
_ITEM_COLUMNS: Final = "seq, operation, before, grp, unit, wave, follows, unchanged"
_ITEM_FIELDS: Final = tuple(_ITEM_COLUMNS.split(", "))
# Version 0.1 recorded outcomes that differ as failed.
_MARKS: Final = (
    "SELECT id, seq, CASE WHEN kind = 'failed' AND "  # noqa: S608 - our own text
    f"instr(detail, '{OLD_DIFFERS}') THEN 'differs' ELSE kind END, attempt "
    "FROM event WHERE id > ? AND seq IS NOT NULL ORDER BY id LIMIT ?"
)
_ENDS: Final = (
    f"SELECT {', '.join(f'item.{field}' for field in _ITEM_FIELDS)}, event.*, told.at_ms "  # noqa: S608 - our own column names
    "FROM item LEFT JOIN ("
    "  SELECT seq, max(id) AS id FROM event"
    "  WHERE kind IN ('intent', 'applied', 'unchanged', 'absent', 'differs', 'failed', 'unknown',"
    "    'held')"
    "  GROUP BY seq"
    ") AS last ON last.seq = item.seq LEFT JOIN event ON event.id = last.id LEFT JOIN ("
    "  SELECT seq, max(id) AS id, at_ms FROM event WHERE kind = 'acknowledged' GROUP BY seq"
    ") AS told ON told.seq = item.seq AND told.id > last.id "
    "ORDER BY item.seq"
)


def damaged(path: Path, error: Exception | str) -> RunRefusedError:
    """Return the error for a journal with content that was not written by a run."""
    return RunRefusedError(f"{path} is damaged, and cannot be gone on with: {error}")


def _checked(
    read: Callable[Concatenate["Journal", P], Iterator[Rows]],
) -> Callable[Concatenate["Journal", P], Iterator[Rows]]:
    """Make a reading method raise `damaged` for content that was not written by a run."""

    @functools.wraps(read)
    def reading(journal: "Journal", /, *args: P.args, **named: P.kwargs) -> Iterator[Rows]:
        with journal._sound():  # noqa: SLF001 - a part of the class, written before it
            yield from read(journal, *args, **named)

    return reading


class Journal:
    """One open journal file. Blocking; for one thread at a time, except `checkpoint`."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, named: tuple[NamedFile, ...] = ()
    ) -> None:
        self.path = path
        self._connection = connection
        self._named = named
        self._full = True

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, lock: Path | None = None) -> Self:
        """Open a journal for writing, or create it with mode 0600.

        Raises:
            RunRefusedError: it is not a journal, or has a different version.
            ConfigurationError: the file cannot be used; the message says why.
        """
        where = Path(path)
        try:
            check_private(where)
        except FileNotFoundError:
            os.close(open_private(where))
        connection = connect(where, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            prepare(connection, where)
        except sqlite3.Error as error:
            connection.close()
            raise RunRefusedError(f"{where} cannot be used as a journal: {error}") from None
        except BaseException as error:
            connection.close()
            if isinstance(error, UnicodeError):  # raised by SQLite for a damaged table
                raise damaged(where, "its tables have no names") from None
            raise
        files = [each for each in (where, Path(f"{where}-wal"), lock) if each and each.exists()]
        return cls(where, connection, tuple(map(NamedFile.at, files)))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Open a journal for reading only, even while a run writes to it.

        Raises:
            RunRefusedError: it is not a journal, or has a different version.
        """
        where = Path(path)
        if not where.is_file():
            raise RunRefusedError(f"there is no journal at {where}")
        connection = connect(where, how=way_to_read(where), timeout=_BUSY_SECONDS)
        try:
            connection.execute("PRAGMA query_only=ON")
            check_version(connection, where)
        except sqlite3.Error as error:
            connection.close()
            raise RunRefusedError(f"{where} cannot be read as a journal: {error}") from None
        except BaseException:
            connection.close()
            raise
        return cls(where, connection)

    def close(self) -> None:
        """Close it; safe to repeat."""
        self._connection.close()

    # Writing.

    def begin(self, facts: Mapping[str, str], items: Iterable[ItemRow] = ()) -> Iterator[None]:
        """Write a new run, all or nothing; iterating lets an event loop run in between."""
        try:
            with self._transaction():
                self._put(facts)
                batch: list[ItemRow] = []
                for row in items:
                    batch.append(row)
                    if len(batch) == PAGE_ROWS:
                        self._put_items(batch)
                        batch.clear()
                        yield
                self._put_items(batch)
        except sqlite3.IntegrityError as error:
            raise damaged(self.path, error) from None

    def put(self, facts: Mapping[str, str]) -> None:
        """Write facts about the run, replacing those of the same name."""
        with self._transaction():
            self._put(facts)

    def add(
        self,
        items: list[ItemRow],
        events: list[EventRow],
        facts: Mapping[str, str],
        *,
        full: bool,
    ) -> None:
        """Write a group; with `full` return only once it is on disk.

        Raises:
            FileGoneError: the journal was removed or replaced; nothing of it was written.
            sqlite3.Error: nothing of it was written.
        """
        for file in self._named:
            file.check()  # writes to a file without a name would be lost
        if full is not self._full:
            self._connection.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full
        with self._transaction():
            if items:
                self._put_items(items)
            # In their order, because the last event of an item determines its state.
            for columns, rows in itertools.groupby(events, len):
                add = _ADD_BRIEF_EVENT if columns == 5 else _ADD_EVENT
                self._connection.executemany(add, rows)
            if facts:
                self._put(facts)

    def _put_items(self, rows: list[ItemRow]) -> None:
        self._connection.executemany(_ADD_ITEM, [row for row in rows if len(row) > 3])
        self._connection.executemany(_ADD_BRIEF_ITEM, [row for row in rows if len(row) == 3])

    def _put(self, facts: Mapping[str, str]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", facts.items())

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back already, as it does on a full disk.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log in bytes."""
        with contextlib.suppress(OSError):
            return Path(f"{self.path}-wal").stat().st_size
        return 0

    def checkpoint(self, *, shorten: bool = False) -> None:
        """Copy the log into the file over a separate connection; may run on any thread.

        With `shorten` the log is also truncated, which requires that nothing is writing to it.
        """
        uri = f"{self.path.absolute().as_uri()}?mode=rw"  # no new file if it was removed
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if shorten else 'PASSIVE'})")

    # Reading: in pages, because a long read would keep the log from being shortened. Each method
    # raises RunRefusedError for rows that were not written by a run.

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        problem: Exception | None = None
        try:
            yield
        except RunRefusedError:
            raise
        except (sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError) as error:
            problem = error
        except RecursionError:
            problem = ValueError("it is nested too deeply")
        if problem is not None:
            raise damaged(self.path, problem)

    def facts(self) -> dict[str, str]:
        """Return the facts about the run; empty if no run was started."""
        with self._sound():
            found = dict(self._connection.execute("SELECT key, value FROM run"))
            if not all(isinstance(text, str) for pair in found.items() for text in pair):
                raise ValueError("a fact is no text")
        return found

    def last_seq(self) -> int:
        """Return the highest seq, or -1."""
        sql = "SELECT ifnull(max(seq), -1), ifnull(min(seq), 0) FROM item"
        with self._sound():
            last, first = self._connection.execute(sql).fetchone()
            if first < 0 or last >= MOST_ITEMS:
                raise ValueError(f"its items go from {first} to {last}")
        return int(last)

    @_checked
    def digests(self, *, after: int = -1) -> Iterator[tuple[int, bytes]]:
        """Yield seq and digest of each item after a seq, in order."""
        sql = "SELECT seq, digest FROM item WHERE seq > ? ORDER BY seq LIMIT ?"
        for page in self._pages(sql, after):
            yield from page

    @_checked
    def items(self) -> Iterator[WorkItem]:
        """Yield the items, in order."""
        sql = f"SELECT {_ITEM_COLUMNS} FROM item WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - our own column names
        for page in self._pages(sql):
            yield from map(item_of, page)

    def item(self, seq: int) -> WorkItem | None:
        """Return one item, or None if there is none."""
        sql = f"SELECT {_ITEM_COLUMNS} FROM item WHERE seq = ?"  # noqa: S608 - our own column names
        with self._sound():
            row = self._connection.execute(sql, (seq,)).fetchone()
            return None if row is None else item_of(row)

    @_checked
    def events(self) -> Iterator[Event]:
        """Yield the events, in the order in which they were written."""
        sql = "SELECT * FROM event WHERE id > ? ORDER BY id LIMIT ?"
        for page in self._pages(sql):
            for row in page:
                yield event_of(row)

    @_checked
    def notes(self) -> Iterator[Event]:
        """Yield the events about the run, not about an item, in order."""
        sql = "SELECT * FROM event WHERE id > ? AND seq IS NULL ORDER BY id LIMIT ?"
        for page in self._pages(sql):
            yield from map(event_of, page)

    @_checked
    def marks(self, *, after: int = -1) -> Iterator[tuple[int, Any, Any, Any]]:
        """Yield id, seq, kind and attempt of the events about items, in order.

        The values are not checked, which is faster. `after` is the id of an event.
        """
        for page in self._pages(_MARKS, after):
            yield from page

    def last_event(self) -> int:
        """Return the id of the last event, or -1."""
        with self._sound():
            sql = "SELECT ifnull(max(id), -1) FROM event"
            return int(self._connection.execute(sql).fetchone()[0])

    def first_intent(self, seq: int) -> int | None:
        """Return when the first intent of an item was written, in milliseconds since 1970."""
        with self._sound():
            sql = "SELECT min(at_ms) FROM event WHERE seq = ? AND kind = ?"
            (at_ms,) = self._connection.execute(sql, (seq, INTENT)).fetchone()
            return at_ms if isinstance(at_ms, int) else None

    def event(self, number: int) -> Event:
        """Return one event by its id."""
        with self._sound():
            sql = "SELECT * FROM event WHERE id = ?"
            return event_of(self._connection.execute(sql, (number,)).fetchone())

    @_checked
    def ends(self) -> Iterator[tuple[WorkItem, Event | None, int | None]]:
        """Yield each item with its last event, and when its unknown outcome was acknowledged.

        This is one long read, meant for runs that no one is writing to.
        """
        for row in self._connection.execute(_ENDS):
            item = item_of(row[: len(_ITEM_FIELDS)])
            event, acknowledged_ms = row[len(_ITEM_FIELDS) : -1], row[-1]
            yield item, None if event[0] is None else event_of(event), acknowledged_ms

    def _pages(self, sql: str, last: int = -1) -> Iterator[list[Any]]:
        while page := self._connection.execute(sql, (last, PAGE_ROWS)).fetchall():
            yield page
            reached = page[-1][0]
            if not reached > last:
                # In a damaged tree, pages could form an endless loop.
                raise ValueError("its rows are out of order")
            last = reached
