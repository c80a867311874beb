"""The tables of a job: its partitions, with their workers and counts.

The same statements serve SQLite, for the processes of one machine, and PostgreSQL. All times are
seconds of one clock: the machine's, or the database's. These tables do not protect a device from
being written twice; each partition's own journal does.
"""

import asyncio
import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import JournalError, RunNotFoundError, RunRefusedError
from enapter_async.fleet.journal.sqlite.schema import connect

Row = Mapping[str, Any]
T = TypeVar("T")

JOB_FILE: Final = "job.db"
APPLICATION_ID: Final = 0x454E4A42
"""Marks an SQLite file as one of a job: "ENJB"."""
VERSION: Final = 2
"""Changes with every change of the tables; a test compares them."""
COUNTED: Final = ("applied", "unchanged", "absent", "differs", "pending", "failed", "unknown")
JUDGED: Final = ("executed", "failed", "unknown", "differs", "timed_out")
_BUSY_S: Final = 10.0
VALUE: Final = re.compile(r"(?<!:):([a-z_]+)\b")
"""A value in a statement, by its name."""


TABLES: Final = """
CREATE TABLE IF NOT EXISTS {p}job (
    name text PRIMARY KEY, digest text NOT NULL, facts text NOT NULL, merged bigint NOT NULL,
    created_at double precision NOT NULL, options text NOT NULL DEFAULT '{{}}', token text,
    wave bigint NOT NULL DEFAULT -1, accepted bigint NOT NULL DEFAULT -1,
    hold_until double precision, seen text,
    stop text, stopped_at double precision, ended_at double precision,
    keeper text NOT NULL DEFAULT '', keeper_until double precision NOT NULL DEFAULT 0,
    waits text NOT NULL DEFAULT '', resumes bigint NOT NULL DEFAULT 0,
    resumed_by text NOT NULL DEFAULT '', resumed_at double precision
);
CREATE TABLE IF NOT EXISTS {p}part (
    job text NOT NULL, no bigint NOT NULL, wave bigint NOT NULL, queue text NOT NULL,
    first bigint NOT NULL, size bigint NOT NULL, open bigint NOT NULL DEFAULT 1,
    owner text NOT NULL DEFAULT '', previous text NOT NULL DEFAULT '',
    owned_until double precision NOT NULL DEFAULT 0,
    not_before double precision NOT NULL DEFAULT 0, tries bigint NOT NULL DEFAULT 0,
    failures bigint NOT NULL DEFAULT 0, why text NOT NULL DEFAULT '',
    credentials text NOT NULL DEFAULT '', waits text NOT NULL DEFAULT '',
    applied bigint NOT NULL DEFAULT 0, unchanged bigint NOT NULL DEFAULT 0,
    absent bigint NOT NULL DEFAULT 0, differs bigint NOT NULL DEFAULT 0,
    pending bigint NOT NULL DEFAULT 0, failed bigint NOT NULL DEFAULT 0,
    unknown bigint NOT NULL DEFAULT 0,
    judged_executed bigint NOT NULL DEFAULT 0, judged_failed bigint NOT NULL DEFAULT 0,
    judged_unknown bigint NOT NULL DEFAULT 0, judged_differs bigint NOT NULL DEFAULT 0,
    judged_timed_out bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (job, no)
);
CREATE TABLE IF NOT EXISTS {p}note (
    job text NOT NULL, at double precision NOT NULL, who text NOT NULL, what text NOT NULL
);
CREATE TABLE IF NOT EXISTS {p}worker (
    name text PRIMARY KEY, queues text NOT NULL, alive_until double precision NOT NULL
);
"""


STOP: Final = (
    "UPDATE {p}job SET stop = :why, stopped_at = {now} WHERE (:job = '' OR name = :job)"
    " AND stop IS NULL AND ended_at IS NULL RETURNING name"
)
"""Stops a job; "" stands for the only job."""


class SQLiteJobs:
    """The tables of one job, in the file `job.db` of its folder.

    Each method raises `JournalError` if the file cannot be used now.
    """

    words: Final = {
        "p": "",
        "now": ":now",
        "lock": "",
        "in_queues": "part.queue IN (SELECT value FROM json_each(:queues))",
    }

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._turn = asyncio.Lock()
        self._in_use = threading.Lock()
        """Held by a statement on a thread, even if the task that waits for it was cancelled."""

    @classmethod
    def create(cls, path: Path) -> "SQLiteJobs":
        """Create the file with its tables.

        Raises:
            ConfigurationError: it cannot be created.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot store a job: {error.strerror}") from None
        jobs = cls(path, _opened(path))
        for sql in filter(str.strip, TABLES.split(";\n")):
            jobs.execute_now(sql)
        jobs.execute_now(f"PRAGMA application_id={APPLICATION_ID}")
        jobs.execute_now(f"PRAGMA user_version={VERSION}")
        return jobs

    @classmethod
    def open(cls, path: Path) -> "SQLiteJobs":
        """Open the file of an existing job.

        Raises:
            RunNotFoundError: there is none.
            RunRefusedError: an incompatible release created it.
        """
        if not path.is_file():
            raise RunNotFoundError(f"there is no job in {path.parent}")
        connection = _opened(path)
        [mark] = connection.execute("PRAGMA application_id").fetchone().values()
        [version] = connection.execute("PRAGMA user_version").fetchone().values()
        if (mark, version) != (APPLICATION_ID, VERSION):
            connection.close()
            raise RunRefusedError(
                f"{path} is a job of version {version}, but this release works on version "
                f"{VERSION}: finish it with the release that created it, or make a new plan for "
                "what is left"
            )
        return cls(path, connection)

    def execute_now(self, sql: str, **values: Any) -> list[Row]:
        """Execute one statement; blocking."""
        text = sql.format(**self.words)
        values["now"] = time.time()
        used = {name: values[name] for name in VALUE.findall(text)}
        try:
            return self._connection.execute(text, used).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"{self.path} cannot be used: {error}") from None

    async def execute(self, sql: str, **values: Any) -> list[Row]:
        """Execute one statement on a thread: another process may hold the file for a moment."""
        return await self._in_turn(lambda: self.execute_now(sql, **values))

    async def execute_both(self, first: str, second: str, **values: Any) -> list[Row]:
        """Execute `second` only if `first` returns a row, both or neither; return those rows."""

        def both() -> list[Row]:
            self.execute_now("BEGIN IMMEDIATE")
            try:
                rows = self.execute_now(first, **values)
                if rows:
                    self.execute_now(second, **values)
            except BaseException:
                self.execute_now("ROLLBACK")
                raise
            self.execute_now("COMMIT")
            return rows

        return await self._in_turn(both)

    async def close(self) -> None:
        """Close the file once no statement is in progress."""
        await self._in_turn(self.close_now)

    async def _in_turn(self, step: Callable[[], T]) -> T:
        def alone() -> T:
            with self._in_use:
                return step()

        async with self._turn:
            return await asyncio.to_thread(alone)

    def close_now(self) -> None:
        """Close the file; safe to repeat."""
        self._connection.close()


def _opened(path: Path) -> sqlite3.Connection:
    connection = connect(path, timeout=_BUSY_S, check_same_thread=False)
    connection.row_factory = _as_dict
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error as error:
        connection.close()
        raise RunRefusedError(f"{path} cannot be used as a job: {error}") from None
    return connection


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def partition_file(folder: Path, no: int) -> Path:
    """Return the path of a partition's journal, for a job in a folder."""
    return folder / f"part-{no:04d}.db"


def facts_in(row: Row) -> dict[str, Any]:
    """Return the facts of a job from its row."""
    found: dict[str, Any] = json.loads(row["facts"])
    return found
