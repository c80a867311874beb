"""What plans and guards must know of a kind of thing, to read many of it and put changes in order.

The noun of an operation's target finds it. A noun that nobody defined is a plain one: its
things are read one by one, by what their operations say.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from enapter_async.operation import Operation, Settles

S = TypeVar("S")


class Facts(NamedTuple):
    """What a plan goes by, of one thing.

    `slug` is a second address that no two things of a site share; `upstream_id` the thing
    that it hangs below, which cannot be deleted before it.
    """

    id: str
    name: str | None = None
    slug: str | None = None
    site_id: str | None = None
    upstream_id: str | None = None


class Noun(Generic[S]):
    """A kind of thing; its parameter is the state that a read of it gives."""

    __slots__ = ()

    name: ClassVar[str] = ""
    state: ClassVar[Any] = None
    """The type of the state, which `get` and `page` read; None where they read nothing."""
    slug_field: ClassVar[str] = ""
    """The field that a slug is set by, or "" where there is none."""
    page_size: ClassVar[int] = 50
    """The most things that one page holds."""
    health: ClassVar[tuple[str, ...]] = ()
    """What `get` must be asked for besides, so that `is_online` can say anything."""

    def get(self, name: str, expand: Iterable[str] = ()) -> Operation[S] | None:
        """Return the operation that reads the thing of that id or slug, or None."""
        return None

    def page(
        self, offset: int, limit: int, *, site_id: str | None, expand: Iterable[str]
    ) -> Operation[tuple[S, ...]] | None:
        """Return the operation that reads a page of all things, or of those of a site, or None."""
        return None

    def facts(self, state: S) -> Facts:
        """Return what a plan goes by; `state` has an `id` and, if it likes, a `name`."""
        thing: Any = state
        return Facts(str(thing.id), getattr(thing, "name", None))

    def is_online(self, state: S) -> bool | None:
        """Return whether a thing is online, or None where that cannot be said of such things."""
        return None


_NOUNS: Final[dict[str, Noun[Any]]] = {}
_PLAIN: Final[Noun[Any]] = Noun()


def define(noun: Noun[Any]) -> Noun[Any]:
    """Let operations on things of this name be planned by what the noun says; return it."""
    _NOUNS[noun.name] = noun
    return noun


def noun_named(name: str) -> Noun[Any]:
    """Return the noun of that name, or a plain one."""
    return _NOUNS.get(name, _PLAIN)


def reading(operation: Operation[Any], expand: Iterable[str] = ()) -> Operation[Any] | None:
    """Return the operation that reads the state an operation is about, or None."""
    target = operation.target()
    found = None if target.id is None else noun_named(target.noun).get(target.id, expand)
    if found is None and operation.settles is not Settles.SEARCH:
        return operation.reads()
    return found  # what a search finds is no state


class BulkChange:
    """Things that are selected, and what is to be done to each, for `fleet.plan`.

    `noun` names what is selected among, `site_ids` where (empty: everywhere), `expand` what
    must be known of each.
    """

    __slots__ = ()

    noun: ClassVar[str]

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that are looked at; empty for all."""
        return ()

    @property
    def expand(self) -> tuple[str, ...]:
        """What must be asked for besides, to choose and to plan."""
        return ()

    def operations_for(self, state: Any) -> tuple[Operation[Any], ...] | None:
        """Return what is to be done to a thing, in order; None where it is not selected.

        Raises:
            ConfigurationError: it cannot be told, such as for a template that cannot be filled.
        """
        raise NotImplementedError(f"{type(self).__name__} must say what is to be done")
