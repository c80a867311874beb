"""The interface through which the API methods execute operations."""

from typing import Protocol, TypeVar

from enapter_async.clock import Clock
from enapter_async.operation import Operation

T = TypeVar("T")


class Executor(Protocol):
    """An object that executes operations, such as a client."""

    async def execute(self, operation: Operation[T]) -> T:
        """Execute one operation and return its result."""
        ...


class TimedExecutor(Executor, Protocol):
    """An executor with a clock, for methods that wait between two operations."""

    @property
    def clock(self) -> Clock:
        """The source of time."""
        ...
