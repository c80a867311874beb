"""Scratch databases for temporary data that may not fit into memory."""

import sqlite3
from typing import Any, Final

from enapter_async.errors import ConfigurationError

_CACHE_KIB: Final = 16 * 1024
_NO_ROOM: Final = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)


class _Scratch(sqlite3.Connection):
    """Reports a full disk as an error of this package."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*arguments)
        except sqlite3.OperationalError as error:
            raise _described(error) from None

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        try:
            return super().executescript(script)
        except sqlite3.OperationalError as error:
            raise _described(error) from None

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        try:
            return super().executemany(*arguments)
        except sqlite3.OperationalError as error:
            raise _described(error) from None


def open_scratch() -> sqlite3.Connection:
    """Open a database in an unnamed temporary file, which SQLite removes when it is closed.

    It may be used from different threads, but never from two at once. If there is no room for it,
    its methods raise `ConfigurationError`.
    """
    scratch = sqlite3.connect("", isolation_level=None, check_same_thread=False, factory=_Scratch)
    # The database does not outlive the process, so it needs no protection against a crash.
    for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
        scratch.execute(f"PRAGMA {pragma}")
    return scratch


def _described(error: sqlite3.OperationalError) -> Exception:
    """Return the error for a full disk; any other error is a mistake in a statement."""
    if error.sqlite_errorcode & 0xFF not in _NO_ROOM:
        return error
    return ConfigurationError(
        f"temporary data cannot be written: {error}; free some space, or set SQLITE_TMPDIR to a "
        "folder with free space"
    )
