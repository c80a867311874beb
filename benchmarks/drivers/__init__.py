"""One call of each contender. A worker process imports one driver and no other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

NAME: Final = "Hydrogen detector"
"""The value that every call sets; the servers answer with it."""

TOKEN: Final = "benchmark"  # noqa: S105 - these servers ignore the token

Load = Callable[[Iterator[str]], Awaitable[None]]
"""Updates each device of an iterator of ids, with a fixed concurrency."""


class WrongAnswerError(Exception):
    """An answer was for a different device, or not all calls were answered."""


def shared_among_tasks(call: Callable[[str], Awaitable[str]], concurrency: int) -> Load:
    """Return a load of tasks that take ids from one iterator.

    `call` updates one device and returns the id in the answer.
    """

    async def work(device_ids: Iterator[str]) -> None:
        for device_id in device_ids:
            answered = await call(device_id)
            if answered != device_id:
                raise WrongAnswerError(f"asked for {device_id}, and {answered} was answered")

    async def load(device_ids: Iterator[str]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(concurrency):
                tasks.create_task(work(device_ids))

    return load
