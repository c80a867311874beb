"""What the journal says of one work."""

from collections.abc import Awaitable, Callable

from enapter_async.fleet.work import Work


class Page:
    """One work's place in the journal."""

    __slots__ = ("_intend", "announced", "number", "uncertain", "work")

    def __init__(
        self,
        work: Work,
        number: int,
        intend: Callable[["Page"], Awaitable[None]],
        *,
        uncertain: bool,
    ) -> None:
        self._intend = intend
        self.work = work
        self.number = number
        """How many intents were written for the work, in all sessions."""
        self.uncertain = uncertain
        self.announced = False

    def announce(self) -> Awaitable[None]:
        """Write the intent; what is returned is done when it is committed.

        Raises, when it is awaited:
            JournalError: it was not written, and nothing may be sent.
        """
        self.number += 1
        self.announced = True
        return self._intend(self)
