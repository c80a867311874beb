"""An operation is a value: what one call of the API asks for, and how safe it is to repeat.

This is the ground floor; it imports nothing of the package. Everything above
(pipeline, fleet engine, command line, journal) is generic over `Operation`.
"""

import enum
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, Self, TypeVar, final

import attrs

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
OperationT = TypeVar("OperationT", bound="Operation[Any]")

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


WHOLE: Final = ""
"""Says that an answer has no envelope: the JSON object of its body is the value."""


class Repeat(enum.Enum):
    """How safe it is to send an operation again."""

    READ = "read"
    """Changes nothing."""
    CONVERGENT = "convergent"
    """Sets an absolute state: sent twice, it ends in the same place."""
    ONCE = "once"
    """Does something new at each arrival, so an uncertain one is never sent again unasked."""


_READ: Final = Repeat.READ
_CONVERGENT: Final = Repeat.CONVERGENT
"""Looked up once: a class finds its members slowly, and every call asks."""


class Settles(enum.Enum):
    """How an uncertain end of an operation may be settled."""

    STATE = "state"
    """By reading the state: it shows what the operation sets, so the operation was done."""
    KEY = "key"
    """By the natural key of what it creates: nothing had it before, and what has it now matches."""
    SEARCH = "search"
    """By a person: a search lists candidates, none of which the program takes by itself."""
    NEVER = "never"
    """No read shows whether it was done."""


class Target(NamedTuple):
    """What an operation is about.

    `noun` is one word, such as "device"; `id` an id or a slug, None for what does not exist yet;
    `site_id` the site through which it is addressed; `natural_key` the key by which something
    that is being created can be found.
    """

    noun: str = ""
    id: str | None = None
    site_id: str | None = None
    natural_key: str | None = None

    @property
    def name(self) -> str | None:
        """What to call it in a message, or None for a new thing without a key."""
        return self.natural_key if self.id is None else self.id

    @property
    def word(self) -> str:
        """The noun for a message; "object" if the operation names none."""
        return self.noun or "object"


class RequestParts(NamedTuple):
    """The parts of an operation's request, before any encoding.

    `path` holds the segments below `/v3`, not yet escaped; `query` the pairs in order; `body`
    the JSON object, or None for a request without a body. It is a tuple because one is created
    for every call, which takes half of the time.
    """

    method: str
    path: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class Answer(Generic[T]):
    """The form of a good answer to an operation.

    `key` is the envelope key, `WHOLE` if the body itself is the value, or None if nothing is
    read from the body; `type` is what the value is structured into; `default` what a missing key
    means (`UNSET`: it must not be missing); `max_bytes` the limit on the decompressed body,
    unless the operation says otherwise. `confirms` says that the operation returns nothing and
    was done if the answer is 204, or 200 with an empty object or with the object itself under
    `key`; `secret` that the body must never be shown, not even an excerpt of it. `stamp` is the
    field of the value that holds the time of its last change, or None. `empty_allowed` is
    accepted for operations written for version 0.1; without a `key`, a body may always be missing.
    """

    type: Any
    key: str | None = None
    default: T | Unset = UNSET
    max_bytes: int = 8 * MIB
    confirms: bool = False
    stamp: str | None = None
    secret: bool = False
    empty_allowed: bool = attrs.field(default=False, eq=False, repr=False)


_KINDS: Final[dict[str, type["Operation[Any]"]]] = {}
_KIND: Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_MISSING: Final = object()


class Operation(Generic[T_co]):
    """One call of the API as a frozen value; its parameter is what it returns.

    A subclass is a frozen attrs class that sets `repeat` and `answer` and writes `request`.
    The other methods are pure too, and default to "nothing to say"; what they say is what
    plans, journals, retries and undo go by.

    `kind` is its name in files, such as "site.rename". A class is registered under it by
    being defined; one without a `kind` is named by its module and its own name, so its files
    can be read only while both stay. `settles` follows from `repeat` unless it is set: by
    STATE where that is CONVERGENT, else NEVER.
    """

    __slots__ = ()

    kind: ClassVar[str] = ""
    repeat: ClassVar[Repeat]
    answer: ClassVar[Answer[Any]]
    proof: ClassVar["Operation[Any] | None"] = None
    """The read whose good answer shows that the API of this noun answers at a base URL; all
    operations of the noun have the same. Until it is known, a 404 says nothing: any wrong path
    is answered so."""
    settles: ClassVar[Settles] = Settles.NEVER
    plan_expand: ClassVar[tuple[str, ...]] = ()
    """What a plan must ask for besides when it reads the state, with `expand`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        place = _place(cls)
        if "kind" not in cls.__dict__:
            cls.kind = place
        elif not isinstance(cls.kind, str):
            raise TypeError(f"{place}: kind is its name in files; give the field another name")
        elif cls.kind != place and not _KIND.fullmatch(cls.kind):
            raise TypeError(f"{place}: kind must be 'noun.verb' in lower case, not {cls.kind!r}")
        known = _KINDS.get(cls.kind)
        # attrs makes a slotted class anew, and a program may be both run and imported.
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise TypeError(f"{place}: kind {cls.kind!r} is already that of {_place(known)}")
        _KINDS[cls.kind] = cls
        if "repeat" in cls.__dict__ and "settles" not in cls.__dict__:
            cls.settles = Settles.STATE if cls.repeat is _CONVERGENT else Settles.NEVER
        if known is None and "subject" in cls.__dict__ and cls.target is Operation.target:
            warnings.warn(
                f"{cls.__qualname__} says what it is about by subject(); write target() instead,"
                ' such as: return Target("site", self.site_id)',
                DeprecationWarning,
                stacklevel=2,
            )

    def request(self) -> RequestParts:
        """Return the request that this operation is."""
        raise NotImplementedError(f"{type(self).__name__} must say what its request is")

    def target(self) -> Target:
        """Return what the operation is about, reads too.

        The noun comes from `kind` where a class says no more. A class of version 0.1 that
        says only `subject()` is taken at that word.
        """
        noun = "" if ":" in self.kind else self.kind.partition(".")[0]
        return Target(noun, None if type(self).subject is Operation.subject else self.subject())

    def subject(self) -> str | None:
        """Return the name of what is written to, or None for a read or an unnamed new thing."""
        return None if self.repeat is _READ else self.target().name

    def writes_to(self) -> tuple[str, str] | None:
        """Return what identifies the thing that is written to; None for a read, or a new thing.

        One client never has two writes to one thing in flight.
        """
        if self.repeat is _READ:
            return None
        target = self.target()
        name = target.natural_key if target.id is None else target.id
        return None if name is None else (target.noun, name)

    def changes(self) -> Mapping[str, Any]:
        """Return the fields that are set to absolute values, by their names in the state."""
        return {}

    def accepts(self, result: Any) -> bool:
        """Return whether an answer is about what was asked for, and not about another thing."""
        return True

    def fault(self, result: Any) -> str:
        """Return what went wrong by a good answer's own word, as a command's may; "" if nothing."""
        return ""

    def differs(self, result: Any) -> str:
        """Return in which way a good answer shows something else than was asked for; "" if none.

        The server made something else of it, such as a name that it trimmed: it was done, but
        not as asked. What an answer leaves out says nothing.
        """
        if result is None or self.repeat is not _CONVERGENT or self.holds(result):
            return ""
        wanted = self.changes()
        if not wanted and type(self).holds is Operation.holds:
            return ""  # it does not say what it sets, so there is nothing to compare
        shown = [
            f"{field} is {told!r}, and {value!r} was asked for"
            for field, value in wanted.items()
            if (told := getattr(result, field, None)) is not None and told != value
        ]
        return "; ".join(shown) or ("" if wanted else "it does not show what was asked for")

    def reads(self) -> "Operation[Any] | None":
        """Return the operation that reads the state this one concerns, or None.

        Where it settles by SEARCH, that is the search.
        """
        return None

    def max_bytes(self) -> int:
        """Return how large the decoded body of an answer may be."""
        return self.answer.max_bytes

    def when_missing(self, envelope: Mapping[str, Any]) -> Any:
        """Return the value of an answer whose envelope has none; `UNSET` where it must have one."""
        return self.answer.default

    def holds(self, state: Any | None) -> bool:
        """Return whether `state` is already the wanted one; None stands for "not found"."""
        wanted = self.changes()
        return (
            state is not None
            and bool(wanted)
            and all(getattr(state, field, _MISSING) == value for field, value in wanted.items())
        )

    def candidates(self, found: Any) -> Sequence[Any]:
        """Return what of a search's result may be the work of this operation, for a person."""
        return tuple(found or ())

    def smaller(self) -> Self | None:
        """Return a page of half the size, for a list whose answer is too large, or None."""
        return None

    def result_of(self, state: Any | None) -> T_co:
        """Return what this operation returns when `state`, just read, shows that it holds."""
        reading = self.reads()
        if reading is not None and reading.answer.type == self.answer.type:
            if state is None:
                raise ValueError(f"{type(self).__name__} returns what was read, and nothing was")
            result: T_co = state
            return result
        raise NotImplementedError(f"{type(self).__name__} must say what it returns of a state")

    def claims(self) -> Mapping[str, Any]:
        """Return the fields of which a plan takes only one value for each thing."""
        return self.changes()

    def guards(self) -> tuple[str, ...]:
        """Return the fields of the state that must be as they were planned when it is sent."""
        return tuple(self.changes())

    def pointless(self) -> str:
        """Return why a plan refuses it whatever the state is, or "" where it does not."""
        return ""

    def obstacle(self, state: Any) -> str:
        """Return why the API would refuse it, where the state shows that; "" where it does not."""
        return ""

    def undo(self, before: Any) -> "Operation[Any] | None":
        """Return the operation that restores what it can of `before`, or None where it can nothing.

        Of `before`, the state's `id` and the fields that this operation changes are set.
        """
        return None


def _place(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def operation_class(kind: str) -> type[Operation[Any]] | None:
    """Return the operation that has this name in files, or None."""
    return _KINDS.get(kind)


def operation_kinds() -> tuple[str, ...]:
    """Return the kinds that classes have given themselves, in the order of their definition."""
    return tuple(kind for kind in _KINDS if _KIND.fullmatch(kind))


def described(operation: Operation[Any]) -> str:
    """Return an operation's class and what it is about, for a message."""
    name = operation.target().name
    return f"{type(operation).__name__} of {name}" if name else type(operation).__name__
