"""One operation of a run, from being taken up to its outcome."""

import inspect
from typing import Any, Generic, Protocol, TypeVar

from enapter_async._http.pipeline import CallRecord
from enapter_async.errors import (
    AmbiguousOutcomeError,
    EnapterError,
    NotFoundError,
    ResultLostError,
)
from enapter_async.fleet.credentials import CredentialsSink
from enapter_async.fleet.report import NotStartedError, OperationT, Outcome, State
from enapter_async.operation import Operation, Repeat

T = TypeVar("T")


class Caller(Protocol):
    """What a run needs of a client, and what `Client` is."""

    async def call(
        self, operation: Operation[T], *, record: CallRecord, patient: bool = False
    ) -> T:
        """Carry an operation out and fill `record`; raise what truly became of it."""
        ...


class CredentialsNotKeptError(ResultLostError):
    """Credentials were minted, and the sink that should keep them did not take them.

    The run stops at the first one, because the next would be lost alike.
    """


class Item(Generic[OperationT]):
    """Carries one operation out, and can say at any time what became of it.

    `storing` is true from when the result is given to the sink.
    """

    __slots__ = ("_record", "_result", "elapsed", "operation", "storing")

    def __init__(self, operation: OperationT) -> None:
        self.operation = operation
        self._record: CallRecord | None = None
        self._result: Any = None
        self.elapsed = 0.0
        self.storing = False

    async def carry_out(
        self, client: Caller, *, check: bool, sink: CredentialsSink | None
    ) -> Outcome[OperationT]:
        """Do it; only what is no `EnapterError` gets out."""
        if check:
            outcome = await self._look(client)
            if outcome is not None:
                return outcome
        self._record = record = CallRecord()
        try:
            result = await client.call(self.operation, record=record, patient=True)
        except AmbiguousOutcomeError as error:
            return self._outcome(State.UNKNOWN, error=error)
        except EnapterError as error:
            if _is_not_there(error) and self.operation.holds(None):
                return self._outcome(State.ABSENT)
            return self._outcome(State.FAILED, error=error)
        if sink is not None and self.operation.answer.secret:
            return await self._keep(sink, result)
        return self._outcome(State.APPLIED, result=result)

    async def _look(self, client: Caller) -> Outcome[OperationT] | None:
        """Read first, and give the outcome where that already says it."""
        read: Operation[Any] | None = self.operation.reads()
        if read is None:
            return None
        record = CallRecord()
        state: Any = None
        try:
            state = await client.call(read, record=record, patient=True)
        except EnapterError as error:
            if not _is_not_there(error):
                return self._outcome(State.FAILED, error=error)
        finally:
            self.elapsed += record.elapsed
        if not self.operation.holds(state):
            return None
        if state is None:
            return self._outcome(State.ABSENT)
        return self._outcome(State.UNCHANGED, result=self.operation.result_of(state))

    async def _keep(self, sink: CredentialsSink, result: Any) -> Outcome[OperationT]:
        self.storing = True
        self._result = result
        problem = ""
        try:
            waiting = sink(self.operation, result)
            if inspect.isawaitable(waiting):
                await waiting
        except OSError as error:
            problem = error.strerror or type(error).__name__
        except Exception as error:  # noqa: BLE001 - whatever it is, the credentials are not kept
            # Its text may hold what it was given, and an outcome is what people log.
            problem = type(error).__name__
        if not problem:
            return self._outcome(State.APPLIED, result=result)
        return self._outcome(State.UNKNOWN, result=result, error=self._not_kept(problem))

    def _not_kept(self, problem: str) -> CredentialsNotKeptError:
        return CredentialsNotKeptError(
            f"credentials of {self.operation.subject()} were minted and could not be kept: "
            f"{problem}",
            subject=self.operation.subject(),
            hint="generate them again once they can be kept; what becomes of the lost ones "
            "is for the server to say",
        )

    def cut_off(self) -> Outcome[OperationT]:
        """Tell the outcome of an operation that was cancelled under way."""
        if self.storing:
            return self._outcome(
                State.UNKNOWN, result=self._result, error=self._not_kept("the run was cut off")
            )
        if not self._may_have_happened():
            return self.held("the run was cut off before this was done")
        error = AmbiguousOutcomeError(
            f"the run was cut off while {self.operation.subject()} was under way: "
            "it may or may not have been done",
            subject=self.operation.subject(),
            hint="read the device to see",
        )
        return self._outcome(State.UNKNOWN, error=error)

    def _may_have_happened(self) -> bool:
        record = self._record
        if record is None or self.operation.repeat is Repeat.READ:
            return False
        under_way = record.sent > len(record.attempts)
        return under_way or any(attempt.certainty.uncertain for attempt in record.attempts)

    def broken(self, error: Exception) -> Outcome[OperationT]:
        """Tell the outcome of an operation that ended in what is no error of ours."""
        wrapped = AmbiguousOutcomeError(
            f"ended in {type(error).__name__}, so nobody can say whether it was done",
            subject=self.operation.subject(),
        )
        return self._outcome(State.UNKNOWN, error=wrapped)

    def held(self, message: str, because: EnapterError | None = None) -> Outcome[OperationT]:
        """Tell the outcome of an operation that was not started."""
        return self._outcome(State.HELD, error=NotStartedError(message, because=because))

    def _outcome(
        self, state: State, *, result: Any = None, error: EnapterError | None = None
    ) -> Outcome[OperationT]:
        record = self._record
        if record is None:
            return Outcome(
                operation=self.operation,
                state=state,
                result=result,
                error=error,
                elapsed=self.elapsed,
            )
        return Outcome(
            operation=self.operation,
            state=state,
            result=result,
            error=error,
            attempts=record.sent,
            elapsed=self.elapsed + record.elapsed,
            settled=record.settled or record.already_absent,
        )


def _is_not_there(error: EnapterError) -> bool:
    """Say whether the API itself says so: a proxy's 404 page says nothing about a device."""
    return isinstance(error, NotFoundError) and (bool(error.errors) or not error.excerpt)
