"""What the verbs stand on."""

from typing import Protocol, TypeVar

from enapter_async.operation import Operation

T = TypeVar("T")


class Executor(Protocol):
    """Whoever carries out operations, such as a client."""

    async def execute(self, operation: Operation[T]) -> T:
        """Carry out one operation and give what it returns."""
        ...
