"""The stream of a run's outcomes, from its workers to its caller."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic

from enapter_async.fleet.outcomes import OperationT, Outcome


class OutcomeStream(Generic[OperationT]):
    """Queues outcomes for iteration, or passes each immediately to a listener.

    A listener is cheaper, because it needs no queue and no task.
    """

    def __init__(self) -> None:
        self.on_taken: Callable[[Outcome[OperationT]], None] = _nothing
        """Called each time an outcome is consumed."""
        self._queue: asyncio.Queue[Outcome[OperationT] | None] = asyncio.Queue()
        self.put: Callable[[Outcome[OperationT]], None] = self._queue.put_nowait
        """Accept an outcome."""
        self.close: Callable[[], None] = partial(self._queue.put_nowait, None)
        """End the stream: there are no more outcomes."""

    async def get(self) -> Outcome[OperationT] | None:
        """Wait for the next outcome. Once there are no more, every call returns None."""
        outcome = await self._queue.get()
        if outcome is None:
            self._queue.put_nowait(None)
        else:
            self.on_taken(outcome)
        return outcome

    async def listen(self, listener: Callable[[Outcome[OperationT]], None] | None) -> None:
        """Pass every outcome to a function, until there are no more, and raise its errors.

        If the function is None, the outcomes are only consumed.
        """
        over = asyncio.Event()
        failure: BaseException | None = None

        def hand_on(outcome: Outcome[OperationT]) -> None:
            nonlocal failure
            if over.is_set():
                return
            self.on_taken(outcome)
            try:
                if listener is not None:
                    listener(outcome)
            except BaseException as error:  # noqa: BLE001 - raised below, not in a worker
                failure = error
                over.set()

        while not self._queue.empty():
            outcome = self._queue.get_nowait()
            if outcome is None:
                over.set()
            else:
                hand_on(outcome)
        self.put = self.on_taken if listener is None else hand_on
        self.close = over.set
        await over.wait()
        if failure is not None:
            raise failure


def _nothing(_: object) -> None:
    """Do nothing: the default before a callback is set."""
