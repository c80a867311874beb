"""The SQLite schema of a journal, its version, and how the file is opened."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.scratch import open_scratch

APPLICATION_ID: Final = 0x454E4A4C
"""Marks an SQLite file as a journal: "ENJL"."""
VERSION: Final = 1
UNSHARED: Final = "immutable=1"
"""The URI parameter to read a file that nobody is writing; it needs no file beside it."""
SIZE_LIMIT: Final = 64 * 1024 * 1024
TABLES: Final = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE item (
    seq INTEGER PRIMARY KEY, digest BLOB NOT NULL, operation TEXT NOT NULL, before TEXT,
    grp TEXT NOT NULL, unit INTEGER, wave INTEGER NOT NULL, follows INTEGER,
    unchanged INTEGER NOT NULL
);
CREATE TABLE event (
    id INTEGER PRIMARY KEY, seq INTEGER, step INTEGER NOT NULL, kind TEXT NOT NULL,
    attempt INTEGER, at_ms INTEGER NOT NULL, elapsed_ms INTEGER, status INTEGER, code TEXT,
    request_id TEXT, detail TEXT
);
"""
ADD_FACT: Final = "INSERT INTO run VALUES (?, ?)"
ADD_ITEM: Final = "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_EVENT: Final = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
"""The statements that add a whole row of each table."""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Prepare a connection for writing to a journal, which is created if the file is empty.

    Raises:
        RunRefusedError: it is not a journal, or has a different version.
        ConfigurationError: a journal cannot be stored there.
    """
    fresh = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if not fresh or connection.execute("PRAGMA application_id").fetchone()[0]:
        check_version(connection, path)
        fresh = False
    answer = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if answer != "wal":
        raise ConfigurationError(
            f"{path} cannot be a journal: SQLite uses {answer!r} where WAL is needed; use a local "
            f"disk"
        )
    connection.execute(f"PRAGMA journal_size_limit={SIZE_LIMIT}")
    # The writer's threads do checkpoints, so that no commit on the event loop has to.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA synchronous=FULL")
    if fresh:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        create_tables(connection)
        connection.execute("COMMIT")


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables of a journal in an empty database."""
    for statement in TABLES.split(";\n"):
        connection.execute(statement)


@contextlib.contextmanager
def scratch_journal() -> Iterator[sqlite3.Connection]:
    """Create a journal in a scratch database, and write what is added within; all or nothing."""
    scratch = open_scratch()
    try:
        create_tables(scratch)
        scratch.execute("BEGIN")
        yield scratch
        scratch.execute("COMMIT")
    except BaseException:
        scratch.close()
        raise


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not a journal, or has a different version.

    Raises:
        RunRefusedError: the message names the reason.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise RunRefusedError(f"{path} is not a journal of a fleet run")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise RunRefusedError(
            f"{path} is a journal of version {version}, but this release reads version {VERSION}"
        )


def way_to_read(path: Path) -> str:
    """Return the URI parameters to open a journal for reading, even in a read-only folder.

    Raises:
        RunRefusedError: the journal was not closed properly, and its folder is read-only.
    """
    if os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        # Not `mode=ro`: a read-only connection cannot remove the log that it had to open.
        return "mode=rw"
    if is_closed(path):
        return UNSHARED
    raise RunRefusedError(
        f"{path} was not closed, and its folder is not writable: copy {path.name} and "
        f"{path.name}-wal to a writable folder, and read it there"
    )


def is_closed(path: Path) -> bool:
    """Return whether everything written to a journal is in its file, and nothing in its log."""
    log = Path(f"{path}-wal")
    return not log.exists() or not log.stat().st_size


def connect(path: Path, *, how: str = "", **settings: Any) -> sqlite3.Connection:
    """Open an SQLite file; `how` is the query of its URI, such as `mode=ro`.

    Raises:
        ConfigurationError: the file cannot be opened, for example because too many are open.
    """
    database: Any = f"{path.absolute().as_uri()}?{how}" if how else path
    try:
        connection: sqlite3.Connection = sqlite3.connect(
            database, uri=bool(how), isolation_level=None, **settings
        )
    except sqlite3.Error as error:
        reason = error if path.parent.is_dir() else "its folder does not exist"
        raise ConfigurationError(f"{path} cannot be opened: {reason}") from None
    return connection
