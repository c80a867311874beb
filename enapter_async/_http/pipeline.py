"""The steps of one call, in order from top to bottom.

A call takes the lock of its target, acquires a permit from the limiter, and makes an attempt; a
successful answer is returned at once. Anything else is a `Failure`, and only then is a retry loop
created. However the call ends, an uncertain attempt is settled by reading back, or reported.

The lock is taken before the permit: a call that waits for another writer of the same device must
not hold a permit that calls for other devices could use.
"""

import asyncio
import itertools
import logging
from typing import Any, Final, TypeVar

import attrs

from enapter_async._http.call import Call, CallRecord, differing, unsent
from enapter_async._http.evidence import Evidence
from enapter_async._http.keyed_lock import KeyedLock, within
from enapter_async._http.message import Failure, Reply
from enapter_async._http.renewal import Renewing
from enapter_async._http.retry import (
    RetryPolicy,
    backoff,
    drive,
    end_permit,
    is_refusal,
    may_repeat,
    out_of_time,
    settle_reserve,
)
from enapter_async._http.settlement import Settlement
from enapter_async._http.transport import Timeouts, Transport
from enapter_async.concealment import clear_frames
from enapter_async.errors import (
    Attempt,
    Certainty,
    DeadlineExceededError,
    EnapterError,
    ResponseMismatchError,
    ResultDiffersError,
)
from enapter_async.hooks import AttemptFailed, AttemptStarted, CallStarted, Waiting
from enapter_async.limits.limiter import Limiter, Permit, own_delay
from enapter_async.operation import Operation, Repeat, Settles

T = TypeVar("T")

SETTLE_TRIES: Final = 2
"""The maximum number of settling reads; the second one only if the first was not sent."""

_BY_STATE: Final = Settles.STATE
_NEVER: Final = Settles.NEVER
_READ: Final = Repeat.READ
"""Looked up once: finding a member of an enumeration is slow, and every call needs it."""

TIMER_SECONDS: Final = 0.001
"""How early a loop's timer may fire: uvloop uses whole milliseconds."""

_NUMBERS: Final = itertools.count(1)
"""One counter for all clients of the process, because they may share a hook."""

logger = logging.getLogger("enapter_async")


@attrs.frozen(kw_only=True)
class Pipeline(Renewing):
    """Runs a client's calls; clients from `with_options` share all but policy and timeouts."""

    transport: Transport
    limiter: Limiter
    turns: KeyedLock
    policy: RetryPolicy
    timeouts: Timeouts
    evidence: Evidence
    numbers: "itertools.count[int]" = _NUMBERS

    async def execute(
        self, operation: Operation[T], record: CallRecord | None = None, *, patient: bool = False
    ) -> T:
        """Execute an operation and return its result, or raise an error that states its outcome.

        With `patient`, time spent waiting for a permit does not count against the deadline.
        """
        started = self.clock.monotonic()
        record = record or CallRecord()
        try:
            message = self.wire.message(
                operation, fresh=record.decides and operation.repeat is _READ
            )
        except BaseException as raised:
            clear_frames(raised)
            raise
        wait = operation.answer.wait
        deadline = self.policy.deadline if wait is None else self.policy.deadline + wait
        call = Call(operation, message, record, started + deadline)
        call.patient = patient
        if self.hooks:
            call.number = next(self.numbers)
            base_url = self.wire.base_url
            self._tell(CallStarted(call=call.number, operation=operation, base_url=base_url))
        error: EnapterError | None = None
        cancelled = False
        try:
            ended: T | Failure = await self._take_turn(call)
            if isinstance(ended, Failure):
                error = self.wire.named(ended.error, operation)
            elif why := operation.fault(ended) or operation.differs(ended):
                error = self.wire.named(differing(operation, why, ended), operation)
        except BaseException as raised:
            # Usually a cancellation; or an exception from `before_again` or an operation.
            clear_frames(raised)
            cancelled = isinstance(raised, asyncio.CancelledError)
            error = raised if isinstance(raised, EnapterError) else None
            raise
        finally:
            call.record.elapsed = self.clock.monotonic() - started
            if self.hooks:
                self._tell_end(call, error, cancelled=cancelled)
        if error is None:
            return ended  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # no failure is without an error
        error.attempts = call.record.attempts
        if isinstance(error, ResultDiffersError):
            error.result = ended  # only here, because hooks never receive a result
        try:
            raise error
        finally:
            del ended, error

    async def _take_turn(self, call: Call) -> Any | Failure:
        """Run the call as the only writer of its target."""
        target = call.operation.writes_to()
        if target is not None and not self.turns.try_take(target):
            self._drop_granted(call.record)  # others can use it meanwhile
            began = self.clock.monotonic()
            came = await within(call.end - began, lambda: self.turns.take(target))
            self._tell_waited(call, began, "turn")
            if not came:
                return unsent(
                    DeadlineExceededError("out of time: another write to it is in flight")
                )
        try:
            settles = call.operation.settles
            if settles is not _BY_STATE and settles is not _NEVER and call.looks_before():
                self._drop_granted(call.record)  # the search might wait for it forever
                await self._settlement().look_before(call)
            ended = await self._attempt(call)
            return await self._go_on(call, ended) if isinstance(ended, Failure) else ended
        finally:
            if target is not None:
                self.turns.give(target)

    async def _go_on(self, call: Call, first: Failure) -> Any | Failure:
        """Retry after a first failure if the policy allows it; return the result or the failure."""
        ended: Any = first
        repeat = call.operation.repeat
        if may_repeat(self.policy, repeat, first):
            ended = await drive(
                first,
                lambda: self._attempt(call),
                attempts=self.policy.attempts,
                may_repeat=lambda failure: may_repeat(self.policy, repeat, failure),
                delay=lambda: call.delay,
                uncounted=lambda: call.refusals,
                time_left=lambda: self._time_left(call),
                sleep=lambda seconds, failure: self._sleep(call, seconds, failure),
            )
        if isinstance(ended, Failure) and self.policy.attempts > 1:
            ended = out_of_time(ended, call.refusals)
        end = await self._conclude(call, ended)
        if isinstance(end, Failure) and ended.unconfirmed and self._may_ask_again(call):
            await self._sleep(call, call.delay, ended)
            end = await self._conclude(call, await self._attempt(call))
        return end

    async def _conclude(self, call: Call, ended: Any | Failure) -> Any | Failure:
        if not isinstance(ended, Failure):
            return ended
        return await self._settlement().conclude(call, ended)

    def _may_ask_again(self, call: Call) -> bool:
        """Return whether an unconfirmed write may be repeated once a read shows it as not done."""
        allowed = len(call.record.attempts) - call.refusals < self.policy.attempts
        return call.still_there and allowed and call.delay < self._time_left(call)

    def _settlement(self) -> Settlement:
        return Settlement(
            read=self._read_back, evidence=self.evidence, clock=self.clock, wire=self.wire
        )

    async def _attempt(self, call: Call) -> Any | Failure:
        record, operation, limiter = call.record, call.operation, self.limiter
        permit = None
        if record.observer is None or record.observer.may_begin():
            permit, record.permit = record.permit or limiter.try_acquire(), None
        if permit is None and (permit := await self._permit(call)) is None:
            return unsent(DeadlineExceededError(f"out of time: {limiter.pace()}"))
        began = self.clock.monotonic()
        left = call.end - began
        # A write that is cut off at the very end could no longer be settled.
        left -= settle_reserve(operation.settles, left)
        if left <= 0:
            limiter.dropped(permit)
            return unsent(DeadlineExceededError("out of time before the attempt could start"))
        record.sent += 1
        if self.hooks:
            number = len(record.attempts) + 1
            self._tell(AttemptStarted(call=call.number, operation=operation, number=number))
        sent_with = self.wire.renewals
        try:
            wait = operation.answer.wait
            ended: Any = await self.transport.exchange(
                call.message,
                max_bytes=operation.max_bytes(),
                left=left,
                timeouts=self.timeouts if wait is None else self.timeouts.longer(wait),
            )
            reply = ended
            if not isinstance(reply, Failure):
                ended = self.wire.read(operation, reply, fresh=call.message.fresh)
        except BaseException:
            limiter.dropped(permit)
            raise
        if isinstance(reply, Failure) or isinstance(ended, Failure):
            failed = self._failed(call, end_permit(limiter, permit, ended), began)
            return await self._renewed(call, failed, sent_with) if failed.status == 401 else failed
        limiter.passed(permit)
        self._passed(call, reply, ended, began)
        return ended

    async def _permit(self, call: Call) -> Permit | None:
        """Wait for a permit for the next attempt; return None if none is granted in time.

        The observer is asked again after each wait, because its answer may have changed.
        """
        observer = call.record.observer
        while True:
            if observer is not None and not observer.may_begin():
                self._drop_granted(call.record)
                before = self.clock.monotonic()
                await observer.begin()
                call.put_off(self.clock.monotonic() - before)
                self._tell_waited(call, before, "pace")
                permit = self.limiter.try_acquire()
                if permit is not None:
                    return permit
            permit = await self._wait_for_permit(call)
            if permit is None or observer is None or observer.may_begin():
                return permit
            self.limiter.dropped(permit)

    def _passed(self, call: Call, reply: Reply, result: Any, began: float) -> None:
        """Record the evidence of a successful answer, and report it to hooks."""
        operation, record = call.operation, call.record
        if not self.evidence.knows(operation):
            self.evidence.learn(operation, result)
        if call.message.fresh:
            now = self.clock.monotonic()
            record.seen = self.evidence.seen(operation, reply.headers, result, now)
        elif operation.answer.stamp is not None and operation.repeat is not _READ:
            self.evidence.note_write(operation, reply.headers, result)
        if self.hooks:
            self._tell_passed(call, reply, self.wire.request_id(reply), began)
        if record.observer is not None:
            record.observer.passed()

    def _time_left(self, call: Call) -> float:
        left = call.end - self.clock.monotonic()
        return left - call.reserve(left)

    def _failed(self, call: Call, failure: Failure, began: float) -> Failure:
        """Record a failed attempt, and how long its operation must wait before the next one."""
        now = self.clock.monotonic()
        number = len(call.record.attempts) + 1
        attempt = Attempt(
            number=number,
            certainty=failure.certainty,
            error_type=failure.kind,
            elapsed=now - began,
            status=failure.status,
            retry_after=failure.retry_after,
        )
        call.record.attempts += (attempt,)
        call.note(failure, began)
        if self.hooks:
            self._tell(AttemptFailed(call=call.number, operation=call.operation, attempt=attempt))
        self._distrust(failure)
        if is_refusal(failure):
            call.refusals += 1
            call.delay = own_delay(self.clock, call.refusals, failure.retry_after)
        else:
            counted = number - call.refusals
            call.delay = backoff(self.policy, failure, counted, self.clock.uniform)
        if (observer := call.record.observer) is not None:
            observer.failed(attempt)
        reserve = settle_reserve(call.operation.settles, self.policy.deadline)
        if failure.timed_out and now >= call.end - reserve - TIMER_SECONDS:
            error = DeadlineExceededError(f"out of time: {failure.error}")
            return attrs.evolve(failure, error=error, retries=0)
        return failure

    async def _wait_for_permit(self, call: Call, *, settling: bool = False) -> Permit | None:
        """Wait in the limiter's line; return None if no permit is granted in time."""
        began = self.clock.monotonic()
        again = settling or bool(call.record.attempts)
        try:
            if call.patient:
                permit = await self.limiter.acquire(again=again)
                call.put_off(self.clock.monotonic() - began)
                return permit
            left = call.end - began if settling else self._time_left(call)
            async with asyncio.timeout(left):
                return await self.limiter.acquire(again=again)
        except TimeoutError:
            return None
        finally:
            if self.hooks:
                self._tell_waited(call, began, "gate", self.limiter.pace())

    def _drop_granted(self, record: CallRecord) -> None:
        if record.permit is not None:
            self.limiter.dropped(record.permit)
            record.permit = None

    async def _sleep(self, call: Call, seconds: float, failure: Failure) -> None:
        if self.hooks:
            reason = "backoff" if failure.retry_after is None else "retry-after"
            self._tell(
                Waiting(call=call.number, operation=call.operation, seconds=seconds, reason=reason)
            )
        await self.clock.sleep(seconds)
        if failure.certainty.uncertain and call.record.before_again is not None:
            await call.record.before_again()

    async def _read_back(self, call: Call, reading: Operation[Any]) -> Any | Failure:
        """Execute a read on behalf of a call whose outcome depends on it."""
        if self.hooks:
            operation = call.operation
            self._tell(Waiting(call=call.number, operation=operation, seconds=0.0, reason="settle"))
        message = self.wire.message(reading, fresh=True)
        state: Any = unsent(DeadlineExceededError("out of time"))
        for _ in range(SETTLE_TRIES):
            permit = self.limiter.try_acquire() or await self._wait_for_permit(call, settling=True)
            if permit is None:
                return unsent(DeadlineExceededError(f"out of time: {self.limiter.pace()}"))
            began = self.clock.monotonic()
            left = call.end - began
            if left <= 0:
                self.limiter.dropped(permit)
                break
            sent_with = self.wire.renewals
            try:
                reply = state = await self.transport.exchange(
                    message,
                    max_bytes=reading.max_bytes(),
                    left=left,
                    timeouts=self.timeouts.longer(reading.answer.wait or 0.0),
                )
                if not isinstance(reply, Failure):
                    state = self.wire.read(reading, reply, fresh=message.fresh)
            except BaseException:
                self.limiter.dropped(permit)
                raise
            if not isinstance(reply, Failure) and not isinstance(state, Failure):
                self.limiter.passed(permit)
                self._tell_read(call, reading, began, reply.status, state)
                self.evidence.learn(reading, state)
                now = self.clock.monotonic()
                call.seen = self.evidence.seen(reading, reply.headers, state, now)
                return state
            end_permit(self.limiter, permit, state)
            self._tell_read(call, reading, began, state.status, state)
            self._distrust(state)
            if state.status == 401:
                state = await self._renewed(call, state, sent_with)
            renewed = state.status == 401 and state.retries is None
            if state.certainty is not Certainty.NOT_SENT and not renewed:
                break
        return state

    def _distrust(self, failure: Failure) -> None:
        """Close a connection whose answers no longer match its requests."""
        if isinstance(failure.error, ResponseMismatchError):
            self.transport.distrust()
