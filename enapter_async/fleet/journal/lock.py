"""One runner a journal: a lock that the system frees when its holder dies, however it dies."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Self

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.credentials.private_files import check_private, open_private
from enapter_async.fleet.journal.file import RunBusyError


class RunLock:
    """Holds `<journal>.lock` by SQLite's BEGIN EXCLUSIVE: free again after SIGKILL, too."""

    def __init__(self, connection: sqlite3.Connection) -> None:
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
            # Never opened by ourselves when it is there: closing it would free the lock that
            # another run of this process holds, as POSIX locks have it.
            check_private(path)
        except FileNotFoundError:
            # Somebody else may have made it meanwhile; SQLite then decides who holds it.
            with contextlib.suppress(ConfigurationError):
                os.close(open_private(path))
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            if "locked" in str(error):
                raise RunBusyError(f"another runner is at work on {journal}") from None
            raise ConfigurationError(f"{path} cannot be used as a lock: {error}") from None
        except sqlite3.DatabaseError as error:
            connection.close()
            raise ConfigurationError(f"{path} cannot be used as a lock: {error}") from None
        return cls(connection)

    def release(self) -> None:
        """Release the lock; safe to repeat."""
        self._connection.close()


def is_held(journal: Path) -> bool:
    """Say whether a runner is at work on a journal; changes nothing."""
    path = Path(f"{journal}.lock")
    if not path.is_file():
        return False
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)
    with contextlib.closing(connection):
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            return "locked" in str(error)
        except sqlite3.DatabaseError:
            return False
    return False
