"""The store of a journal in an SQLite file, with its lock."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

import attrs

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.records import ItemRow
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.fleet.journal.sqlite.lock import RunLock, is_held
from enapter_async.fleet.journal.sqlite.writer import JournalWriter


class SQLiteHold:
    """A journal's file with its lock, which is freed even by SIGKILL; so the hold never lapses."""

    lapse: JournalError | None = None

    def __init__(self, journal: SQLiteJournal, lock: RunLock) -> None:
        self.journal = journal
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> Self:
        """Lock and open a journal, or create it with mode 0600.

        Raises:
            RunBusyError: another session holds it.
            RunRefusedError: it is not a journal, or has a different version.
            ConfigurationError: the file cannot be used; the message says why.
        """
        lock = RunLock.take(path)
        try:
            return cls(SQLiteJournal.open(path, lock=lock.path), lock)
        except BaseException:
            lock.release()
            raise

    async def begin(self, facts: Mapping[str, str], items: Iterable[ItemRow] = ()) -> None:
        """Write a new run, all or nothing; the event loop runs in between."""
        for _ in self.journal.begin(facts, items):
            await asyncio.sleep(0)

    async def put(self, facts: Mapping[str, str]) -> None:
        """Write facts about the run, replacing those of the same name."""
        self.journal.put(facts)

    def writer(self, on_failure: Callable[[JournalError], None]) -> JournalWriter:
        """Return the writer of this session; `on_failure` is called once, if it fails."""
        return JournalWriter(self.journal, on_failure)

    async def release(self) -> None:
        """Close the file and release the lock; safe to repeat."""
        self.journal.close()
        self._lock.release()


@attrs.frozen
class SQLiteStore:
    """The place of a journal in a file on a local disk."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def exists(self) -> bool:
        """Return whether there is such a file."""
        return self.path.exists()

    def is_held(self) -> bool:
        """Return whether a session is working on the run; changes nothing."""
        return is_held(self.path)

    def read(self) -> SQLiteJournal:
        """Open the journal for reading only, even while a run writes to it."""
        return SQLiteJournal.read(self.path)

    async def hold(self) -> SQLiteHold:
        """Lock and open the journal, or create it."""
        return SQLiteHold.take(self.path)
