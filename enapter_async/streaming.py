"""Operations whose answers are read as they arrive, item by item, instead of as a whole."""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from enapter_async.operation import Operation

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Reader(Protocol[T_co]):
    """Turns the parts of one answer's body into items; each method raises ValueError."""

    def feed(self, chunk: bytes) -> Sequence[T_co]:
        """Return the items that are complete with this part of the body."""
        ...

    def end(self) -> Sequence[T_co]:
        """Return the last items; raise if the body is incomplete."""
        ...


class StreamedOperation(Operation[Any], Generic[T]):
    """An operation that `Client.stream` executes; the type parameter is the type of its items.

    It is a read, and `answer.media` lists the media types of its answer. `Client.execute` reads
    the whole answer into memory, as `answer.decode` says.
    """

    __slots__ = ()

    @staticmethod
    def reader(headers: Any) -> Reader[T]:
        """Return a reader for an answer with these headers; raise ValueError if they are wrong."""
        raise NotImplementedError("a streamed operation must define reader()")
