"""The engine: a fixed pool of workers, a lazy input, outcomes handed on as they come."""

import asyncio
import os
from collections.abc import AsyncIterable, Collection, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Self

import attrs

from enapter_async.clock import Clock
from enapter_async.errors import (
    AuthenticationError,
    ConfigurationError,
    EnapterError,
    TLSError,
)
from enapter_async.fleet.continuing import JournalOptions
from enapter_async.fleet.credentials import CredentialsFile, CredentialsSink
from enapter_async.fleet.feed import Feed
from enapter_async.fleet.guard import Guard, StaleError, StateGuard, look
from enapter_async.fleet.item import Caller, CredentialsNotKeptError, Item, NoRoomError
from enapter_async.fleet.journal import JournalError
from enapter_async.fleet.keeping import FileKeeper, SinkKeeper
from enapter_async.fleet.lanes import Lanes
from enapter_async.fleet.ledger import Ledger
from enapter_async.fleet.merging import numbered
from enapter_async.fleet.report import NotStartedError, OperationT, Outcome, Report, State, Tally
from enapter_async.fleet.source import Operations, as_works, check_input
from enapter_async.fleet.work import Work

Credentials = str | os.PathLike[str] | CredentialsSink

_HARD_STOPS: Final = (
    AuthenticationError,
    TLSError,
    CredentialsNotKeptError,
    NoRoomError,
    JournalError,
)


class Run(Generic[OperationT]):
    """Carries many operations out, and hands each outcome on as it comes.

    ::

        async with fleet.Run(client, operations) as run:
            async for outcome in run:
                ...
        print(run.report.counts)

    `operations` is any iterable or async iterable. It is pulled on the event loop, at most
    twice `concurrency` ahead of the outcomes that were taken, so that a slow taker slows
    the input down and memory does not grow with its length. Operations of one device go
    in input order, one at a time; once one of them failed or is unknown, the later ones
    are held. `check=True` reads each device first, and writes only where its state is not
    the wanted one. `credentials` is the path of a file (created with mode 0600, see
    `CredentialsFile`) or a callable that takes each minted configuration before its
    outcome is told; without it they are in `outcome.result` only.

    `journal` is the path of a file, or `JournalOptions`. Each operation is written there
    before it is sent, and what became of it after; where the file exists, the run goes on
    with what is left, and `operations` must be the same again (None: all that the file
    holds). A known input (it has a length) is then checked whole before the first request:
    equal operations are merged, contradictory ones refused.

    What a plan gives is sent only while its device is as planned: `guard` looks, by default
    a `StateGuard`. What is stale is held, and looked at again when the run goes on.
    A 401, a secured connection that cannot be made, and credentials or a journal that
    cannot be kept stop the run: what is under way ends, the rest is held. A plain iterable
    is then read to its end and counted; an async one is not pulled further, and
    `report.complete` is False.

    An error of the input itself, or a thing in it that is no operation, is raised by the
    iteration after the outcomes of all that was started. Leaving `async with` early
    starts nothing more and waits for what is under way; leaving it by cancellation does not
    wait, and counts what was under way as `unknown`. A run is used once.
    """

    def __init__(
        self,
        client: Caller,
        operations: Operations[OperationT] | None,
        *,
        concurrency: int = 64,
        journal: str | os.PathLike[str] | JournalOptions | None = None,
        credentials: Credentials | None = None,
        check: bool = False,
        guard: Guard | None = None,
    ) -> None:
        if concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; the least is 1")
        if operations is not None or journal is None:
            check_input(operations)
        if journal is not None and not isinstance(journal, JournalOptions):
            journal = JournalOptions(path=journal)
        self._client = client
        self._operations = operations
        self._journal = journal
        self._ledger: Ledger | None = None
        self._concurrency = concurrency
        self._check = check
        self._guard: Guard = StateGuard(client) if guard is None else guard
        self._credentials = credentials
        self._keeper: FileKeeper | SinkKeeper | None = None

        self._lanes = Lanes()
        self._ready: asyncio.Queue[Work | None] = asyncio.Queue()
        self._outcomes: asyncio.Queue[Outcome[OperationT] | None] = asyncio.Queue()
        self._feed: Feed | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._under_way: dict[int, Item[Any]] = {}
        self._unfinished = 0

        self._tally = Tally()
        self._clock = Clock()
        self._began = 0.0
        self._ended: float | None = None
        self._leaving = False
        self._input_over = False
        self._complete = False
        self._cut = False
        self._hold_reason = ""
        self._stopped: EnapterError | None = None
        self._broken: Exception | None = None
        self._exits = AsyncExitStack()

    @property
    def report(self) -> Report:
        """How it stands now; the final report once the run is over."""
        ended = self._clock.monotonic() if self._ended is None else self._ended
        return self._tally.report(
            elapsed=ended - self._began if self._began else 0.0,
            complete=self._complete,
            stopped=self._stopped,
        )

    def stop(self, reason: str = "the run was stopped") -> None:
        """Start nothing more; what is under way ends, the rest is held. Safe to repeat.

        The iteration goes on until every outcome is told.
        """
        if not self._hold_reason:
            self._hold_reason = reason
        if self._feed is not None and (self._feed.is_async or self._leaving):
            self._feed.halt()

    def cut(self) -> None:
        """Stop, and do not wait: what is under way is cancelled and told as `unknown`.

        What was surely not done is told as `held`. A configuration that is on its way into
        a credentials file is still written.
        """
        self.stop("the run was cut off")
        self._cut = True
        into_a_file = not callable(self._credentials)
        for worker, item in self._under_way.items():
            if not (item.storing and into_a_file):
                self._workers[worker].cancel()

    async def __aenter__(self) -> Self:
        """Open the credentials file and begin.

        Raises:
            ConfigurationError: a file cannot be used, or the run was used before.
            RunRefusedError: the journal's run cannot be continued by this call.
        """
        if self._feeder is not None:
            raise ConfigurationError("a run is used once; make a new one")
        self._began = self._clock.monotonic()
        try:
            works = await self._open()
        except BaseException:
            await self._exits.aclose()
            raise
        self._feed = Feed(works, self._admit, concurrency=self._concurrency)
        self._feeder = self._feed.start(self._pull(self._feed))
        # A callback, because a task that is cancelled before its first step runs no `finally`.
        self._feeder.add_done_callback(lambda _: self._input_closed())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Start nothing more, wait for what is under way, and close the credentials file."""
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
            self._raise_broken()

    def __aiter__(self) -> Self:
        """Iterate over the outcomes, in the order in which they come."""
        return self

    async def __anext__(self) -> Outcome[OperationT]:
        """Give the next outcome.

        Raises:
            Exception: what the input raised, once all other outcomes were given.
        """
        if self._feed is None:
            raise ConfigurationError("a run is used inside `async with`")
        outcome = await self._outcomes.get()
        if outcome is None:
            self._outcomes.put_nowait(None)  # for whoever asks again
            self._raise_broken()
            raise StopAsyncIteration
        self._feed.taken()
        return outcome

    async def _open(self) -> Iterable[Work] | AsyncIterable[Work]:
        """Open journal and credentials, the journal first; give what is to be done."""
        given = self._credentials
        path = None if given is None or callable(given) else _absolute(given)
        works = None if self._journal else as_works(self._operations or ())
        run = ""
        if self._journal is not None:
            ledger = await self._open_ledger(self._journal, path)
            works, run = ledger.works, ledger.run
            path = path or ledger.facts.get("credentials")
        if callable(given):
            self._keeper = SinkKeeper(given)
        elif path is not None:
            file = CredentialsFile(path, in_flight=self._concurrency)
            self._keeper = FileKeeper(await self._exits.enter_async_context(file), run)
        await self._exits.enter_async_context(self._guard)
        if isinstance(known := self._operations, Collection):
            await self._guard.before_wave(0, lambda: numbered(known))
        return works or ()

    async def _open_ledger(self, options: JournalOptions, credentials: str | None) -> Ledger:
        ledger = self._ledger = await Ledger.open(
            options,
            self._client,
            self._operations,
            credentials=credentials,
            on_failure=self._on_journal_failure,
            clock=self._clock,
        )
        self._exits.push_async_callback(self._close_ledger, ledger)
        self._tally.start_from(
            ledger.earlier, merged=ledger.merged, acknowledged=ledger.acknowledged
        )
        for work, state in ledger.blocked:
            self._lanes.block(work, state)
        return ledger

    async def _close_ledger(self, ledger: Ledger) -> None:
        try:
            await ledger.close()
        except JournalError as error:
            self._on_journal_failure(error)

    def _on_journal_failure(self, error: JournalError) -> None:
        if self._stopped is None:
            self._stopped = error
        self.stop("the run was stopped by JournalError")

    # The input.

    async def _pull(self, feed: Feed) -> None:
        try:
            await feed.pull()
        except Exception as error:  # noqa: BLE001 - the input is the caller's code
            self._break(error, "the input failed")
        self._complete = feed.ended and (self._ledger is None or self._ledger.input_known)

    def _admit(self, work: Work) -> None:
        self._unfinished += 1
        if not self._lanes.admit(work):
            return
        self._ready.put_nowait(work)
        if len(self._workers) < self._concurrency:
            self._workers.append(
                asyncio.create_task(self._work(len(self._workers)), name="fleet worker")
            )

    # The work.

    async def _work(self, number: int) -> None:
        while (work := await self._ready.get()) is not None:
            outcome = await self._outcome_of(work, number)
            stopper = _stopper(outcome)
            if stopper is not None and self._stopped is None:
                self._stopped = stopper
                self.stop(f"the run was stopped by {type(stopper).__name__}")
            self._tally.add(outcome)
            # What a stopped run holds need not be remembered: it holds everything.
            well = outcome.state.done or (outcome.state is State.HELD and self._hold_reason)
            for following in self._lanes.release(work, None if well else outcome.state):
                self._ready.put_nowait(following)
            self._outcomes.put_nowait(outcome)
            self._unfinished -= 1
            self._end_if_done()

    async def _outcome_of(self, work: Work, worker: int) -> Outcome[Any]:
        if self._hold_reason:
            return Item(work.operation).held(self._hold_reason, self._stopped)
        ledger = self._ledger
        blocked_by = self._lanes.blocked_by(work)
        if blocked_by:
            outcome = Item(work.operation).held(blocked_by)
            if ledger is not None:
                ledger.held(work, outcome)
            return outcome
        if ledger is None:
            return await self._carry_out(work, Item(work.operation), worker)
        page = ledger.page(work)
        outcome = await self._carry_out(work, Item(work.operation, page), worker)
        if isinstance(outcome.error, StaleError):
            ledger.held(work, outcome)
        else:
            ledger.ended(page, outcome)
        return outcome

    async def _carry_out(self, work: Work, item: Item[Any], worker: int) -> Outcome[Any]:
        if work.unchanged:
            return item.unchanged()
        self._under_way[worker] = item
        try:
            stale = None if work.before is None else await look(self._guard, work)
            if stale is not None:
                return attrs.evolve(item.held(""), error=stale)
            return await item.carry_out(self._client, check=self._check, keeper=self._keeper)
        except asyncio.CancelledError:
            if not self._cut:
                raise
            self._workers[worker].uncancel()
            return item.cut_off()
        except Exception as error:  # noqa: BLE001 - told by the outcome and raised at the end
            self._break(error, f"the run was stopped by {type(error).__name__}")
            return item.broken(error)
        finally:
            del self._under_way[worker]

    def _break(self, error: Exception, reason: str) -> None:
        if self._broken is None:
            self._broken = error
        self.stop(reason)

    def _raise_broken(self) -> None:
        broken, self._broken = self._broken, None
        if broken is not None:
            raise broken

    def _input_closed(self) -> None:
        self._input_over = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._input_over and not self._unfinished and self._ended is None:
            self._ended = self._clock.monotonic()
            for _ in self._workers:
                self._ready.put_nowait(None)
            self._outcomes.put_nowait(None)

    async def _drain(self) -> None:
        """Wait for the tasks; a cancellation meanwhile cuts them, and is raised after them."""
        cancelled: asyncio.CancelledError | None = None
        while running := [
            task for task in (self._feeder, *self._workers) if task and not task.done()
        ]:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as error:
                cancelled = error
                self.cut()
        self._input_closed()
        if cancelled is not None:
            raise cancelled


def _absolute(path: str | os.PathLike[str]) -> str:
    return str(Path(path).absolute())


def _stopper(outcome: Outcome[Any]) -> EnapterError | None:
    """Give the error in an outcome after which nothing more may start, or None."""
    error: BaseException | None = outcome.error
    if error is None:
        return None
    if isinstance(error, NotStartedError):
        error = error.because
    elif not isinstance(error, _HARD_STOPS):
        error = error.__cause__
    return error if isinstance(error, _HARD_STOPS) else None
