"""The interface through which the API methods execute operations."""

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
    """An object that executes operations, such as a client."""

    async def execute(self, operation: Operation[T]) -> T:
        """Execute one operation and return its result."""
        ...


class StreamingExecutor(Executor, Protocol):
    """An executor that opens websockets, for methods that return streams."""

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


class OpeningExecutor(Executor, Protocol):
    """An executor that also opens answers that are read as they arrive."""

    def streams(
        self, operations: Sequence[StreamedOperation[T]]
    ) -> AbstractAsyncContextManager[tuple[Stream[T], ...]]:
        """Open the answers to operations together."""
        ...


class AnyExecutor(OpeningExecutor, StreamingExecutor, Protocol):
    """An executor that supports all of this, as a client does."""


class TimedExecutor(Executor, Protocol):
    """An executor with a clock, for methods that wait between two operations."""

    @property
    def clock(self) -> Clock:
        """The source of time."""
        ...
