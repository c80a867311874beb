"""Scratch databases for temporary data that may not fit into memory."""

import sqlite3
from typing import Final

_CACHE_KIB: Final = 16 * 1024


def open_scratch() -> sqlite3.Connection:
    """Open a database in an unnamed temporary file, which SQLite removes when it is closed.

    It may be used from different threads, but never from two at once.
    """
    scratch = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    # The database does not outlive the process, so it needs no protection against a crash.
    for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
        scratch.execute(f"PRAGMA {pragma}")
    return scratch
