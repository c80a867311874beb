"""The lock that allows only one runner at a time for each journal in a file."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Self

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import RunBusyError, busy
from enapter_async.fleet.journal.sqlite.schema import connect
from enapter_async.fleet.private_files import check_private, open_private


class RunLock:
    """Locks `<journal>.lock` by SQLite's BEGIN EXCLUSIVE, which is released even by SIGKILL."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def take(cls, journal: Path) -> Self:
        """Take the lock of a journal.

        Raises:
            RunBusyError: another runner holds it.
            ConfigurationError: the lock's file cannot be used.
        """
        path = Path(f"{journal}.lock")
        try:
            # Do not open an existing lock file here: closing it would free the POSIX lock that
            # another run of this process holds.
            check_private(path)
        except FileNotFoundError:
            # Another process may have created it meanwhile; SQLite then decides who holds it.
            with contextlib.suppress(ConfigurationError):
                os.close(open_private(path))
        connection = connect(path, timeout=0, check_same_thread=False)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            if "locked" in str(error):
                raise RunBusyError(busy(journal)) from None
            raise ConfigurationError(f"{path} cannot be used as a lock: {error}") from None
        except sqlite3.DatabaseError as error:
            connection.close()
            raise ConfigurationError(f"{path} cannot be used as a lock: {error}") from None
        return cls(path, connection)

    def release(self) -> None:
        """Release the lock; safe to repeat."""
        self._connection.close()


def is_held(journal: Path) -> bool:
    """Return whether a runner is working on a journal; changes nothing."""
    path = Path(f"{journal}.lock")
    if not path.is_file():
        return False
    connection = connect(path, how="mode=ro", timeout=0)
    with contextlib.closing(connection):
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            return "locked" in str(error)
        except sqlite3.DatabaseError:
            return False
    return False
