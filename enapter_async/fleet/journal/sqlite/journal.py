"""The journal of a run in one SQLite file: its operations, attempts and outcomes.

Table `run` holds facts about the whole run, and `item` has one row for each operation, written
once. Table `event` is append-only: it gets an intent before each send and an outcome after it. The
file contains no secrets and no bodies. `JournalWriter` decides when groups of rows are written, and
`JournalSession` determines their meaning.
"""

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from enapter_async.fleet.errors import JournalError, RunRefusedError
from enapter_async.fleet.journal.reading import PAGE_ROWS, Dialect, Journal, damaged
from enapter_async.fleet.journal.records import OLD_DIFFERS, EventRow, ItemRow
from enapter_async.fleet.journal.sqlite.schema import (
    UNSHARED,
    check_version,
    connect,
    is_closed,
    prepare,
    way_to_read,
)
from enapter_async.fleet.private_files import NamedFile, check_private, open_private

DIALECT: Final = Dialect(
    # Version 0.1 recorded outcomes that differ as failed.
    kind=f"CASE WHEN kind = 'failed' AND instr(detail, '{OLD_DIFFERS}') "
    "THEN 'differs' ELSE kind END"
)

_BUSY_SECONDS: Final = 1.0
_AT_ONCE: Final = 32
"""How many rows one statement inserts: executing a statement takes longer than another row."""


def _inserting(into: str, row: str) -> tuple[str, ...]:
    """Return the statements that insert 1, 2, … and `_AT_ONCE` rows."""
    return tuple(
        f"INSERT INTO {into} VALUES {', '.join([row] * rows)}" for rows in range(1, _AT_ONCE + 1)
    )


_ITEMS: Final = _inserting("item", "(?, ?, ?, ?, ?, ?, ?, ?, ?)")
_EVENTS: Final = _inserting("event", "(NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
# Shorter statements for the most common rows: binding fewer values saves time.
_BRIEF_ITEMS: Final = _inserting(
    "item (seq, digest, operation, grp, wave, unchanged)", "(?, ?, ?, '', 0, 0)"
)
_BRIEF_EVENTS: Final = _inserting(
    "event (seq, step, kind, attempt, at_ms, elapsed_ms)", "(?, 0, ?, ?, ?, ?)"
)


class SQLiteJournal(Journal):
    """One open journal file. Blocking; for one thread at a time, except `checkpoint`."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        named: tuple[NamedFile, ...] = (),
        *,
        is_new: bool = False,
    ) -> None:
        super().__init__(str(path), connection, DIALECT)
        self.path = path
        self._named = named
        self._is_new = is_new
        self._full = True

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, lock: Path | None = None) -> Self:
        """Open a journal for writing, or create it with mode 0600.

        Raises:
            RunRefusedError: it is not a journal, or has a different version.
            ConfigurationError: the file cannot be used; the message says why.
        """
        where, is_new = Path(path), False
        try:
            check_private(where)
        except FileNotFoundError:
            os.close(open_private(where))
            is_new = True
        connection = connect(where, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            prepare(connection, where)
        except sqlite3.Error as error:
            connection.close()
            if is_new:
                _discard(where)
            raise RunRefusedError(f"{where} cannot be used as a journal: {error}") from None
        except BaseException as error:
            connection.close()
            if isinstance(error, UnicodeError):  # raised by SQLite for a damaged table
                raise damaged(where, "it contains no tables") from None
            raise
        files = [each for each in (where, Path(f"{where}-wal"), lock) if each and each.exists()]
        return cls(where, connection, tuple(map(NamedFile.at, files)), is_new=is_new)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Open a journal for reading only, even while a run writes to it.

        Raises:
            RunRefusedError: it is not a journal, or has a different version.
        """
        where = Path(path)
        if not where.is_file():
            raise RunRefusedError(f"there is no journal at {where}")
        how = way_to_read(where)
        try:
            return cls(where, _to_read(where, how))
        except sqlite3.Error as error:
            problem = error
        with contextlib.suppress(sqlite3.Error):
            # On a full disk SQLite cannot share the file, which a finished run does not need.
            if how != UNSHARED and is_closed(where):
                return cls(where, _to_read(where, UNSHARED))
        raise RunRefusedError(f"{where} cannot be read as a journal: {problem}")

    # Writing.

    def begin(self, facts: Mapping[str, str], items: Iterable[ItemRow] = ()) -> Iterator[None]:
        """Write a new run, all or nothing; iterating lets an event loop run in between.

        Raises:
            JournalError: it could not be written; if the journal is new, the file is removed.
        """
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
        except sqlite3.Error as error:
            if self._is_new:
                _discard(self.path)
            raise unwritten(self.path, error) from None

    def put(self, facts: Mapping[str, str]) -> None:
        """Write facts about the run, replacing those of the same name.

        Raises:
            JournalError: they could not be written.
        """
        try:
            with self._transaction():
                self._put(facts)
        except sqlite3.Error as error:
            raise unwritten(self.path, error) from None

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
            # In order, because the last event of an item determines its state.
            for columns, rows in itertools.groupby(events, len):
                self._insert(_BRIEF_EVENTS if columns == 5 else _EVENTS, list(rows))
            if facts:
                self._put(facts)

    def _put_items(self, rows: list[ItemRow]) -> None:
        self._insert(_ITEMS, [row for row in rows if len(row) > 3])
        self._insert(_BRIEF_ITEMS, [row for row in rows if len(row) == 3])

    def _insert(self, statements: Sequence[str], rows: Sequence[ItemRow | EventRow]) -> None:
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            values = tuple(itertools.chain.from_iterable(some))
            self._connection.execute(statements[len(some) - 1], values)

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

        With `shorten` the log is also truncated; nothing may be writing to it then.
        """
        uri = f"{self.path.absolute().as_uri()}?mode=rw"  # no new file if it was removed
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if shorten else 'PASSIVE'})")


def _to_read(path: Path, how: str) -> sqlite3.Connection:
    connection = connect(path, how=how, timeout=_BUSY_SECONDS)
    try:
        connection.execute("PRAGMA query_only=ON")
        check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def unwritten(path: Path, error: Exception) -> JournalError:
    """Return the error of a journal that cannot be written, such as on a full disk."""
    return JournalError(f"the journal {path} cannot be written: {error}")


def _discard(path: Path) -> None:
    """Remove a new journal of which only a part was written, and which could not be used again."""
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with contextlib.suppress(OSError):
            each.unlink(missing_ok=True)
