"""Operations that are read as they arrive, item by item: long answers, and websockets."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from enapter_async.operation import Operation, Repeat

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


class Streamed(Operation[T]):
    """A request that opens a websocket; the type parameter is the type of a frame.

    It is not executed as a call: `client` opens it, and `answer.type` is the type of each frame.
    """

    __slots__ = ()

    repeat: ClassVar[Repeat] = Repeat.READ
    slash: ClassVar[bool] = False
    """Whether the path ends with a slash, as that of the collection of devices does."""

    def flat(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a frame as its type reads it; only some servers nest a log."""
        log = frame.get("log")
        return {**frame, **log} if isinstance(log, dict) else frame
