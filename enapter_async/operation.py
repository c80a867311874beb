"""Operations: each value describes one API call and how safe it is to repeat."""

import enum
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, NamedTuple, Self, TypeVar, final

import attrs

from enapter_async.payload import Payload

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
"""Marks a field that stays unchanged. None is a value, and is sent as null."""


WHOLE: Final = ""
"""Marks an answer without an envelope: the JSON object in its body is the value."""


class Repeat(enum.Enum):
    """How safe it is to send an operation again."""

    READ = "read"
    """Changes nothing."""
    CONVERGENT = "convergent"
    """Sets an absolute state: sending it twice has the same result as sending it once."""
    ONCE = "once"
    """Has a new effect each time, so it is never sent again automatically if uncertain."""


_READ: Final = Repeat.READ
_CONVERGENT: Final = Repeat.CONVERGENT
"""Looked up once, because finding a member of an enumeration is slow."""


class Settles(enum.Enum):
    """How an uncertain outcome of an operation can be settled."""

    STATE = "state"
    """By reading the state: if it shows what the operation sets, the operation was done."""
    KEY = "key"
    """By the natural key of the new object: nothing had the key before, and the object found
    matches.
    """
    SEARCH = "search"
    """By a person: a search lists candidates, but the program never chooses one by itself."""
    NEVER = "never"
    """No read shows whether it was done."""


class Target(NamedTuple):
    """The target of an operation: the object that it reads or changes.

    `noun` is one word, such as "device". `id` is an id or a slug, or None for an object that does
    not exist yet. `site_id` is the site through which it is addressed. `natural_key` is the key by
    which an object that is being created can be found. `part` names the part of the object that is
    read and changed by itself, such as "configuration.network"; "" means the object.
    """

    noun: str = ""
    id: str | None = None
    site_id: str | None = None
    natural_key: str | None = None
    part: str = ""

    @property
    def name(self) -> str | None:
        """The name of the target in a message, or None for a new object without a key."""
        return self.natural_key if self.id is None else self.id

    @property
    def word(self) -> str:
        """The noun for a message; "object" if the operation names none."""
        return self.noun or "object"


class RequestParts(NamedTuple):
    """The parts of an operation's request, before any encoding.

    `path` holds the segments below `/v3`, not yet escaped; `query` the pairs in order; `body`
    the JSON object, a `Payload` if the body is not JSON, or None. It is a tuple because one is
    created for every call, and a tuple takes half the time.
    """

    method: str
    path: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | Payload | None = None


@attrs.frozen(kw_only=True)
class Answer(Generic[T]):
    """The expected form of a successful answer to an operation.

    `key` is the envelope key, `WHOLE` if the body itself is the value, or None if nothing is read
    from the body. The value is converted to `type`; `default` is the value if the key is
    missing (`UNSET` if the key is required). `max_bytes` limits the decompressed body, unless
    the operation overrides it. For an answer that is not JSON, `media` lists its media types,
    and `decode` returns the value from its `headers` and `body`, or raises ValueError.
    `confirms` means that the operation returns nothing and was done if the answer is 204, or
    200 with an empty object or with the object itself under `key`; `secret` means that the body
    must never be shown, not even an excerpt; `concealed` that it may hold secrets among other
    values: it is not shown either, but a job does not have to keep it. `stamp` is the field of
    the value that holds the time of its last change, or None. `wait` is how many seconds longer
    than usual the server may take to answer. `empty_allowed` is accepted for operations written
    for version 0.1; without a `key`, a body may always be missing.
    """

    type: Any
    key: str | None = None
    default: T | Unset = UNSET
    max_bytes: int = 8 * MIB
    confirms: bool = False
    stamp: str | None = None
    secret: bool = False
    concealed: bool = False
    wait: float | None = None
    media: tuple[str, ...] = ()
    decode: Callable[[Any], T] | None = None
    empty_allowed: bool = attrs.field(default=False, eq=False, repr=False)


_KINDS: Final[dict[str, type["Operation[Any]"]]] = {}
_KIND: Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_MISSING: Final = object()


class Operation(Generic[T_co]):
    """One API call as a frozen value; the type parameter is the type of its result.

    A subclass is a frozen attrs class that sets `repeat` and `answer` and defines `request`.
    The other methods are pure functions too, with neutral defaults; plans, journals, retries
    and undo rely on them.

    `kind` is its name in files, such as "site.rename". Defining a class registers it under
    its `kind`; a class without one is registered under its module and class name, so its files
    can be read only while both stay the same. `settles` follows from `repeat` unless it is set:
    STATE if `repeat` is CONVERGENT, else NEVER.
    """

    __slots__ = ()

    kind: ClassVar[str] = ""
    repeat: ClassVar[Repeat]
    answer: ClassVar[Answer[Any]]
    proof: ClassVar["Operation[Any] | None"] = None
    """The read whose success shows that a base URL serves the API of this noun, whose operations
    share it. Until then, a 404 proves nothing, because any wrong path returns one."""
    settles: ClassVar[Settles] = Settles.NEVER
    result_name: ClassVar[str] = ""
    """The name of its result in rows of JSON; if empty, the noun of its target."""
    plan_expand: ClassVar[tuple[str, ...]] = ()
    """The additional fields that a plan must request with `expand` when it reads the state."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        place = _place(cls)
        if "kind" not in cls.__dict__:
            cls.kind = place
        elif not isinstance(cls.kind, str):
            raise TypeError(f"{place}: kind is the class's name in files; rename the field")
        elif cls.kind != place and not _KIND.fullmatch(cls.kind):
            raise TypeError(f"{place}: kind must be 'noun.verb' in lower case, not {cls.kind!r}")
        known = _KINDS.get(cls.kind)
        # attrs creates a slotted class a second time, and a program may be both run and imported.
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise TypeError(f"{place}: kind {cls.kind!r} is already used by {_place(known)}")
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
        """Return the HTTP request of this operation."""
        # Not abstract, so that an operation without a request gets this message.
        raise NotImplementedError(f"{type(self).__name__} must define request()")

    def target(self) -> Target:
        """Return the target of the operation; reads have one too.

        By default the noun comes from `kind`. For a class of version 0.1 that defines only
        `subject()`, the id is taken from that.
        """
        noun = "" if ":" in self.kind else self.kind.partition(".")[0]
        return Target(noun, None if type(self).subject is Operation.subject else self.subject())

    def subject(self) -> str | None:
        """Return the name of the written object, or None for a read or an unnamed new object."""
        return None if self.repeat is _READ else self.target().name

    def writes_to(self) -> tuple[str, str] | None:
        """Return the identity of the written object; None for a read or an unnamed new object.

        One client never has two writes to the same object in flight.
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
        """Return whether an answer is about the requested object and not about another one."""
        return True

    def fault(self, result: Any) -> str:
        """Return the failure that a successful answer reports, such as a command's; "" if none."""
        return ""

    def leaves_unknown(self, result: Any) -> bool:
        """Return whether the `fault` in an answer leaves open whether the operation was done."""
        return False

    def follow(self, result: Any) -> "Operation[Any] | None":
        """Return the read that shows the operation's progress after this result, or None.

        Jobs execute it repeatedly, each time with the last result, until there is none.
        """
        return None

    def first_state(self, result: Any) -> Any:
        """Return the first known state of an operation that continues, by default its answer."""
        return result

    def differs(self, result: Any) -> str:
        """Return how a successful answer differs from the request; "" if it does not.

        For example, the server may have trimmed a name: done, but not as requested. Fields
        that an answer omits are not compared.
        """
        if result is None or self.repeat is not _CONVERGENT or self.holds(result):
            return ""
        wanted = self.changes()
        if not wanted and type(self).holds is Operation.holds:
            return ""  # it does not declare the fields it sets, so there is nothing to compare
        shown = [
            f"{field} is {told!r}, but {value!r} was requested"
            for field, value in wanted.items()
            if (told := field_of(result, field)) is not None and told != value
        ]
        return "; ".join(shown) or ("" if wanted else "it does not show the requested values")

    def reads(self) -> "Operation[Any] | None":
        """Return the read of its target's state, or None; the search if it settles by SEARCH."""
        return None

    def reads_moved(self) -> "Operation[Any] | None":
        """Return the read by the slug that it sets; a target addressed by slug has moved there."""
        return None

    def proven_by(self) -> "Operation[Any] | None":
        """Return the read that proves this operation's path: `proof`, or that of its site."""
        return self.proof

    def max_bytes(self) -> int:
        """Return the maximum size of the decoded body of an answer."""
        return self.answer.max_bytes

    def when_missing(self, envelope: Mapping[str, Any]) -> Any:
        """Return the value if the envelope has none; `UNSET` if the envelope must have one."""
        return self.answer.default

    def holds(self, state: Any | None) -> bool:
        """Return whether `state` is already the desired state; None stands for "not found"."""
        wanted = self.changes()
        return (
            state is not None
            and bool(wanted)
            and all(field_of(state, field, _MISSING) == value for field, value in wanted.items())
        )

    def candidates(self, found: Any) -> Sequence[Any]:
        """Return the search results that this operation may have created, for a person to check."""
        return tuple(found or ())

    def created(self, candidate: Any) -> datetime | None:
        """Return when a candidate was created, by the server's clock; None if that is unknown."""
        return None

    def smaller(self) -> Self | None:
        """Return a read of half a page, for a list whose answer is too large, or None."""
        return None

    def result_of(self, state: Any | None) -> T_co:
        """Return the result of this operation if `state`, just read, shows that it was done."""
        reading = self.reads()
        if reading is not None and reading.answer.type == self.answer.type:
            if state is None:
                raise ValueError(
                    f"{type(self).__name__} returns what it reads, but nothing was read"
                )
            result: T_co = state
            return result
        raise NotImplementedError(f"{type(self).__name__} must define result_of()")

    def kept(self, result: Any) -> Mapping[str, Any]:
        """Return what a credentials file holds of a secret result; `config` is the secret."""
        return {"config": result}

    def claims(self) -> Mapping[str, Any]:
        """Return the fields for which a plan accepts only one value per object."""
        return self.changes()

    def details(self) -> Mapping[str, Any]:
        """Return the values that a plan shows for an operation without `changes`."""
        return self.claims()

    def guards(self) -> tuple[str, ...]:
        """Return the fields that must not have changed between planning and sending."""
        return tuple(self.changes())

    def pointless(self) -> str:
        """Return the reason why a plan refuses the operation in any state, or "" if it does not."""
        return ""

    def not_in_jobs(self) -> str:
        """Return why a job refuses the operation, or "" if it does not."""
        return ""

    def obstacle(self, state: Any) -> str:
        """Return why the API would refuse this in a state, of the object if on a part, or ""."""
        return ""

    def needs(self) -> Sequence[Target]:
        """Return other objects that must exist, such as a blueprint; a plan looks for them."""
        return ()

    def prepared(self, state: Any) -> Self:
        """Return the operation with values that a plan adds from this state, such as defaults."""
        return self

    def makes(self) -> Any | None:
        """Return the object that it creates, whose id is its key; None if it creates none."""
        return None

    def undo(self, before: Any) -> "Operation[Any] | None":
        """Return what restores as much of `before` as possible, or None.

        In `before`, only the state's `id` and the fields that this operation changes are set.
        """
        return None


def _place(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def operation_class(kind: str) -> type[Operation[Any]] | None:
    """Return the operation class that has this name in files, or None."""
    return _KINDS.get(kind)


def operation_kinds() -> tuple[str, ...]:
    """Return the kinds that classes define explicitly, in the order of their definition."""
    return tuple(kind for kind in _KINDS if _KIND.fullmatch(kind))


def field_of(state: Any, field: str, default: Any = None) -> Any:
    """Return a field of a state, which is an object or a mapping."""
    if isinstance(state, Mapping):
        return state.get(field, default)
    return getattr(state, field, default)


def described(operation: Operation[Any]) -> str:
    """Return an operation's class and target as text for a message."""
    name = operation.target().name
    return f"{type(operation).__name__} of {name}" if name else type(operation).__name__
