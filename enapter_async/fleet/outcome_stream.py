"""The stream of a run's outcomes, from its workers to its caller."""

import asyncio
from collections.abc import Callable
from typing import Generic

from enapter_async.fleet.outcomes import OperationT, Outcome


class OutcomeStream(Generic[OperationT]):
    """Queues outcomes for iteration, or passes each immediately to a listener.

    A listener is cheaper, because it needs no queue and no task.
    """

    def __init__(self) -> None:
        self.on_taken: Callable[[], None] = _nothing
        """Called each time an outcome is consumed."""
        self._queue: asyncio.Queue[Outcome[OperationT] | None] = asyncio.Queue()
        self.put: Callable[[Outcome[OperationT] | None], None] = self._queue.put_nowait
        """Accept an outcome; None means that there are no more."""

    async def get(self) -> Outcome[OperationT] | None:
        """Wait for the next outcome. Once there are no more, every call returns None."""
        outcome = await self._queue.get()
        if outcome is None:
            self._queue.put_nowait(None)
        else:
            self.on_taken()
        return outcome

    async def listen(self, listener: Callable[[Outcome[OperationT]], None] | None) -> None:
        """Pass every outcome to a function, until there are no more, and raise its errors.

        If the function is None, the outcomes are only consumed.
        """
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failure: BaseException | None = None

        def hand_on(outcome: Outcome[OperationT] | None) -> None:
            nonlocal failure
            if over.done():
                return
            if outcome is None:
                over.set_result(None)
                return
            self.on_taken()
            if listener is None:
                return
            try:
                listener(outcome)
            except BaseException as error:  # noqa: BLE001 - raised below, not in a worker
                failure = error
                over.set_result(None)

        while not self._queue.empty():
            hand_on(self._queue.get_nowait())
        self.put = hand_on
        await over
        if failure is not None:
            raise failure


def _nothing() -> None:
    """Do nothing: the default before a callback is set."""
