"""An event loop on which time passes only when nothing else can happen.

It never waits: where a real loop would sleep until the next timer, this one advances its clock.
Work for threads runs on the loop, some milliseconds after it was submitted, and its end is reported
a little later, so that a seed decides the order of everything.
"""

import asyncio
import contextlib
import itertools
import random
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

MOST_TURNS: Final = 300_000
"""A loop that turns this often is stuck."""
THREAD_SECONDS: Final = 0.004


class ProcessKilled(KeyboardInterrupt):
    """The process is dead, and none of its code runs any more; raised through every task."""


class StuckError(Exception):
    """Everything waits for an event that will never come, or the loop turns endlessly."""


class _Task(asyncio.Task[Any]):
    """A task whose order in a set depends on when it was created, not on its memory address."""

    def __init__(self, *args: Any, number: int, **settings: Any) -> None:
        self._number = number
        super().__init__(*args, **settings)

    def __hash__(self) -> int:
        return self._number


class _Selector(selectors.BaseSelector):
    """Notifies its loop instead of waiting; nothing that is registered ever becomes ready."""

    def __init__(self) -> None:
        self._keys: dict[Any, selectors.SelectorKey] = {}
        self.on_turn: Callable[[float | None], None] = lambda _: None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[fileobj] = key = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.on_turn(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with its own clock, which begins at `start` seconds.

    `kill_at_turn` raises `ProcessKilled` between two turns.
    """

    def __init__(self, chance: random.Random, *, start: float = 0.0) -> None:
        selector = _Selector()
        selector.on_turn = self._turn
        self._now = start
        self._chance = chance
        self.turns = 0
        self.leapt = 0.0
        """How many seconds were lost to leaps of the clock, as when a laptop sleeps."""
        self.kill_at_turn: int | None = None
        self.on_kill: Callable[[], None] = lambda: None
        self.killed: set[asyncio.Task[Any]] = set()
        """The tasks of a killed process. Nothing else refers to those that wait for nothing more:
        collected, they would run their ends as if it lived."""
        super().__init__(selector)
        numbers = itertools.count()
        self.set_task_factory(
            lambda loop, work, **settings: _Task(work, loop=loop, number=next(numbers), **settings)
        )

    def time(self) -> float:
        return self._now

    def leap(self, seconds: float) -> None:
        """Advance the time at once, so that all tasks notice only afterwards."""
        self._now += seconds
        self.leapt += seconds

    def kill(self) -> None:
        """Kill the process of this loop; to be called by a timer."""
        self.kill_at_turn = None
        self.killed = asyncio.all_tasks(self)
        self.on_kill()
        raise ProcessKilled

    def _turn(self, timeout: float | None) -> None:
        self.turns += 1
        if self.kill_at_turn is not None and self.turns >= self.kill_at_turn:
            self.kill()
        if timeout is None:
            raise StuckError("everything waits, and nothing will ever come")
        if self.turns > MOST_TURNS:
            raise StuckError(f"the loop turned {MOST_TURNS} times")
        if timeout > 0:
            self._now += timeout

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> "asyncio.Future[_T]":
        """Run a thread's work on the loop a little later, and report its end later still."""
        done: asyncio.Future[_T] = self.create_future()
        self.call_later(self._chance.uniform(0.0, THREAD_SECONDS), self._work, done, func, args)
        return done

    def _work(
        self, done: "asyncio.Future[Any]", func: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        result, error = None, None
        try:
            result = func(*args)
        except Exception as raised:  # noqa: BLE001 - a thread hands on whatever was raised
            error = raised
        self.call_later(self._chance.uniform(0.0, THREAD_SECONDS), _tell, done, result, error)


def _tell(done: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)


_KEPT: Final[list[asyncio.Task[Any]]] = []
"""Tasks of killed processes that would not end; if they were collected, they would continue in
another story."""


def end(loop: VirtualLoop) -> list[str]:
    """End everything left on a loop and close it; return the names of tasks that would not end."""
    loop.kill_at_turn = None
    loop.turns = 0
    with contextlib.suppress(RuntimeError):
        # A process that was killed while it ended had already stopped its loop.
        loop.run_until_complete(asyncio.sleep(0.0))
    for _ in range(20):
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not left:
            break
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=3600.0))
    stubborn = [task for task in asyncio.all_tasks(loop) if not task.done()]
    _KEPT.extend(stubborn)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    return sorted(task.get_name() for task in stubborn)
