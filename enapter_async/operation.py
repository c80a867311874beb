"""An operation is a value: what one call of the API asks for, and how safe it is to repeat.

This is the ground floor; it imports nothing of the package. Everything above
(pipeline, fleet engine, command line, journal) is generic over `Operation`.
"""

import enum
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar, final

import attrs

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MIB: Final = 1024 * 1024


@final
class Unset(enum.Enum):
    """The type of `UNSET`; an enumeration of one, so that type checkers can narrow it."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset.UNSET
"""Says that a field is left alone. None is a value and is sent as null."""


class Repeat(enum.Enum):
    """How safe it is to send an operation again."""

    READ = "read"
    """Changes nothing."""
    CONVERGENT = "convergent"
    """Sets an absolute state: sent twice, it ends in the same place."""
    ONCE = "once"
    """Does something new at each arrival, so an uncertain one is never sent again unasked."""


class RequestParts(NamedTuple):
    """How an operation looks on the wire, before any encoding.

    `path` holds the segments below `/v3`, not yet escaped; `query` the pairs in
    order; `body` the JSON object, or None for a request without a body. It is made for every
    call, which a tuple takes half of the time for.
    """

    method: str
    path: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class Answer(Generic[T]):
    """What a good answer of an operation is.

    `key` is the envelope key, or None where the body carries nothing that is read;
    `type` what the value below it is structured into; `default` what a missing key
    means (`UNSET`: it may not be missing); `max_bytes` the cap on the decoded body;
    `empty_allowed` whether a body may be missing; `secret` whether the body must
    never be shown, not even an excerpt of it.
    """

    type: Any
    key: str | None = None
    default: T | Unset = UNSET
    max_bytes: int = 8 * MIB
    empty_allowed: bool = False
    secret: bool = False


class Operation(Generic[T_co]):
    """One call of the API as a frozen value; its parameter is what it returns.

    A subclass is a frozen attrs class that sets `repeat` and `answer` and writes
    `request`. The other methods are pure too, and default to "nothing to say".
    """

    __slots__ = ()

    repeat: ClassVar[Repeat]
    answer: ClassVar[Answer[Any]]

    def request(self) -> RequestParts:
        """Return the request that this operation is."""
        raise NotImplementedError(f"{type(self).__name__} must say what its request is")

    def subject(self) -> str | None:
        """Name the thing that is written to, or None for a read.

        One client never has two writes to one subject under way.
        """
        return None

    def accepts(self, result: Any) -> bool:
        """Say whether an answer is about what was asked for, and not about another thing."""
        return True

    def reads(self) -> "Operation[Any] | None":
        """Return the operation that reads the state this one concerns, or None."""
        return None

    def holds(self, state: Any | None) -> bool:
        """Say whether `state` is already the wanted one; None stands for "not found"."""
        return False

    def result_of(self, state: Any | None) -> T_co:
        """Return what this operation returns when `state`, just read, shows that it holds."""
        raise NotImplementedError(f"{type(self).__name__} must say what it returns of a state")

    def undo(self, before: Any) -> "Operation[Any] | None":
        """Return the operation that brings `before` back, or None where nothing can."""
        return None
