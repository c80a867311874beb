"""Streams of any noun: the request that opens a websocket, and how its frames are read."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from enapter_async.operation import Operation, Repeat

T = TypeVar("T")


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
