"""The workers of a run: a fixed pool that takes works in order, one a device at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final

from enapter_async.fleet.credentials import Keeper
from enapter_async.fleet.errors import StaleError
from enapter_async.fleet.execution import Item
from enapter_async.fleet.inputs import Work
from enapter_async.fleet.journal.records import Page
from enapter_async.fleet.journal.session import Ledger
from enapter_async.fleet.ordering import Groups, Lanes
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.pacing.admission import Admission
from enapter_async.fleet.planning.drift import Guard, look
from enapter_async.fleet.reading import Caller
from enapter_async.fleet.stop import Halt

MOST_GOES: Final = 100
"""How often an operation that the host alone kept from being done is taken up, at the most."""


class Crew:
    """Carries works out.

    `on_outcome` takes each outcome before the next work is begun; `on_quiet` is called when
    all that was taken has ended.
    """

    def __init__(
        self,
        client: Caller,
        admission: Admission,
        halt: Halt,
        *,
        concurrency: int,
        check: bool,
        on_outcome: Callable[[Outcome[Any]], None],
        on_quiet: Callable[[], None],
    ) -> None:
        self._client = client
        self._admission = admission
        self._halt = halt
        self._guard: Guard | None = None
        self._concurrency = concurrency
        self._check = check
        self._keeper: Keeper | None = None
        self._ledger: Ledger | None = None
        self._on_outcome = on_outcome
        self._on_quiet = on_quiet
        self._lanes = Lanes()
        self._groups: Groups | None = None
        self._ready: deque[Work | None] = deque()
        self._waiting: deque[asyncio.Future[Work | None]] = deque()
        self._under_way: dict[int, Item[Any]] = {}
        self._quiet = asyncio.Event()
        self._cut = False
        self._called_back: set[int] = set()
        self.workers: list[asyncio.Task[None]] = []
        self.unfinished = 0

    def equip(
        self, guard: Guard, *, keeper: Keeper | None, ledger: Ledger | None, per_group: int | None
    ) -> None:
        """Return what is open only once the run begins: guard, credentials, journal."""
        self._guard = guard
        self._keeper = keeper
        self._ledger = ledger
        self._groups = None if per_group is None else Groups(per_group)
        for work, state in ledger.blocked if ledger is not None else ():
            self._lanes.block(work, state)

    def admit(self, work: Work) -> None:
        """Take a work; it starts once nothing of its device or its group is in its way."""
        if not self.unfinished:
            self._quiet.clear()
        self.unfinished += 1
        if self._lanes.admit(work) and (self._groups is None or self._groups.admit(work)):
            if self._waiting or len(self.workers) < self._concurrency:
                self._enqueue(work)
            else:
                self._ready.append(work)

    async def quiet(self) -> None:
        """Wait until all works that were taken have ended."""
        while self.unfinished:
            await self._quiet.wait()

    def go_home(self) -> None:
        """Let the workers end: no work comes any more."""
        for _ in self.workers:
            self._hand(None)

    def call_back(self) -> None:
        """Let nobody wait for a turn any more, and cancel what has sent nothing yet."""
        self._admission.open_wide()
        self._each_under_way(self._call_back)

    def cut(self, *, spare_stored: bool) -> None:
        """Cancel what is under way, but for credentials on their way into a file."""
        self._cut = True
        self._each_under_way(partial(self._cut_off, spare_stored))

    def _each_under_way(self, end: Callable[[int, Item[Any]], None]) -> None:
        here = asyncio.current_task() if self._under_way else None
        for worker, item in self._under_way.items():
            if self.workers[worker] is here:
                # A hook or a sink of the operation itself asks for it. Where that ends without
                # another wait, a cancellation would meet the worker between two works.
                asyncio.get_running_loop().call_soon(end, worker, item)
            else:
                end(worker, item)

    def _call_back(self, worker: int, item: Item[Any]) -> None:
        if self._is_at(worker, item) and not item.begun:
            self._called_back.add(worker)
            self.workers[worker].cancel()

    def _cut_off(self, spare_stored: bool, worker: int, item: Item[Any]) -> None:
        if self._is_at(worker, item) and not (item.storing and spare_stored):
            self.workers[worker].cancel()

    def _is_at(self, worker: int, item: Item[Any]) -> bool:
        return self._under_way.get(worker) is item and worker not in self._called_back

    def _enqueue(self, work: Work) -> None:
        self._hand(work)
        if len(self.workers) < self._concurrency:
            self.workers.append(
                asyncio.create_task(self._work(len(self.workers)), name="fleet worker")
            )

    def _hand(self, work: Work | None) -> None:
        """Return a work to a worker that waits, or lay it ready for the next that comes."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(work)
                return
        self._ready.append(work)

    async def _next(self) -> Work | None:
        waiting: asyncio.Future[Work | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    async def _work(self, number: int) -> None:
        ready = self._ready
        while (work := ready.popleft() if ready else await self._next()) is not None:
            page = None if self._ledger is None else self._ledger.page(work)
            item = Item(work.operation, page)
            outcome = None
            if self._halt.reason or self._lanes.block_any:
                outcome = self._decided(work, item)
            if outcome is None:
                if work.unchanged:
                    outcome = item.unchanged()
                else:
                    outcome = await self._carry_out(work, item, number)
                if page is not None:
                    self._note(work, page, outcome)
            self._on_outcome(outcome)
            # What a stopped run holds need not be remembered: it holds everything.
            well = outcome.error is None or (outcome.state is State.HELD and self._halt)
            if self._groups is not None and (freed := self._groups.release(work)) is not None:
                self._enqueue(freed)
            for following in self._lanes.release(work, None if well else outcome.state):
                if self._groups is None or self._groups.admit(following):
                    self._enqueue(following)
            self.unfinished -= 1
            if not self.unfinished:
                self._quiet.set()
                self._on_quiet()

    def _decided(self, work: Work, item: Item[Any]) -> Outcome[Any] | None:
        """Return the outcome of a work that need not be begun, None where it must be."""
        if self._halt.reason:
            outcome = self._not_started(item)
            if self._ledger is not None:
                self._ledger.passed_over(work, outcome)
            return outcome
        blocked_by = self._lanes.blocked_by(work)
        if not blocked_by:
            return None
        outcome = item.held(blocked_by)
        if self._ledger is not None:
            self._ledger.held(work, outcome)
        return outcome

    def _note(self, work: Work, page: Page, outcome: Outcome[Any]) -> None:
        """Write down what became of a work that was begun."""
        if self._ledger is None:
            return
        if isinstance(outcome.error, StaleError):
            self._ledger.held(work, outcome)
        else:
            self._ledger.ended(page, outcome)

    async def _carry_out(self, work: Work, item: Item[Any], worker: int) -> Outcome[Any]:
        self._under_way[worker] = item
        try:
            for _ in range(MOST_GOES):
                admitted = self._admission.try_enter(work.operation) or await self._admission.enter(
                    work.operation
                )
                try:
                    looks = self._halt.reason or work.before is not None
                    held = await self._held_back(work, item) if looks else None
                    outcome = held or await item.carry_out(
                        self._client, check=self._check, keeper=self._keeper, escort=admitted
                    )
                    # What the host alone kept from being done is taken up again.
                    if (
                        outcome.error is None
                        or outcome.state is not State.FAILED
                        or not admitted.kept_out(outcome.error)
                    ):
                        break
                finally:
                    admitted.leave()
        except asyncio.CancelledError:
            if not self._cut and worker not in self._called_back:
                raise
            self.workers[worker].uncancel()
            return item.cut_off() if self._cut else self._not_started(item)
        except Exception as error:  # noqa: BLE001 - told by the outcome and raised at the end
            self._halt.by_break(error, f"the run was stopped by {type(error).__name__}")
            return item.broken(error)
        finally:
            del self._under_way[worker]
            self._called_back.discard(worker)
        return outcome

    async def _held_back(self, work: Work, item: Item[Any]) -> Outcome[Any] | None:
        """Return the outcome of a work that may not begin after all, though it was let through."""
        if not self._halt and work.before is not None and self._guard is not None:
            stale = await look(self._guard, work)
            if stale is not None:
                return item.not_started(stale)
        return self._not_started(item) if self._halt else None

    def _not_started(self, item: Item[Any]) -> Outcome[Any]:
        return item.held(self._halt.reason, self._halt.error)


AHEAD: Final = 2
"""The input is pulled at most this many times the concurrency ahead of the taken outcomes."""


class Feed:
    """Pulls works and admits each, while there is room.

    One task pulls, so that an async iterable is never pulled twice at once. `before` is awaited
    between pulling a work and admitting it. `ended` says that the input came to its end.
    """

    def __init__(
        self,
        works: Iterable[Work] | AsyncIterable[Work],
        admit: Callable[[Work], None],
        *,
        concurrency: int,
        before: Callable[[Work], Awaitable[None]] | None = None,
        ahead: int = AHEAD,
    ) -> None:
        self._works = works
        self._admit = admit
        self._before = before
        self._window = ahead * concurrency
        # The task sleeps until so much room is free: waking it for each outcome costs more.
        self._wake_at = self._window - max(1, concurrency // 4)
        self._ahead = 0
        self._room = asyncio.Event()
        self._halted = False
        self._task: asyncio.Task[None] | None = None
        self.ended = False

    def start(self, pulling: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Begin the task that pulls."""
        self._task = asyncio.create_task(pulling, name="fleet feeder")
        return self._task

    @property
    def is_async(self) -> bool:
        """Whether the input waits by itself, so that it is not read on after a stop."""
        return isinstance(self._works, AsyncIterable)

    def taken(self) -> None:
        """Take note that an outcome was taken: there is room for one more."""
        self._ahead -= 1
        if self._ahead == self._wake_at:
            self._room.set()

    def halt(self) -> None:
        """Pull nothing more; safe to repeat."""
        self._halted = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def pull(self) -> None:
        """Pull until the input ends or is halted; what the input raises comes out."""
        if isinstance(self._works, AsyncIterable):
            async_pulls = aiter(self._works)
            while not self._halted:
                if self._ahead >= self._window:
                    await self._wait_for_room()
                try:
                    work = await anext(async_pulls)
                except StopAsyncIteration:
                    self.ended = True
                    return
                if self._before is not None:
                    await self._before(work)
                self._ahead += 1
                self._admit(work)
            return
        pulls = iter(self._works)
        while not self._halted:
            if self._ahead >= self._window:
                await self._wait_for_room()
            try:
                work = next(pulls)
            except StopIteration:
                self.ended = True
                return
            if self._before is not None:
                await self._before(work)
            self._ahead += 1
            self._admit(work)

    async def _wait_for_room(self) -> None:
        while self._ahead >= self._window:
            self._room.clear()
            await self._room.wait()
