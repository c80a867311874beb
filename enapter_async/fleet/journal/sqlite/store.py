"""The store of a journal in an SQLite file, with its lock."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import JournalError, RunRefusedError
from enapter_async.fleet.journal.lease import HoldTerms
from enapter_async.fleet.journal.records import ItemRow
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.fleet.journal.sqlite.lock import RunLock, is_held
from enapter_async.fleet.journal.sqlite.writer import JournalWriter
from enapter_async.fleet.journal.stop_request import request_stop


class SQLiteHold:
    """A journal's file with its lock, which even SIGKILL frees; so the hold cannot pass on."""

    lease = None
    failed_over = False

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
        """Write a new run, all or nothing, without blocking the event loop."""
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
        """The absolute path."""
        return str(self.path.absolute())

    def exists(self) -> bool:
        """Return whether there is such a file."""
        return self.path.exists()

    def is_held(self) -> bool:
        """Return whether a session is working on the run; changes nothing."""
        return is_held(self.path)

    def read(self) -> SQLiteJournal:
        """Open the journal for reading only, even while a run writes to it.

        Raises:
            RunRefusedError: there is none, or it has a different version.
        """
        return SQLiteJournal.read(self.path)

    def request_stop(self, reason: str) -> None:
        """Ask the command or backend that works on the run to start nothing more; safe to repeat.

        Raises:
            RunRefusedError: there is no such run.
            ConfigurationError: it is not in the folder of a run, which they watch.
        """
        folder = RunFolder(self.path.absolute().parent)
        if not self.path.is_file():
            raise RunRefusedError(f"there is no journal at {self.path}")
        if folder.journal != self.path.absolute():
            raise ConfigurationError(
                f"{self.path} is not in a run's folder, so nothing watches for a request to stop "
                f"it: call `stop` of the `Run`"
            )
        request_stop(folder)

    async def hold(self, terms: HoldTerms = HoldTerms()) -> SQLiteHold:
        """Lock and open the journal, or create it."""
        return SQLiteHold.take(self.path)
