"""The rows of a journal that are written together, and what both kinds of writers share."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.records import EventRow, ItemRow


@attrs.define(kw_only=True)
class RowGroup:
    """Rows that are written together, and the futures that wait for them."""

    items: list[ItemRow] = attrs.field(factory=list)
    events: list[EventRow] = attrs.field(factory=list)
    facts: dict[str, str] = attrs.field(factory=dict)
    waiters: list[asyncio.Future[None]] = attrs.field(factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.items or self.events or self.facts)

    def release(self, failure: JournalError | None) -> None:
        """End the waits: the group is committed, or it never will be because of a failure."""
        for waiter in self.waiters:
            if waiter.done():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(copied(failure))


class Writer(ABC):
    """Accepts rows, writes them in groups, and lets callers wait for the commit.

    If a group cannot be written, every caller waiting for it gets a `JournalError`. From then on
    nothing is written and every wait fails, because a journal with a gap would be misleading.
    `on_failure` is called once. A subclass decides when it writes.
    """

    def __init__(self, on_failure: Callable[[JournalError], None]) -> None:
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._next = RowGroup()
        self.failure: JournalError | None = None

    def add_item(self, row: ItemRow) -> None:
        """Submit an item; it is committed with, or before, any event submitted later."""
        self._next.items.append(row)
        self._schedule()

    def add_fact(self, key: str, value: str) -> None:
        """Submit a fact about the run, replacing one of the same name."""
        self._next.facts[key] = value
        self._schedule()

    @abstractmethod
    def add(self, event: EventRow, *, power: bool = False) -> None:
        """Submit an event without waiting for its commit."""

    @abstractmethod
    def commit(self, event: EventRow, *, power: bool = False) -> asyncio.Future[None]:
        """Submit an event; the returned future is done when it is committed.

        With `power`, the event then survives a power loss; otherwise, at least the end of the
        process. If the group cannot be written, the future raises `JournalError`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Write the remaining rows.

        Raises:
            JournalError: not everything could be written.
        """

    def fail(self, error: JournalError) -> None:
        """Accept nothing more, and report the first error."""
        if self.failure is None:
            self.failure = error
            self._on_failure(error)

    @abstractmethod
    def _schedule(self) -> None:
        """Let the gathered rows be written soon."""


def copied(error: JournalError) -> JournalError:
    """Return a separate error for each waiter: one raised twice would collect two tracebacks."""
    return type(error)(str(error))


async def to_its_end(step: Coroutine[Any, Any, None]) -> None:
    """Execute a step to its end, even if the task that waits for it is cancelled."""
    ending = asyncio.get_running_loop().create_task(step)
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await asyncio.wait({ending})
        raise
