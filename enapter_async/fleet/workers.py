"""A fixed pool of workers that take a run's items in order, one per device at a time."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from enapter_async.fleet.accepted import FollowedExecution
from enapter_async.fleet.admission import Admission
from enapter_async.fleet.errors import StaleError
from enapter_async.fleet.execution import Execution, ExecutionContext
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.lease import LeasedAttempts, SessionLease
from enapter_async.fleet.journal.session import JournalSession
from enapter_async.fleet.ordering import GroupLimit, Ordering
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.planning.drift import Guard, StateGuard, look
from enapter_async.fleet.stop import StopSignal
from enapter_async.operation import Operation

MOST_GOES: Final = 100
"""The maximum number of tries of an operation that failed only because of the host."""


_NO_FOLLOW: Final = Operation.follow


class WorkerPool:
    """Carries out items.

    `on_outcome` receives each outcome before the next item is started; `on_idle` is called when all
    admitted items have finished. An error that ends a worker stops the run. An exception from a
    hook or a sink, or a foreign cancellation, is kept for the caller, and each item still gets its
    outcome.
    """

    def __init__(
        self,
        admission: Admission,
        stop_signal: StopSignal,
        *,
        concurrency: int,
        on_outcome: Callable[[Outcome[Any]], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._admission = admission
        self._stop_signal = stop_signal
        self._context: ExecutionContext
        self._guard: Guard | None = None
        self._concurrency = concurrency
        self._session: JournalSession | None = None
        self._lease: SessionLease | None = None
        self._on_outcome = on_outcome
        self._on_idle = on_idle
        self._ordering = Ordering()
        self._group_limit: GroupLimit | None = None
        self._ready: deque[WorkItem | None] = deque()
        self._waiting: deque[asyncio.Future[WorkItem | None]] = deque()
        self._in_flight: dict[asyncio.Task[Any], Execution[Any]] = {}
        self._idle = asyncio.Event()
        self._cut = False
        self._cancelled_unsent: set[asyncio.Task[Any]] = set()
        self._begun: set[int] = set()
        """The units with an item that was carried out: a stop lets them finish."""
        self._ending: set[asyncio.Task[Any]] = set()
        """The workers that carry out an item of such a unit."""
        self._beginning = False
        self.workers: set[asyncio.Task[None]] = set()
        self.unfinished = 0

    def configure(
        self,
        context: ExecutionContext,
        guard: Guard,
        session: JournalSession | None,
        *,
        per_group: int | None,
    ) -> None:
        """Set the parts that are open only once the run starts: guard, credentials, journal."""
        self._context = context
        self._guard = guard
        self._session = session
        self._lease = None if session is None else session.lease
        self._group_limit = None if per_group is None else GroupLimit(per_group)
        for item, state in session.blocked if session is not None else ():
            self._ordering.block(item, state)

    def admit(self, item: WorkItem) -> None:
        """Accept an item; it starts once no item of its device or its group blocks it."""
        if not self.unfinished:
            self._idle.clear()
        self.unfinished += 1
        if self._ordering.admit(item) and (
            self._group_limit is None or self._group_limit.admit(item)
        ):
            if self._waiting or len(self.workers) < self._concurrency:
                self._enqueue(item)
            else:
                self._ready.append(item)

    async def idle(self) -> None:
        """Wait until all admitted items have finished."""
        while self.unfinished:
            await self._idle.wait()

    def dismiss(self) -> None:
        """Let the workers finish: no more items will arrive."""
        self._ready.extend([None] * len(self.workers))
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    def cancel_unsent(self) -> None:
        """Release everything that waits for its turn, and cancel operations not yet sent."""
        self._admission.release_all()
        self._each_in_flight(self._cancel_if_unsent)

    def cut(self, *, spare_stored: bool) -> None:
        """Cancel operations in flight, except those storing credentials if `spare_stored`."""
        self._cut = True
        self._each_in_flight(partial(self._cut_off, spare_stored))

    def _each_in_flight(self, end: Callable[[asyncio.Task[Any], Execution[Any]], None]) -> None:
        here = asyncio.current_task() if self._in_flight else None
        for worker, execution in self._in_flight.items():
            if worker is here:
                # A hook or a sink of this operation made the call. If it then finishes without
                # waiting again, a cancellation would reach the worker between two items.
                asyncio.get_running_loop().call_soon(end, worker, execution)
            else:
                end(worker, execution)

    def _cancel_if_unsent(self, worker: asyncio.Task[Any], execution: Execution[Any]) -> None:
        spared = execution.in_doubt or worker in self._ending
        if self._is_at(worker, execution) and not spared:
            self._cancelled_unsent.add(worker)
            worker.cancel()

    def _cut_off(
        self, spare_stored: bool, worker: asyncio.Task[Any], execution: Execution[Any]
    ) -> None:
        if self._is_at(worker, execution) and not (execution.storing and spare_stored):
            worker.cancel()

    def _is_at(self, worker: asyncio.Task[Any], execution: Execution[Any]) -> bool:
        return self._in_flight.get(worker) is execution and worker not in self._cancelled_unsent

    def _enqueue(self, item: WorkItem) -> None:
        if self._waiting:
            self._hand(item)
        else:
            self._ready.append(item)
        if len(self.workers) < self._concurrency:
            self._begin_worker()

    def _begin_worker(self) -> None:
        self._beginning = True
        worker = asyncio.create_task(self._work(), name="fleet worker")
        self._beginning = False
        self.workers.add(worker)
        worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self.workers.discard(worker)
        # A task that is cancelled before its first step runs none of its code.
        error = asyncio.CancelledError() if worker.cancelled() else worker.exception()
        if error is not None:
            self._stop_signal.by_break(error)
            if self.unfinished:
                self._begin_worker()

    def _hand(self, item: WorkItem | None) -> None:
        """Pass an item to a waiting worker, or queue it for the next free one."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(item)
                return
        self._ready.append(item)

    async def _next(self) -> WorkItem | None:
        """Return the next item, or None once there are no more."""
        while not self._ready:
            waiting: asyncio.Future[WorkItem | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                return await waiting
            except asyncio.CancelledError as error:
                self._withstand(error)
                if waiting.done() and not waiting.cancelled():
                    return waiting.result()
        return self._ready.popleft()

    async def _work(self) -> None:
        if self._beginning:
            # An eager task factory runs this inside `create_task`, whose caller may be in the
            # middle of handling another item.
            await asyncio.sleep(0)
        worker: Any = asyncio.current_task()
        ready = self._ready
        while (item := ready.popleft() if ready else await self._next()) is not None:
            try:
                item_record = None if self._session is None else self._session.item_record(item)
                # Most operations end with their answer.
                followed = type(item.operation).follow is not _NO_FOLLOW or (
                    item_record is not None and (item_record.follow or item_record.adopts)
                )
                execution = (FollowedExecution if followed else Execution)(
                    item.operation, item_record
                )
                outcome = None
                stopped = self._stop_signal.reason and not self._must_end(item)
                if stopped or self._ordering.block_any:
                    outcome = self._decided(item, execution)
                if outcome is None:
                    if item.unchanged:
                        outcome = execution.unchanged()
                    else:
                        outcome = await self._carry_out(worker, item, execution)
                    if item_record is not None and self._session is not None:
                        if isinstance(outcome.error, StaleError):
                            self._session.held(item, outcome)
                        else:
                            self._session.ended(item_record, outcome)
                self._on_outcome(outcome)
            except GeneratorExit:
                raise
            except BaseException:
                self._release(item, State.UNKNOWN)
                raise
            usual = outcome.error is None and item.unit is None
            self._release(item, None if usual else self._ended_badly(item, outcome))

    def _ended_badly(self, item: WorkItem, outcome: Outcome[Any]) -> State | None:
        """Record that an item's unit began; return how the item ended if it blocks later ones."""
        held = outcome.state is State.HELD
        if item.unit is not None and not held:
            self._begun.add(item.unit)
        # A stopped run holds everything, so held items need not be recorded.
        passed_over = held and self._stop_signal and not self._must_end(item)
        return None if outcome.error is None or passed_over else outcome.state

    def _must_end(self, item: WorkItem) -> bool:
        """Return whether an item is carried out although the run stops, as its unit has begun.

        An error that stops the run, such as a refused token, would meet it, too.
        """
        stop = self._stop_signal
        return item.unit in self._begun and stop.error is None and stop.broken is None

    def _release(self, item: WorkItem, badly: State | None) -> None:
        limit = self._group_limit
        if limit is not None and (freed := limit.release(item)) is not None:
            self._enqueue(freed)
        for following in self._ordering.release(item, badly):
            if limit is None or limit.admit(following):
                self._enqueue(following)
        self.unfinished -= 1
        if not self.unfinished:
            self._idle.set()
            self._on_idle()

    def _withstand(self, error: asyncio.CancelledError) -> bool:
        """Stop the run because of a foreign cancellation; the worker continues.

        Return True if the worker itself was cancelled, and False if a callee raised the error.
        """
        self._stop_signal.by_break(error)
        worker = asyncio.current_task()
        cancelled = worker is not None and worker.cancelling() > 0
        while worker is not None and worker.cancelling():
            worker.uncancel()
        return cancelled

    def _decided(self, item: WorkItem, execution: Execution[Any]) -> Outcome[Any] | None:
        """Return the outcome of an item that need not be started, or None if it must start."""
        if self._stop_signal.reason and not self._must_end(item):
            outcome = self._not_started(execution)
            if self._session is not None:
                self._session.passed_over(item, outcome)
            return outcome
        blocked_by = self._ordering.blocked_by(item)
        if not blocked_by:
            return None
        outcome = execution.held(blocked_by)
        if self._session is not None:
            self._session.held(item, outcome)
        return outcome

    async def _carry_out(
        self, worker: "asyncio.Task[Any]", item: WorkItem, execution: Execution[Any]
    ) -> Outcome[Any]:
        self._in_flight[worker] = execution
        if item.unit in self._begun:
            self._ending.add(worker)
        lease = self._lease
        try:
            goes = 0
            while True:
                goes += 1
                admitted = self._admission.try_enter(item.operation) or await self._admission.enter(
                    item.operation
                )
                try:
                    looks = self._stop_signal.reason or item.before is not None
                    held = await self._held_back(item, execution) if looks else None
                    outcome = held or await execution.carry_out(
                        self._context,
                        admitted if lease is None else LeasedAttempts(lease, admitted),
                    )
                    # An operation that failed only because of the host is tried again.
                    if (
                        goes == MOST_GOES
                        or outcome.error is None
                        or outcome.state is not State.FAILED
                        or not await admitted.kept_out(outcome.error)
                    ):
                        break
                    execution.start_over()
                finally:
                    if admitted.granted:
                        admitted.leave()
        except asyncio.CancelledError as error:
            if self._cut or worker in self._cancelled_unsent:
                worker.uncancel()
                return execution.cut_off() if self._cut else self._not_started(execution)
            return execution.cut_off() if self._withstand(error) else execution.broken(error)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - in the outcome, and raised at the end
            self._stop_signal.by_break(error)
            return execution.broken(error)
        finally:
            del self._in_flight[worker]
            self._cancelled_unsent.discard(worker)
            self._ending.discard(worker)
        return outcome

    async def _held_back(self, item: WorkItem, execution: Execution[Any]) -> Outcome[Any] | None:
        """Return the outcome of an admitted item that must not start, or None if it may."""
        guarded = item.before is not None and not execution.accepted
        stopped = bool(self._stop_signal) and not self._must_end(item)
        if not stopped and guarded and self._guard is not None:
            stale = await look(self._guard, item)
            if stale is not None:
                return execution.not_started(stale)
            if isinstance(self._guard, StateGuard):
                execution.before = self._guard.already.pop(item.seq, None)
        # The run may have been stopped while the guard was reading.
        stopped = bool(self._stop_signal) and not self._must_end(item)
        return self._not_started(execution) if stopped else None

    def _not_started(self, execution: Execution[Any]) -> Outcome[Any]:
        return execution.held(self._stop_signal.reason, self._stop_signal.error)
