"""Run many operations with a fixed pool of workers, a lazy input and a stream of outcomes."""

import asyncio
import concurrent.futures.thread  # noqa: F401 - for the first thread there may be no file left
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Generic, Self, Unpack

from enapter_async.api.accepted import Following
from enapter_async.client import Client
from enapter_async.clock import Clock
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.fleet.admission import Admission
from enapter_async.fleet.execution import ExecutionContext
from enapter_async.fleet.inputs import Input, Operations, WorkItem
from enapter_async.fleet.journal.session import JournalSession
from enapter_async.fleet.obstacles import Obstacles
from enapter_async.fleet.options import RunKeywords, RunOptions
from enapter_async.fleet.outcome_stream import OutcomeStream
from enapter_async.fleet.outcomes import (
    OperationT,
    Outcome,
    Report,
    RunEvent,
    RunGoesOn,
    RunStopped,
    RunWaiting,
    Tally,
)
from enapter_async.fleet.pace_notes import pace_noted
from enapter_async.fleet.patience import PatientReads
from enapter_async.fleet.planning.drift import Guard, GuardMode, StateGuard
from enapter_async.fleet.producer import AHEAD, Producer
from enapter_async.fleet.reading import Caller
from enapter_async.fleet.rollout.abort import AbortJudge
from enapter_async.fleet.rollout.wave_runner import WaveRunner
from enapter_async.fleet.rollout.waves import LOOK_AHEAD, ROLLOUT, Rollout, Waves
from enapter_async.fleet.run_files import open_files
from enapter_async.fleet.stop import StopSignal, stop_error
from enapter_async.fleet.waits import Wait
from enapter_async.fleet.workers import WorkerPool

logger = logging.getLogger("enapter_async")


class Run(Generic[OperationT]):
    """Carries out many operations, and yields each outcome as it arrives.

    ::

        async with fleet.Run(client, operations) as run:
            async for outcome in run:
                ...
        print(run.report.counts)

    Options may be passed in `options` or as keywords; a keyword overrides `options`.

    `operations` is any iterable or async iterable. It is read on the event loop, at most twice
    `concurrency` items ahead of the outcomes consumed so far, so that a slow consumer slows down
    the input and memory use does not grow with the input's length. Operations on one device run in
    input order, one at a time; once one of them has failed or is unknown, the later ones are held.
    With `check=True` each device is read first, and written only if it is not in the wanted state.
    `credentials` is the path of a file (created with mode 0600, see `CredentialsFile`) or a
    callable that receives each generated configuration before its outcome is yielded; without it,
    configurations are only in `outcome.result`.

    `journal` is the path of a file, the address of a run in PostgreSQL, or `JournalOptions`. Each
    operation is written there before it is sent, and its outcome afterwards. If the run is there
    already, it resumes with the remaining operations, and `operations` must be the same as before
    (None: take all from the journal). A known input (one with a length) is then checked completely
    before the first request: equal operations are merged, contradictory ones refused.

    An item of a plan is sent only while its device is as planned. This is checked by `guard`:
    a mode of `StateGuard` (by default "auto"), or a custom guard. Stale items are held, and
    checked again when the run is resumed.

    At most `concurrency` operations are in flight, within the client's limits. While the host is
    down or refuses everything, no new operation starts, and no operation fails because of that. If
    no request gets through for `max_pause` seconds, the run stops. `rollout` splits a known input
    into waves; a run's rollout is kept in its journal. When a criterion of `abort` is met (None: no
    criteria) nothing more is started. An operation that continues after its answer, such as a
    command, is followed for `wait` seconds. `on_event` receives events of the run.

    A plan with once-only operations, such as new configurations, is carried out by only one run,
    even if its file is copied: any other run is refused, unless `again=True` or the first one
    changed nothing. The user's state folder records which run has taken a plan.

    The run stops on a 401, if a secure connection cannot be made, and if credentials or the journal
    cannot be written: operations in flight finish, the rest are held. A plain iterable is then read
    to its end and counted; an async one is not read any further, and `report.complete` is False.

    An error of the input, or an element that is not an operation, is raised by the iteration after
    the outcomes of all started operations. If `async with` is left early, no more operations
    start, and those in flight are awaited; if it is left by cancellation, they are not awaited and
    count as `unknown`. A run can be used only once.
    """

    def __init__(
        self,
        client: Caller,
        operations: Operations[OperationT] | Input | None,
        options: RunOptions | None = None,
        **keywords: Unpack[RunKeywords],
    ) -> None:
        self._options = options = RunOptions.of(options, keywords)
        self._client = client
        self._input: Input | None = None
        if operations is not None or options.journal is None:
            given = operations if isinstance(operations, Input) else Input(operations)
            self._input = given if options.rollout is None else Waves(given, options.rollout)
        self._session: JournalSession | None = None
        self._rollout = options.rollout
        self._clock = client.clock if isinstance(client, Client) else Clock()
        self._limiter = limiter = client.limiter if isinstance(client, Client) else None
        self._admission = Admission(
            Obstacles(limiter, self._clock, max_pause=options.max_pause),
            self._clock,
            connect=self._reach,
            on_overdue=self._stop_by,
            on_wait=self._on_wait,
        )
        self._stop_signal = StopSignal(self._on_stop)
        self._judge = AbortJudge(options.abort)
        self._pool = WorkerPool(
            self._admission,
            self._stop_signal,
            concurrency=options.concurrency,
            on_outcome=self._take,
            on_idle=self._end_if_done,
        )
        self._outcomes: OutcomeStream[OperationT] = OutcomeStream()
        self._wave_runner: WaveRunner | None = None
        self._producer: Producer | None = None
        self._producing: asyncio.Task[None] | None = None
        self._wait: Wait | None = None
        self._tally = Tally()
        self._began = 0.0
        self._ended: float | None = None
        self._leaving = self._input_over = self._complete = False
        self._exits = AsyncExitStack()

    @property
    def report(self) -> Report:
        """The report so far; the final report once the run is over."""
        ended = self._clock.monotonic() if self._ended is None else self._ended
        return self._tally.report(
            elapsed=ended - self._began if self._began else 0.0,
            complete=self._complete,
            stopped=self._stop_signal.error,
        )

    @property
    def waiting(self) -> Wait | None:
        """What the whole run is currently waiting for, or None if it is not waiting."""
        return self._wait

    def stop(self, reason: str = "the run was stopped") -> None:
        """Start no more operations; those in flight finish, the rest are held. Safe to repeat.

        The iteration continues until every outcome has been yielded.
        """
        self._stop_signal.because(reason)
        self._on_stop()

    def cut(self) -> None:
        """Stop without waiting: operations in flight are cancelled and reported as `unknown`.

        Operations that were certainly not done are reported as `held`. A configuration that is
        being written to a credentials file is still written.
        """
        self.stop("the run was cancelled")
        self._pool.cut(spare_stored=not callable(self._options.credentials))

    async def __aenter__(self) -> Self:
        """Open the journal and the credentials file, and start.

        Raises:
            ConfigurationError: a file cannot be used, or the run was used before.
            RunRefusedError: the journal's run cannot be continued by this call.
            EnapterError: the devices of a plan could not be read; nothing was sent.
        """
        if self._producing is not None:
            raise ConfigurationError("a run can be used only once; create a new one")
        self._began = self._clock.monotonic()
        try:
            items = await self._open()
        except BaseException:
            await self._exits.aclose()
            raise
        self._producer = producer = Producer(
            items,
            self._pool.admit,
            concurrency=self._options.concurrency,
            before=None if self._wave_runner is None else self._before,
            waits=self._input is not None and self._input.waits,
            ahead=LOOK_AHEAD if self._rollout and self._rollout.per_group else AHEAD,
        )
        self._outcomes.on_taken = producer.taken
        pull = self._stop_signal.by_break_of(partial(self._pull, producer))
        self._producing = producer.start(pull)
        self._producing.add_done_callback(self._input_closed)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Start no more operations, wait for those in flight, and close the files."""
        self._leaving = True
        if self._ended is None:
            self.stop("the run was left early")
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self.cut()
        try:
            await self._drain()
        finally:
            await self._exits.aclose()
        if kind is None:
            self._stop_signal.raise_broken()

    def __aiter__(self) -> Self:
        """Iterate over the outcomes, in order of arrival."""
        return self

    async def __anext__(self) -> Outcome[OperationT]:
        """Return the next outcome.

        Raises:
            Exception: an error raised by the input, after all outcomes have been returned.
        """
        if self._producer is None:
            raise ConfigurationError("use a run inside `async with`")
        outcome = await self._outcomes.get()
        if outcome is None:
            self._stop_signal.raise_broken()
            raise StopAsyncIteration
        return outcome

    async def tell(self, on_outcome: Callable[[Outcome[OperationT]], None] | None) -> None:
        """Pass each outcome to a function as it arrives, until the last; cheaper than iterating.

        Errors of `on_outcome` are raised immediately; an error of the input is raised at the end.
        """
        await self._outcomes.listen(on_outcome)
        self._stop_signal.raise_broken()

    async def _open(self) -> Iterable[WorkItem] | AsyncIterable[WorkItem]:
        """Open everything that the run needs, and return its items."""
        exits, given, options = self._exits, self._input, self._options
        opened = await open_files(
            exits,
            self._client,
            given,
            options,
            clock=self._clock,
            on_failure=self._stop_by,
            report=lambda: self.report,
        )
        session = self._session = opened.session
        if session is not None:
            session.tell(self._tally, on_stop=self.stop)
            if ROLLOUT in session.facts:
                self._rollout = Rollout.from_text(session.facts[ROLLOUT])
        exits.push_async_callback(self._admission.close)
        if self._limiter is not None:
            note = None if session is None else session.note
            exits.enter_context(pace_noted(self._limiter, self._clock, self._tell, note))
        rollout, guard = self._rollout, options.guard
        reads = PatientReads(self._client, self._clock, options.max_pause, self._on_wait)
        if isinstance(guard, GuardMode):
            staged, clock = rollout is not None, self._clock
            guard = StateGuard(reads, guard, self._on_wait, staged=staged, clock=clock)
        await exits.enter_async_context(guard)
        context = ExecutionContext(
            client=self._client,
            following=Following(options.wait, self._clock, self._stop_signal.__bool__),
            check=options.check,
            credential_store=opened.credential_store,
            limiter=self._limiter,
        )
        per_group = None if rollout is None else rollout.per_group
        self._pool.configure(context, guard, session, per_group=per_group)
        if rollout is not None:
            self._wave_runner = self._make_wave_runner(rollout, guard, reads)
        elif opened.planned or (opened.known and guard is options.guard):
            await self._stop_signal.unless(partial(guard.before_wave, 0, opened.left))
        return opened.items

    def _make_wave_runner(self, rollout: Rollout, guard: Guard, reads: Caller) -> WaveRunner:
        waves = self._input
        return WaveRunner(
            rollout,
            reads,
            self._clock,
            sizes=waves.sizes if isinstance(waves, Waves) else None,
            items_of=self._items_of,
            log=None if self._session is None else self._session.wave_log(),
            guard=guard,
            on_event=self._tell,
        )

    def _items_of(self, wave: int) -> Iterator[WorkItem]:
        session, waves = self._session, self._input
        items: Iterable[WorkItem] = ()
        if session is not None and session.resumed:
            items = session.left()
        elif isinstance(waves, Waves):
            items = waves.items()
        return (item for item in items if item.wave == wave)

    async def _reach(self) -> None:
        if isinstance(self._client, Client):
            await self._client.reach()

    async def _pull(self, producer: Producer) -> None:
        await self._stop_signal.by_break_of(producer.pull, "the input failed")
        self._complete = producer.ended and (self._session is None or self._session.input_known)
        if self._wave_runner is not None:
            await self._once_idle(self._wave_runner.finish)

    async def _before(self, item: WorkItem) -> None:
        """Start a wave only once the previous one has finished and passed."""
        wave_runner = self._wave_runner
        if wave_runner is not None and item.wave != wave_runner.wave and not self._stop_signal:
            await self._once_idle(partial(wave_runner.turn_to, item.wave))

    async def _once_idle(self, step: Callable[[], Awaitable[None]]) -> None:
        """Make a step of the waves once all admitted items have finished, unless the run stops."""
        await self._stop_signal.unless(self._pool.idle)
        if not self._stop_signal:
            try:
                await self._stop_signal.unless(step)
            except EnapterError as error:
                self._stop_by(error)

    def _take(self, outcome: Outcome[Any]) -> None:
        error = None if outcome.error is None else stop_error(outcome)
        error = error or self._judge.judge(outcome)
        if error is not None:
            self._stop_by(error)
        if self._wave_runner is not None:
            self._wave_runner.ended(outcome)
        self._tally.add(outcome)
        self._outcomes.put(outcome)

    def _stop_by(self, error: EnapterError) -> None:
        first = self._stop_signal.error is None
        self._stop_signal.by(error)
        if first:
            self._tell(RunStopped(error=error))

    def _on_stop(self) -> None:
        self._pool.cancel_unsent()
        if self._producer is not None and (self._producer.waits or self._leaving):
            self._producer.stop()

    def _on_wait(self, wait: Wait | None) -> None:
        self._tell(RunGoesOn() if wait is None else RunWaiting(wait=wait))

    def _tell(self, event: RunEvent) -> None:
        if isinstance(event, RunWaiting | RunGoesOn):
            self._wait = event.wait if isinstance(event, RunWaiting) else None
        if self._options.on_event is not None:
            try:
                self._options.on_event(event)
            except Exception:
                logger.exception("a listener failed on %s", type(event).__name__)
            except BaseException as error:  # noqa: BLE001 - raised at the end, and not here
                self._stop_signal.by_break(error)

    def _input_closed(self, producing: "asyncio.Task[None] | None" = None) -> None:
        if producing is not None and producing.cancelled() and not self._stop_signal:
            self._stop_signal.by_break(asyncio.CancelledError())
        self._input_over = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._input_over and not self._pool.unfinished and self._ended is None:
            self._ended = self._clock.monotonic()
            self._pool.dismiss()
            self._outcomes.close()

    async def _drain(self) -> None:
        """Wait for the tasks; if cancelled, cancel them, then raise once they have finished."""
        cancelled: asyncio.CancelledError | None = None
        while running := [
            task for task in (self._producing, *self._pool.workers) if task and not task.done()
        ]:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as error:
                cancelled = error
                self.cut()
        self._input_closed()
        if cancelled is not None:
            raise cancelled
