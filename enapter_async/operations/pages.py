"""Lists: the operation that reads one page of objects, whatever their noun.

Source: API page, "Fetch Devices"; other lists have the same form.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, TypeVar

import attrs

from enapter_async.operation import UNSET, Operation, Repeat, Unset
from enapter_async.operations import arguments

T = TypeVar("T")

LARGEST_PAGE: Final = 50
"""The maximum number of objects that can be requested in one page."""
LARGEST_PAGE_BYTES: Final = 4_000_000
"""The largest page that is read; a larger page would block the event loop for too long."""
_LARGEST_OFFSET: Final = 2**63 - 1


def offset_argument(value: int) -> int:
    """Return how many objects to skip."""
    return arguments.integer("offset", value, least=0, most=_LARGEST_OFFSET)


def limit_argument(value: int) -> int:
    """Return the size of a page."""
    return arguments.integer("limit", value, least=1, most=LARGEST_PAGE)


@attrs.frozen(kw_only=True)
class Page(Operation[tuple[T, ...]]):
    """Read one page of a list; `offset` is how many objects to skip, `limit` (1 to 50) the most.

    A subclass sets `kind` and `answer`, whose type is a tuple of objects with an `id`, and defines
    `request`, with `paging` in its query. Past the last object the result is the empty tuple.
    Changes nothing, so it is safe to repeat. `api.paging.read_all` reads all pages.
    """

    repeat: ClassVar[Repeat] = Repeat.READ
    object_bytes: ClassVar[int] = 64 * 1024
    """The maximum average size of an object in a page."""

    offset: int = attrs.field(default=0, converter=offset_argument)
    limit: int = attrs.field(default=LARGEST_PAGE, converter=limit_argument)

    def paging(self) -> tuple[tuple[str, str], ...]:
        """Return the part of the query that selects the page."""
        return (("offset", str(self.offset)), ("limit", str(self.limit)))

    def max_bytes(self) -> int:
        """Return the maximum size of the requested objects together, at most 4 MB."""
        return min(self.limit * self.object_bytes, LARGEST_PAGE_BYTES)

    def when_missing(self, envelope: Mapping[str, Any]) -> tuple[T, ...] | Unset:
        """Return an empty tuple if the answer looks like an empty page past the end."""
        total = envelope.get("total_count")
        past_the_end = isinstance(total, int) and total <= self.offset
        looks_like_a_page = self.answer.key in envelope or past_the_end
        return () if looks_like_a_page or (self.offset > 0 and not envelope) else UNSET

    def smaller(self) -> Self | None:
        """Return a page of half the size at the same offset, or None if the limit is one object."""
        return None if self.limit == 1 else attrs.evolve(self, limit=self.limit // 2)

    def following(self, read: int) -> Self:
        """Return the next page, given that this page returned `read` objects."""
        return attrs.evolve(self, offset=self.offset + read)
