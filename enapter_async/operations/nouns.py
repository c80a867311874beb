"""Nouns: how plans and guards read many objects of one kind and order changes to them.

The target of an operation names its noun. If the noun is not defined, a plain noun is used: its
objects are read one by one, with the reads that their operations define.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from enapter_async.operation import Operation, Settles, Target, field_of

S = TypeVar("S")


class Facts(NamedTuple):
    """The facts that a plan needs about one object.

    `slug` is a second address, unique within a site; `upstream_id` is the id of the object that
    this one depends on; that object cannot be deleted first. `type` is only shown to people.
    """

    id: str
    name: str | None = None
    slug: str | None = None
    site_id: str | None = None
    upstream_id: str | None = None
    type: str | None = None


class Condition:
    """A condition that a gate checks on the objects of a noun, before and after a wave."""

    __slots__ = ()

    @property
    def expand(self) -> tuple[str, ...]:
        """The additional fields that must be requested."""
        return ()

    @property
    def lasting(self) -> float:
        """For how many seconds it must stay met after a wave."""
        return 0.0

    def reads(self, names: Iterable[str]) -> Iterable[Operation[Mapping[str, Any]]]:
        """Return the reads of what it is about for these objects; none if it is their state."""
        return ()

    def is_met(self, state: Any) -> bool | None:
        """Return whether an object meets it; None if its state does not say."""
        raise NotImplementedError(f"{type(self).__name__} must define is_met")

    def stands_apart(self, state: Any) -> bool:
        """Return whether an object is counted separately, and not held against a wave."""
        return False


class Noun(Generic[S]):
    """A kind of object; the type parameter is the state that a read returns."""

    __slots__ = ()

    name: ClassVar[str] = ""
    state: ClassVar[Any] = None
    """The type of the state that `get` and `page` read; None if they read nothing."""
    slug_field: ClassVar[str] = ""
    """The field that sets a slug, or "" if there is none."""
    page_size: ClassVar[int] = 50
    """The maximum number of objects in a page."""
    columns: ClassVar[tuple[str, ...]] = ()
    """The columns of a file of desired states, without those of an object's parts."""
    health: ClassVar[tuple[str, ...]] = ()
    """The additional fields that `get` must request for `is_online` to work."""

    def get(self, name: str, expand: Iterable[str] = ()) -> Operation[S] | None:
        """Return the operation that reads the object with this id or slug, or None."""
        return None

    def get_at(self, target: Target, expand: Iterable[str] = ()) -> Operation[S] | None:
        """Return the operation that reads a target, through its site if it names one, or None.

        By default the site is not needed, and the operation is that of `get`.
        """
        return None if target.id is None else self.get(target.id, expand)

    def page(
        self, offset: int, limit: int, *, site_id: str | None, expand: Iterable[str]
    ) -> Operation[tuple[S, ...]] | None:
        """Return the operation that reads a page of all objects or those of a site, or None."""
        return None

    def with_slug(self, target: Target, slug: str) -> Operation[Any] | None:
        """Return the operation that gives an object another slug and changes nothing else."""
        return None

    def desired(self, row: Mapping[str, Any]) -> tuple[Operation[Any], ...]:
        """Return the operations that bring an object to the state in a row of a file."""
        raise NotImplementedError(f"{type(self).__name__} must say what a row means")

    def row(self, state: S) -> dict[str, str]:
        """Return the row of such a file for an object, without its parts."""
        raise NotImplementedError(f"{type(self).__name__} must say what its row is")

    def parts(self, state: S) -> Iterable[Operation[Any]]:
        """Return the operations that read those parts of an object that are in its row."""
        return ()

    def cells(self, state: S, reading: Operation[Any], part: Any) -> dict[str, str]:
        """Return the cells of a row for a part that was read."""
        return {}

    def facts(self, state: S) -> Facts:
        """Return the facts that a plan needs.

        By default they are the `id` and the `name` of a state that has an `id`.
        """
        own = field_of(state, "id")
        return Facts("") if own is None else Facts(str(own), field_of(state, "name"))

    def facts_at(self, name: str, state: S) -> Facts:
        """Return the facts of an object that was read as `name`, its id if the state has none."""
        facts = self.facts(state)
        return facts if facts.id else facts._replace(id=name)

    def condition(self, text: str) -> Condition:
        """Return the condition of a gate that a string describes.

        Raises:
            ConfigurationError: it describes none.
        """
        raise NotImplementedError(f"{type(self).__name__} must say what {text!r} means")

    def is_online(self, state: S) -> bool | None:
        """Return whether an object is online, or None if that does not apply to this kind."""
        return None


_NOUNS: Final[dict[str, Noun[Any]]] = {}
_PLAIN: Final[Noun[Any]] = Noun()


def define(noun: Noun[Any]) -> Noun[Any]:
    """Register a noun for planning operations on objects of its name; return it."""
    _NOUNS[noun.name] = noun
    return noun


def noun_named(name: str) -> Noun[Any]:
    """Return the noun with this name, or a plain one."""
    return _NOUNS.get(name, _PLAIN)


def reading(operation: Operation[Any]) -> Operation[Any] | None:
    """Return the operation that reads the current state of an operation's target, or None."""
    target = operation.target()
    if target.part:
        return operation.reads()
    found = noun_named(target.noun).get_at(target)
    if found is None and operation.settles is not Settles.SEARCH:
        return operation.reads()
    return found  # the result of a search is not a state


class BulkChange:
    """Selected objects and the changes to make to each, for `fleet.plan`.

    `noun` names the kind of object, `site_ids` the sites (empty: all), `expand` the additional
    fields that are needed.
    """

    __slots__ = ()

    noun: ClassVar[str]

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites to read; empty for all."""
        return ()

    @property
    def expand(self) -> tuple[str, ...]:
        """Additional fields to request in order to select and plan."""
        return ()

    def operations_for(self, state: Any) -> tuple[Operation[Any], ...] | None:
        """Return the operations for an object, in order; None if it is not selected.

        Raises:
            ConfigurationError: they cannot be determined, for example if a template lacks a value.
        """
        raise NotImplementedError(f"{type(self).__name__} must define operations_for")
