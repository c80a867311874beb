"""The execution of one operation of a run, from start to outcome."""

import errno
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

import attrs

from enapter_async._http.call import AttemptObserver, CallRecord
from enapter_async.api.accepted import Following
from enapter_async.concealment import RawAnswer
from enapter_async.errors import AmbiguousOutcomeError, EnapterError, ResultDiffersError
from enapter_async.fleet.credentials import CredentialStore
from enapter_async.fleet.errors import (
    CredentialsNotKeptError,
    JournalError,
    LeftUnknownError,
    NoRoomError,
    NotStartedError,
)
from enapter_async.fleet.journal.records import ItemRecord
from enapter_async.fleet.outcomes import OperationT, Outcome, State
from enapter_async.fleet.reading import FINDABLE, Caller, find_older, is_not_there, read_state
from enapter_async.limits.limiter import Limiter
from enapter_async.operation import Operation, Repeat, Settles, described

AmbiguousT = TypeVar("AmbiguousT", bound=AmbiguousOutcomeError)

_APPLIED: Final = State.APPLIED
"""Looked up once, because finding a member of an enumeration is slow."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@attrs.frozen(kw_only=True)
class ExecutionContext:
    """What all executions of a run share. With `check` each target is read before it is written."""

    client: Caller
    following: Following
    check: bool = False
    credential_store: CredentialStore | None = None
    limiter: Limiter | None = None


class Execution(Generic[OperationT]):
    """Carries out one operation, and can return an outcome for it at any time.

    `storing` is true from the moment the result is passed to the sink.
    """

    __slots__ = (
        "_item_record",
        "_observer",
        "_record",
        "_result",
        "before",
        "elapsed",
        "operation",
        "sent",
        "storing",
    )

    def __init__(self, operation: OperationT, item_record: ItemRecord | None = None) -> None:
        self.operation = operation
        self._item_record = item_record
        self._record: CallRecord | None = None
        self._observer: AttemptObserver | None = None
        self._result: Any = None
        self.before: float | None = None
        """When the target last changed, if a guard just found it in the wanted state."""
        self.elapsed = 0.0
        self.sent = 0
        self.storing = False

    async def carry_out(
        self, context: ExecutionContext, observer: AttemptObserver | None = None
    ) -> Outcome[OperationT]:
        """Carry out the operation. An `EnapterError` becomes an outcome; other errors are raised.

        After a failure it may be called once more, after `start_over`, if nothing was sent or every
        attempt was refused.
        """
        client, limiter = context.client, context.limiter
        credential_store = context.credential_store if self.operation.answer.secret else None
        self._observer = observer
        if (context.check or credential_store is not None) and (
            outcome := await self._before_sending(context, credential_store)
        ) is not None:
            return outcome
        item_record = self._item_record
        self._record = record = CallRecord(None, observer, decides=True, before=self.before)
        try:
            if item_record is not None:
                record.before_again = item_record.write_intent
                if not item_record.intent_written:
                    if item_record.there is None and self.operation.settles in FINDABLE:
                        await self._note_older(client, item_record)
                    # Only with a permit: if the process is then killed, operations that wait for
                    # the rate limit do not become unknown.
                    if limiter is not None:
                        record.permit = limiter.try_acquire() or await limiter.acquire()
                    await item_record.write_intent()
                record.there = item_record.there
                record.age = item_record.age() if item_record.uncertain else 0.0
            result = await client.call(self.operation, record=record, patient=True)
        except ResultDiffersError as differing:
            # The result is kept in the outcome only, because errors are often logged.
            result, differing.result = differing.result, None
            self._note_name(result)
            return await self._done(credential_store, result, differing)
        except EnapterError as error:
            return await self._refused(client, error, credential_store)
        finally:
            if limiter is not None and record.permit is not None:
                limiter.dropped(record.permit)
        if credential_store is not None:
            return await self._keep(credential_store, result, None)
        return Outcome(  # as `_outcome` does, because this is how nearly all operations end
            operation=self.operation,
            state=_APPLIED,
            result=result,
            attempts=self.sent + record.sent,
            elapsed=self.elapsed + record.elapsed,
            settled=record.settled or record.already_absent,
        )

    @property
    def accepted(self) -> bool:
        """Whether the API accepted the operation; if so, nothing more is sent for it."""
        return False

    @property
    def in_doubt(self) -> bool:
        """Whether an attempt is in flight, or one may have been carried out."""
        record = self._record
        return record is not None and (
            record.sent > len(record.attempts)
            or any(attempt.certainty.uncertain for attempt in record.attempts)
            or self._seems_gone()
        )

    def _seems_gone(self) -> bool:
        """Return whether a deletion got a 404; a proxy may have forwarded it twice."""
        attempts = () if self._record is None else self._record.attempts
        missing = any(attempt.status == HTTPStatus.NOT_FOUND for attempt in attempts)
        return missing and self.operation.holds(None)

    def start_over(self) -> None:
        """Add the last attempts to the outcome's numbers, before the operation is repeated."""
        if self._record is not None:
            self.sent += self._record.sent
            self.elapsed += self._record.elapsed
            self._record = None

    async def _before_sending(
        self, context: ExecutionContext, credential_store: CredentialStore | None
    ) -> Outcome[OperationT] | None:
        """Return an outcome if the state alone decides it, or credentials could not be stored."""
        outcome = await self._look(context.client) if context.check else None
        if outcome is None and credential_store is not None:
            outcome = await self._make_room(credential_store)
        return outcome

    async def _note_older(self, client: Caller, item_record: ItemRecord) -> None:
        """Record what exists already, to tell it later from what the operation created."""
        if not item_record.uncertain:
            record = CallRecord(observer=self._observer, decides=True)
            item_record.there = await find_older(client, self.operation, record)

    async def _make_room(self, credential_store: CredentialStore) -> Outcome[OperationT] | None:
        """Reserve space for generated credentials; return an outcome if there is not enough."""
        try:
            await credential_store.make_room()
        except OSError as error:
            problem = error.strerror or str(error) or type(error).__name__
            place = "" if error.filename is None else f" ({error.filename})"
            message = f"credentials cannot be stored: {problem}{place}"
            if error.errno in _FULL:
                message = f"there is no room to store credentials: {problem}"
            return self.held(message, NoRoomError(message))
        return None

    async def _refused(
        self, client: Caller, error: EnapterError, credential_store: CredentialStore | None
    ) -> Outcome[OperationT]:
        """Return the outcome of an operation whose call raised an error."""
        if isinstance(error, JournalError):
            return self._unjournalled(error)
        if isinstance(error, AmbiguousOutcomeError):
            self._note_name(None if self._record is None else self._record.shown)
            if error.answer is not None and credential_store is not None:
                return await self._keep(credential_store, error.answer, error)
            return self._outcome(State.UNKNOWN, error=error)
        if is_not_there(error) and self.operation.holds(None):
            if not self._uncertain:
                return self._outcome(State.ABSENT)
            # Most likely an earlier session deleted it.
            return attrs.evolve(self._outcome(State.APPLIED), settled=True)
        return (
            await self._settle(client, error)
            if self._uncertain
            else self._outcome(State.FAILED, error=error)
        )

    def _unjournalled(self, error: JournalError) -> Outcome[OperationT]:
        """Return the outcome of an operation that could not be sent, or not again."""
        if not self.in_doubt or self.operation.repeat is Repeat.READ:
            return self.held(str(error), error)
        ambiguous = self._ambiguous(str(error), error)
        return self._outcome(State.UNKNOWN, error=ambiguous)

    @property
    def _uncertain(self) -> bool:
        return self._item_record is not None and self._item_record.uncertain

    @property
    def _age(self) -> float:
        """The seconds since an earlier session may first have sent it; 0 if none did."""
        return 0.0 if self._item_record is None else self._item_record.age()

    @property
    def _there(self) -> frozenset[str] | None:
        """The ids of objects that existed before the operation was first sent, if known."""
        return None if self._item_record is None else self._item_record.there

    async def _settle(self, client: Caller, error: EnapterError) -> Outcome[OperationT]:
        """Read the state, because a refusal now does not show what an earlier attempt did."""
        reading: Operation[Any] | None = self.operation.reads()
        if reading is not None and self.operation.settles is Settles.STATE:
            try:
                record = CallRecord(decides=True)
                state = await read_state(client, reading, record=record)
            except EnapterError:
                return self._outcome(State.UNKNOWN, error=self._earlier(error))
            self._note_name(state)
            seen = record.seen
            newer = seen is None or seen.proves(seen.at - self._age, self.before)
            if self.operation.holds(state) and (state is None or newer):
                outcome = self._outcome(State.APPLIED, result=self.operation.result_of(state))
                return attrs.evolve(outcome, settled=True)
        return self._outcome(State.UNKNOWN, error=self._earlier(error))

    def _earlier(self, error: EnapterError) -> AmbiguousOutcomeError:
        return self._ambiguous(
            f"an earlier attempt may have taken effect; the last one did not: {error}", error
        )

    def _ambiguous(self, message: str, cause: EnapterError) -> AmbiguousOutcomeError:
        ambiguous = self._unknown(AmbiguousOutcomeError, message)
        ambiguous.__cause__ = cause
        return ambiguous

    def _unknown(
        self, kind: type[AmbiguousT], message: str, hint: str = "read the {} to find out"
    ) -> AmbiguousT:
        target = self.operation.target()
        hint = hint.format(target.word)
        return kind(message, noun=target.noun, subject=target.name, hint=hint)

    async def _look(self, client: Caller) -> Outcome[OperationT] | None:
        """Read the state first; return an outcome if the state alone decides it."""
        read: Operation[Any] | None = self.operation.reads()
        if read is None or self.operation.settles is Settles.SEARCH:
            return None
        record = CallRecord(observer=self._observer, decides=True)
        try:
            state = await read_state(client, read, record=record)
        except EnapterError as error:
            if self._uncertain:
                return self._outcome(State.UNKNOWN, error=self._earlier(error))
            return self._outcome(State.FAILED, error=error)
        finally:
            self.elapsed += record.elapsed
        self._note_name(state)
        if not self.operation.holds(state):
            return None
        if state is None:
            return self._outcome(State.ABSENT)
        return self._outcome(State.UNCHANGED, result=self.operation.result_of(state))

    async def _done(
        self,
        credential_store: CredentialStore | None,
        result: Any,
        error: ResultDiffersError | None = None,
    ) -> Outcome[OperationT]:
        """Return the outcome of a completed operation, after storing its result if it is secret."""
        if credential_store is not None:
            return await self._keep(credential_store, result, error)
        state = State.APPLIED if error is None else State.DIFFERS
        return self._outcome(state, result=result, error=error)

    async def _keep(
        self,
        credential_store: CredentialStore,
        result: Any,
        error: AmbiguousOutcomeError | ResultDiffersError | None,
    ) -> Outcome[OperationT]:
        """Store a result, or the raw response if `error` means that it could not be parsed."""
        self.storing = True
        self._result = result
        problem = ""
        place = None if self._item_record is None else self._item_record.place
        try:
            await credential_store.store(self.operation, result, place)
        except OSError as unkept:
            problem = unkept.strerror or type(unkept).__name__
        except Exception as unkept:  # noqa: BLE001 - whatever it is, nothing was stored
            # Its text may contain the credentials, and outcomes are often logged.
            problem = type(unkept).__name__
        if problem:
            return self._not_kept(problem)
        if isinstance(error, AmbiguousOutcomeError):
            return self._outcome(State.UNKNOWN, error=error)
        return await self._done(None, result, error)

    def _not_kept(self, problem: str) -> Outcome[OperationT]:
        answer = self._result if isinstance(self._result, RawAnswer) else None
        error = self._unknown(
            CredentialsNotKeptError,
            f"{described(self.operation)} was done, but its credentials could not be stored: "
            f"{problem}",
            "generate them again once they can be stored; the lost ones may still be valid on the "
            "server",
        )
        error.answer = answer
        result = None if answer is not None else self._result
        return self._outcome(State.UNKNOWN, result=result, error=error)

    def _note_name(self, state: Any) -> None:
        """Keep the target's name from its state, so that the report can show it."""
        if self._item_record is not None:
            self._item_record.note_name(state)

    def unchanged(self) -> Outcome[OperationT]:
        """Return the outcome of an operation whose target already had the values when planned."""
        return self._outcome(State.ABSENT if self.operation.holds(None) else State.UNCHANGED)

    def cut_off(self) -> Outcome[OperationT]:
        """Return the outcome of an operation that was cancelled in flight."""
        if self.storing:
            return self._not_kept("the run was cancelled")
        if not self._may_have_happened():
            return self.held("the run was cancelled before this operation was sent")
        message = (
            f"the run was cancelled while {described(self.operation)} was in flight: "
            "it may or may not have been done"
        )
        return self._outcome(State.UNKNOWN, error=self._unknown(AmbiguousOutcomeError, message))

    def _may_have_happened(self) -> bool:
        if self._uncertain:
            return True
        return self.in_doubt and self.operation.repeat is not Repeat.READ

    def broken(self, error: BaseException) -> Outcome[OperationT]:
        """Return the outcome of an operation that raised an error from outside this package."""
        if self.storing:
            return self._not_kept(type(error).__name__)
        if not self._may_have_happened():
            return self.held(f"it was not sent because of {type(error).__name__}")
        message = f"failed with {type(error).__name__}, so it may or may not have been done"
        return self._outcome(State.UNKNOWN, error=self._unknown(AmbiguousOutcomeError, message))

    def held(self, message: str, because: EnapterError | None = None) -> Outcome[OperationT]:
        """Return the outcome of an operation that was not started."""
        return self.not_started(NotStartedError(message, because=because))

    def not_started(self, error: NotStartedError) -> Outcome[OperationT]:
        """Return the outcome of an item not started: held, or unknown if possibly done earlier."""
        if not self._uncertain:
            return self._outcome(State.HELD, error=error)
        left = self._unknown(
            LeftUnknownError,
            f"an earlier session may have done it, and this session did not start it: {error}",
            "read the {} to find out, or resume the run",
        )
        left.__cause__ = error.because
        return self._outcome(State.UNKNOWN, error=left)

    def _outcome(
        self, state: State, *, result: Any = None, error: EnapterError | None = None
    ) -> Outcome[OperationT]:
        sent, elapsed, settled = self.sent, self.elapsed, False
        record = self._record
        if record is not None:
            sent += record.sent
            elapsed += record.elapsed
            settled = record.settled or record.already_absent
        return Outcome(
            operation=self.operation,
            state=state,
            result=result,
            error=error,
            attempts=sent,
            elapsed=elapsed,
            settled=settled,
        )
