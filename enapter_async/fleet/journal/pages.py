"""What the journal says of one work."""

import asyncio
from collections.abc import Callable

from enapter_async.fleet.work import Work


class Page:
    """One work's place in the journal."""

    __slots__ = ("_commit", "_intend", "number", "uncertain", "work")

    def __init__(
        self,
        work: Work,
        number: int,
        intend: Callable[["Page"], "asyncio.Future[None]"],
        *,
        uncertain: bool,
    ) -> None:
        self._intend = intend
        self._commit: asyncio.Future[None] | None = None
        self.work = work
        self.number = number
        """How many intents were handed in for the work, in all sessions."""
        self.uncertain = uncertain

    @property
    def handed_in(self) -> bool:
        """Whether an intent may be in the journal: one was handed in by this session."""
        return self._commit is not None

    @property
    def announced(self) -> bool:
        """Whether the last intent is in the journal, so that the work may be sent."""
        done = self._commit
        return (
            done is not None and done.done() and not done.cancelled() and done.exception() is None
        )

    def announce(self) -> "asyncio.Future[None]":
        """Write the intent; what is returned is done when it is committed.

        Raises, when it is awaited:
            JournalError: it was not written, and nothing may be sent.
        """
        self.number += 1
        self._commit = self._intend(self)
        return self._commit
