"""What a job needs of a queue that delivers its partitions to workers.

Nothing depends on an engine for correctness: a delivery is a hint. A partition that is delivered
twice, late, or after the job was stopped is refused by the statement that takes it, and by its
journal. An engine is there to reach a worker soon, and another one soon after that worker died.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

AHEAD: Final = 16
"""How many partitions of a job are queued at most, beyond those in progress: a delivery that is
tried again goes to the end of some queues."""

Handler = Callable[[str], Awaitable[None]]
"""Carries out what a key stands for; it returns once that is finished, or not to be done."""


class Engine(Protocol):
    """A queue that delivers keys to workers; its heartbeats are its own matter."""

    async def submit(self, key: str, queue: str) -> None:
        """Deliver a key to a worker of a queue. A key that is queued already is not queued again.

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
