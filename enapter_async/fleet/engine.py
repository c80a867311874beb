"""The engine: a fixed pool of workers, a lazy input, outcomes handed on as they come."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Generic, Self

from enapter_async.clock import Clock
from enapter_async.errors import (
    AuthenticationError,
    ConfigurationError,
    EnapterError,
    TLSError,
)
from enapter_async.fleet.credentials import CredentialsFile, CredentialsSink
from enapter_async.fleet.item import Caller, CredentialsNotKeptError, Item
from enapter_async.fleet.lanes import Lanes
from enapter_async.fleet.report import OperationT, Outcome, Report, State, Tally
from enapter_async.fleet.source import Operations, check_input, check_item, without_secrets

Credentials = str | os.PathLike[str] | CredentialsSink

AHEAD: Final = 2
"""The input is pulled at most this many times the concurrency ahead of the taken outcomes."""

_HARD_STOPS: Final = (AuthenticationError, TLSError, CredentialsNotKeptError)


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

    A 401, a secured connection that cannot be made, and credentials that cannot be kept
    stop the run: what is under way ends, the rest is held. A plain iterable is then read to
    its end and counted; an async one is not pulled further, and `report.complete` is False.

    An error of the input itself, or a thing in it that is no operation, is raised by the
    iteration after the outcomes of all that was started. Leaving `async with` early
    starts nothing more and waits for what is under way; leaving it by cancellation does not
    wait, and counts what was under way as `unknown`. A run is used once.
    """

    def __init__(
        self,
        client: Caller,
        operations: Operations[OperationT],
        *,
        concurrency: int = 64,
        credentials: Credentials | None = None,
        check: bool = False,
    ) -> None:
        if concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; the least is 1")
        check_input(operations)
        self._client = client
        self._source = operations
        self._concurrency = concurrency
        self._window = AHEAD * concurrency
        # The feeder sleeps until so much room is free: waking it for each outcome costs more.
        self._wake_at = self._window - max(1, concurrency // 4)
        self._check = check
        self._credentials = credentials
        self._sink: CredentialsSink | None = None

        self._lanes: Lanes[OperationT] = Lanes()
        self._ready: asyncio.Queue[OperationT | None] = asyncio.Queue()
        self._outcomes: asyncio.Queue[Outcome[OperationT] | None] = asyncio.Queue()
        self._feeder: asyncio.Task[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._under_way: dict[int, Item[OperationT]] = {}
        self._room = asyncio.Event()
        self._pulled = 0
        self._ahead = 0
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
        if isinstance(self._source, AsyncIterable) or self._leaving:
            self._stop_feeding()

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
            ConfigurationError: the file cannot be used, or the run was used before.
        """
        if self._feeder is not None:
            raise ConfigurationError("a run is used once; make a new one")
        self._sink = await self._open_sink()
        self._began = self._clock.monotonic()
        self._feeder = asyncio.create_task(self._feed(), name="fleet feeder")
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
        if self._feeder is None:
            raise ConfigurationError("a run is used inside `async with`")
        outcome = await self._outcomes.get()
        if outcome is None:
            self._outcomes.put_nowait(None)  # for whoever asks again
            self._raise_broken()
            raise StopAsyncIteration
        self._ahead -= 1
        if self._ahead <= self._wake_at:
            self._room.set()
        return outcome

    async def _open_sink(self) -> CredentialsSink | None:
        if self._credentials is None or callable(self._credentials):
            return self._credentials
        file = await self._exits.enter_async_context(CredentialsFile(self._credentials))
        return file.store

    # The input: one task pulls it, so that an async iterable is never pulled twice at once.

    async def _feed(self) -> None:
        try:
            if isinstance(self._source, AsyncIterable):
                await self._feed_from_async(aiter(self._source))
            else:
                await self._feed_from(iter(self._source))
        except Exception as error:  # noqa: BLE001 - the input is the caller's code
            self._break(error, "the input failed")

    async def _feed_from(self, pulls: Iterator[OperationT]) -> None:
        while not self._leaving:
            await self._wait_for_room()
            try:
                operation = next(pulls)
            except StopIteration:
                self._complete = True
                return
            self._admit(operation)

    async def _feed_from_async(self, pulls: AsyncIterator[OperationT]) -> None:
        while not self._hold_reason:
            await self._wait_for_room()
            try:
                operation = await anext(pulls)
            except StopAsyncIteration:
                self._complete = True
                return
            self._admit(operation)

    async def _wait_for_room(self) -> None:
        while self._ahead >= self._window:
            self._room.clear()
            await self._room.wait()

    def _admit(self, operation: OperationT) -> None:
        check_item(operation, self._pulled)
        self._pulled += 1
        self._ahead += 1
        self._unfinished += 1
        if not self._lanes.admit(operation):
            return
        self._ready.put_nowait(operation)
        if len(self._workers) < self._concurrency:
            self._workers.append(
                asyncio.create_task(self._work(len(self._workers)), name="fleet worker")
            )

    def _stop_feeding(self) -> None:
        feeder = self._feeder
        if feeder is not None and feeder is not asyncio.current_task():
            feeder.cancel()

    # The work.

    async def _work(self, number: int) -> None:
        while (operation := await self._ready.get()) is not None:
            outcome = await self._outcome_of(operation, number)
            if isinstance(outcome.error, _HARD_STOPS) and self._stopped is None:
                self._stopped = outcome.error
                self.stop(f"the run was stopped by {type(outcome.error).__name__}")
            self._tally.add(outcome)
            following = self._lanes.release(operation, outcome.state)
            if following is not None:
                self._ready.put_nowait(following)
            self._outcomes.put_nowait(outcome)
            self._unfinished -= 1
            self._end_if_done()

    async def _outcome_of(self, operation: OperationT, worker: int) -> Outcome[OperationT]:
        item = Item(operation)
        if self._hold_reason:
            return item.held(self._hold_reason, self._stopped)
        blocked_by = self._lanes.blocked_by(operation)
        if blocked_by is not None:
            return item.held(
                f"an earlier operation of {operation.subject()} in this run is {blocked_by}"
            )
        self._under_way[worker] = item
        try:
            return await item.carry_out(self._client, check=self._check, sink=self._sink)
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


async def apply(
    client: Caller,
    operations: Operations[OperationT],
    *,
    concurrency: int = 64,
    credentials: Credentials | None = None,
    check: bool = False,
    on_outcome: Callable[[Outcome[OperationT]], None] | None = None,
) -> Report:
    """Carry many operations out and report: counts, and the first failures.

    All arguments are those of `Run`; `on_outcome` is called on the event loop with each
    outcome as it comes, for progress. Nothing is retried here that the client does not
    retry, and it never reads before it writes unless `check=True`. Giving the same
    operations again is safe where they set an absolute state (updates, blueprints,
    deletions); configurations are minted anew each time.

    Raises:
        ConfigurationError: before anything is sent, where the input is none or, without
            `credentials`, an operation mints credentials. An input that is pulled lazily is
            refused at the first such operation; what was under way then has ended.
        Exception: what the input or `on_outcome` raised; a note on it tells the counts.
    """
    check_input(operations)
    if credentials is None:
        operations = without_secrets(operations)
    run = Run(client, operations, concurrency=concurrency, credentials=credentials, check=check)
    try:
        async with run:
            async for outcome in run:
                if on_outcome is not None:
                    on_outcome(outcome)
    except Exception as error:
        if run.report.total:
            error.add_note(f"fleet.apply, until then: {_counts(run.report)}")
        raise
    return run.report


def _counts(report: Report) -> str:
    return ", ".join(f"{report.counts[state]} {state}" for state in State if report.counts[state])
