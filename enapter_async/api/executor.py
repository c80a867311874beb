"""The interface of the client through which the API methods execute operations."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from enapter_async._http.retry import RetryPolicy
from enapter_async._http.socket import Sockets
from enapter_async._http.streaming import Stream
from enapter_async.clock import Clock
from enapter_async.operation import Operation
from enapter_async.streaming import StreamedOperation

T = TypeVar("T")


class Executor(Protocol):
    """The parts of a client that its API methods use."""

    @property
    def clock(self) -> Clock:
        """The source of time."""
        ...

    @property
    def retry(self) -> RetryPolicy:
        """The policy whose delays apply between two connections."""
        ...

    @property
    def sockets(self) -> Sockets:
        """The websockets."""
        ...

    async def execute(self, operation: Operation[T]) -> T:
        """Execute one operation and return its result."""
        ...

    def streams(
        self, operations: Sequence[StreamedOperation[T]]
    ) -> AbstractAsyncContextManager[tuple[Stream[T], ...]]:
        """Open the answers to operations together, to read them as they arrive."""
        ...
