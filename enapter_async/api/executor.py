"""The interface through which the API methods execute operations."""

from typing import Protocol, TypeVar

from enapter_async.operation import Operation

T = TypeVar("T")


class Executor(Protocol):
    """An object that executes operations, such as a client."""

    async def execute(self, operation: Operation[T]) -> T:
        """Execute one operation and return its result."""
        ...
