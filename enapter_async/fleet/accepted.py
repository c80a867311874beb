"""The execution of an operation that the API accepts first and finishes later."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from enapter_async._http.call import AttemptObserver, CallRecord
from enapter_async.api.accepted import Following, FollowUp
from enapter_async.errors import (
    AmbiguousOutcomeError,
    EnapterError,
    ResultDiffersError,
    StillPendingError,
)
from enapter_async.fleet.errors import NotStartedError
from enapter_async.fleet.execution import Execution, ExecutionContext
from enapter_async.fleet.journal.records import ItemRecord
from enapter_async.fleet.outcomes import OperationT, Outcome, State
from enapter_async.fleet.reading import Caller, find_created
from enapter_async.operation import Operation

_STATES: Final[Mapping[type, State]] = {
    AmbiguousOutcomeError: State.UNKNOWN,
    ResultDiffersError: State.DIFFERS,
    StillPendingError: State.PENDING,
}


class FollowedExecution(Execution[OperationT]):
    """Carries out one operation and, if it continues after its answer, follows it to its end.

    An operation that an earlier session left pending is only followed. With `ItemRecord.adopts`, a
    search looks for the object that an earlier session may have created; this is followed, and
    nothing is sent.
    """

    __slots__ = ("_follow_up",)

    def __init__(self, operation: OperationT, item_record: ItemRecord | None = None) -> None:
        super().__init__(operation, item_record)
        self._follow_up: FollowUp | None = None
        if item_record is not None and item_record.follow is not None:
            self._follow_up = FollowUp(operation, item_record.follow)

    @property
    def accepted(self) -> bool:
        """Whether the API accepted the operation; if so, nothing more is sent for it."""
        return self._follow_up is not None

    @property
    def in_doubt(self) -> bool:
        """Whether an attempt is in flight, or one may have been carried out."""
        return not self.accepted and super().in_doubt

    async def carry_out(
        self, context: ExecutionContext, observer: AttemptObserver | None = None
    ) -> Outcome[OperationT]:
        """Carry out the operation as `Execution` does, and follow it."""
        client, following = context.client, context.following
        item_record, self._observer = self._item_record, observer
        if self._follow_up is None and item_record is not None and item_record.adopts:
            return await self._adopt(client, following)
        if self._follow_up is None:
            outcome = await super().carry_out(context, observer)
            if outcome.state is not State.APPLIED:
                return outcome
            follow_up = FollowUp.after(self.operation, outcome.result)
            if follow_up.reading is None:
                return outcome
            self._follow_up = follow_up
            if item_record is not None:
                item_record.accepted(follow_up.reading)
        return await self._follow(client, self._follow_up, following)

    async def _adopt(self, client: Caller, following: Following) -> Outcome[OperationT]:
        """Search for objects that an earlier session may have created; adopt a single one."""
        record = CallRecord(observer=self._observer, decides=True)
        try:
            found = await find_created(
                client, self.operation, record=record, age=self._age, there=self._there
            )
        except AmbiguousOutcomeError as error:
            return self._outcome(State.UNKNOWN, error=error)
        except EnapterError as error:
            return self._outcome(State.UNKNOWN, error=self._earlier(error))
        self._follow_up = FollowUp.after(self.operation, found)
        if self._item_record is not None and self._follow_up.reading is not None:
            self._item_record.accepted(self._follow_up.reading)
        return attrs.evolve(await self._follow(client, self._follow_up, following), settled=True)

    async def _follow(
        self, client: Caller, follow_up: FollowUp, following: Following
    ) -> Outcome[OperationT]:
        async def read(each: Operation[Any]) -> Any:
            return await client.call(each, record=CallRecord(observer=self._observer), patient=True)

        began = following.clock.monotonic()
        try:
            await follow_up.run(read, following)
        finally:
            self.elapsed += following.clock.monotonic() - began
        return self._as_read(follow_up, "the run was stopped" if following.stopped() else "")

    def _as_read(self, follow_up: FollowUp, reason: str = "") -> Outcome[OperationT]:
        """Return the outcome of an accepted operation, according to the last read."""
        error = follow_up.error(reason)
        state = _STATES.get(type(error), State.APPLIED)
        return self._outcome(state, result=follow_up.result, error=error)

    def cut_off(self) -> Outcome[OperationT]:
        """Return the outcome of an operation that was cancelled in flight."""
        if self._follow_up is None:
            return super().cut_off()
        return self._as_read(self._follow_up, "the run was cancelled")

    def broken(self, error: BaseException) -> Outcome[OperationT]:
        """Return the outcome of an operation that raised an error from outside this package."""
        if self._follow_up is None:
            return super().broken(error)
        return self._as_read(self._follow_up, f"the wait for it ended with {type(error).__name__}")

    def not_started(self, error: NotStartedError) -> Outcome[OperationT]:
        """Return the outcome of an item not started: pending, if the API accepted it earlier."""
        if self._follow_up is None:
            return super().not_started(error)
        return self._as_read(self._follow_up, str(error))
