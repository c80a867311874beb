"""What a job requires of a queue that delivers its partitions to workers.

Nothing depends on an engine for correctness: a delivery is a hint. A partition that is delivered
twice, late, or after the job was stopped is refused by the statement that takes it, and by its
journal. An engine only makes sure that a worker is found soon, and a new one soon after a worker
dies.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

AHEAD: Final = 16
"""The maximum number of queued partitions of a job, besides those in progress.

Some queues put a retried delivery at the end, so a long queue would delay it."""

Handler = Callable[[str], Awaitable[None]]
"""Carries out the partition of a key; returns once it is finished or need not be done."""


class Engine(Protocol):
    """A queue that delivers keys to workers, and manages its own heartbeats."""

    async def submit(self, key: str, queue: str) -> None:
        """Deliver a key to a worker of a queue. A key that is already queued is not queued again.

        Raises:
            JournalError: the engine cannot be reached now.
        """
        ...

    async def work(self, handler: Handler, queues: Sequence[str] | None, slots: int) -> None:
        """Pass keys of these queues (None: of all) to `handler`, `slots` at once, until cancelled.

        A key whose worker died before its handler returned is delivered to another worker.

        Raises:
            JournalError: the engine cannot be reached; it may be called again.
        """

    async def close(self) -> None:
        """Release all resources; safe to repeat."""
