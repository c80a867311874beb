"""The interface between a run and its journal's place: an SQLite file, or PostgreSQL.

`names.store_of` returns the store for a journal's name. A session holds its journal through the
store while it works on the run: one session at a time, across all processes and machines.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import attrs

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import EventRow, ItemRow

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


class Writer(Protocol):
    """Accepts rows, writes them in groups, and lets callers wait for the commit.

    If a group cannot be written, every caller waiting for it gets a `JournalError`. From then on
    nothing is written and every wait fails, because a journal with a gap would be misleading.
    """

    def add_item(self, row: ItemRow) -> None:
        """Submit an item; it is committed with, or before, any event submitted later."""
        ...

    def add_fact(self, key: str, value: str) -> None:
        """Submit a fact about the run, replacing one of the same name."""
        ...

    def add(self, event: EventRow, *, power: bool = False) -> None:
        """Submit an event without waiting for its commit."""
        ...

    def commit(self, event: EventRow, *, power: bool = False) -> asyncio.Future[None]:
        """Submit an event; the returned future is done when it is committed.

        With `power`, the event then survives a power loss; otherwise, at least the end of the
        process. If the group cannot be written, the future raises `JournalError`.
        """
        ...

    async def close(self) -> None:
        """Write the remaining rows.

        Raises:
            JournalError: not everything could be written.
        """


class Lease(Protocol):
    """A hold that another session can take over, as its session sees it."""

    def is_certain(self) -> bool:
        """Return whether this session certainly still holds the run; called before each send."""
        ...

    async def until_certain(self) -> None:
        """Wait until no other session can have taken the run.

        Raises:
            JournalError: one has, or that cannot be known.
        """

    def watch_stop(self, on_stop: Callable[[str], None]) -> None:
        """Call `on_stop` once another process asks this session to stop, with its reason."""


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
    def lease(self) -> "Lease | None":
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
