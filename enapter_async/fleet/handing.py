"""How the outcomes of a run reach whoever wants them: one by one, or by a call for each."""

import asyncio
from collections.abc import Callable
from typing import Generic

from enapter_async.fleet.report import OperationT, Outcome


class Outcomes(Generic[OperationT]):
    """Keeps outcomes for the one who iterates, or hands each at once to one who listens.

    Listening is cheaper: no queue and no task stands between.
    """

    def __init__(self) -> None:
        self.on_taken: Callable[[], None] = _nothing
        """Called for each outcome that was taken."""
        self._queue: asyncio.Queue[Outcome[OperationT] | None] = asyncio.Queue()
        self.put: Callable[[Outcome[OperationT] | None], None] = self._queue.put_nowait
        """Take an outcome in; None says that there are no more."""

    async def get(self) -> Outcome[OperationT] | None:
        """Wait for the next outcome; None once there are no more, however often one asks."""
        outcome = await self._queue.get()
        if outcome is None:
            self._queue.put_nowait(None)
        else:
            self.on_taken()
        return outcome

    async def listen(self, listener: Callable[[Outcome[OperationT]], None] | None) -> None:
        """Hand every outcome to a function, until there are no more; what it raises comes out.

        None lets every outcome pass.
        """
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hand_on(outcome: Outcome[OperationT] | None) -> None:
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
            except Exception as error:  # noqa: BLE001 - the listener is the caller's code
                over.set_exception(error)

        while not self._queue.empty():
            hand_on(self._queue.get_nowait())
        self.put = hand_on
        await over


def _nothing() -> None:
    """Do what there is to do before anybody wants to know."""
