"""The interface between a run and its journal's place: an SQLite file, or PostgreSQL.

`names.store_of` returns the store for a journal's name. A session holds its journal through the
store while it works on the run: one session at a time, across all processes and machines.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import attrs

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.lease import SessionLease
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import ItemRow
from enapter_async.fleet.journal.row_groups import Writer

LEASE_SECONDS: Final = 3.0
COMMIT_SECONDS: Final = 10.0


@attrs.frozen(kw_only=True)
class HoldTerms:
    """How a run in PostgreSQL is held; a file needs none of it.

    `lease` is the number of seconds for which a silent session keeps its run; `commit_timeout` is
    the longest wait for a commit, after which the session writes nothing more. With `heed_stop` a
    run that was asked to stop is refused.
    """

    lease: float = LEASE_SECONDS
    commit_timeout: float = COMMIT_SECONDS
    heed_stop: bool = False


class Hold(Protocol):
    """A journal held by one session; no other session can write to it until it is released.

    `journal` reads what earlier sessions wrote, and never blocks on a network. `failed_over` means
    that the last intents of earlier sessions may be lost; the session that has handled this clears
    it.
    """

    failed_over: bool

    @property
    def journal(self) -> Journal:
        """The journal, for reading."""
        ...

    async def begin(self, facts: Mapping[str, str], items: Iterable[ItemRow] = ()) -> None:
        """Write a new run, all or nothing.

        Raises:
            JournalError: it was not written.
        """

    async def put(self, facts: Mapping[str, str]) -> None:
        """Write facts about the run, replacing those of the same name.

        Raises:
            JournalError: they were not written.
        """

    def writer(self, on_failure: Callable[[JournalError], None]) -> Writer:
        """Return the writer of this session; `on_failure` is called once, if it fails."""
        ...

    @property
    def lease(self) -> SessionLease | None:
        """The lease by which the journal is held, if the hold can pass to another session."""
        ...

    async def release(self) -> None:
        """Let others hold the journal; safe to repeat."""


class Store(Protocol):
    """The place of one run's journal."""

    @property
    def name(self) -> str:
        """The journal's name in messages and files; it contains no password."""
        ...

    def exists(self) -> bool:
        """Return whether a run was started there. Blocking."""
        ...

    def is_held(self) -> bool:
        """Return whether a session is working on the run; changes nothing. Blocking."""
        ...

    def read(self) -> Journal:
        """Open the journal for reading only, even while a run writes to it. Blocking.

        Raises:
            RunRefusedError: there is none, or it has a different version.
        """
        ...

    def request_stop(self, reason: str) -> None:
        """Ask the session that works on the run to start nothing more. Blocking; safe to repeat.

        Raises:
            RunRefusedError: there is no such run.
            ConfigurationError: a run of this store cannot be asked.
        """

    async def hold(self, terms: HoldTerms = ...) -> Hold:
        """Hold the journal, and create it if there is none.

        Raises:
            RunBusyError: another session holds it.
            RunRefusedError: it is not a journal, or has a different version.
            ConfigurationError: it cannot be used; the message says why.
        """
        ...
