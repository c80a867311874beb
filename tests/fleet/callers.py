"""Callers for tests of the engine alone: they act as the test specifies, without a network."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from enapter_async import fleet
from enapter_async._http.call import CallRecord
from enapter_async.errors import ConflictError
from enapter_async.fleet import Outcome
from enapter_async.operation import Operation
from enapter_async.operations.devices import UpdateDevice

T = TypeVar("T")

Answer = Callable[[Operation[Any]], Awaitable[Any]]


async def at_once(_: Operation[Any]) -> None:
    """Answer after one turn of the event loop."""
    await asyncio.sleep(0)


class ScriptedCaller:
    """Calls `answer` for each operation, and records what began and what ended."""

    def __init__(self, answer: Answer = at_once) -> None:
        self._answer = answer
        self.began: list[Operation[Any]] = []
        self.ended: list[Operation[Any]] = []
        self.under_way: list[Operation[Any]] = []
        self.most_under_way = 0
        self.most_of_one_device = 0

    async def call(
        self, operation: Operation[T], *, record: CallRecord, patient: bool = False
    ) -> T:
        record.sent += 1
        self.began.append(operation)
        self.under_way.append(operation)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        subjects = [each.subject() for each in self.under_way]
        self.most_of_one_device = max(self.most_of_one_device, subjects.count(operation.subject()))
        try:
            result: T = await self._answer(operation)
        finally:
            self.under_way.remove(operation)
        self.ended.append(operation)
        return result


def rename(device_id: str, name: str = "new") -> UpdateDevice:
    return UpdateDevice(device_id=device_id, name=name)


async def turns(count: int = 20) -> None:
    """Let the event loop run for some turns, without waiting for real time."""
    for _ in range(count):
        await asyncio.sleep(0)


def refusal(_: Any = None) -> ConflictError:
    return ConflictError("taken", status=409)


async def forever(_: Operation[Any]) -> None:
    await asyncio.Event().wait()


async def follow(run: fleet.Run[Any], outcomes: list[Outcome[Any]]) -> None:
    """Run to the end, and keep the outcomes that were produced even if an error ends the run."""
    async with run:
        async for outcome in run:
            outcomes.append(outcome)  # noqa: PERF401 - an error must not lose those before it


def fleet_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("fleet")]
