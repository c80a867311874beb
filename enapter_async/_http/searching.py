"""Searches for what an operation may have created: read to the end, after it and before it."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from enapter_async._http.message import Failure
from enapter_async.errors import Certainty, ResponseTooLargeError
from enapter_async.operation import Operation, Settles
from enapter_async.operations.pages import Page

MOST_PAGES: Final = 200
"""The number of pages after which a search is given up."""


def is_dated(operation: Operation[Any]) -> bool:
    """Return whether the results of an operation's search show when they were created."""
    return type(operation).created is not Operation.created


def looks_before(operation: Operation[Any]) -> bool:
    """Return whether only a search before the operation can show which objects are older."""
    if operation.settles is Settles.KEY:
        return operation.reads() is not None
    return operation.settles is Settles.SEARCH and not is_dated(operation)


async def searched(
    operation: Operation[Any], read: Callable[[Operation[Any]], Awaitable[Any]]
) -> Any | Failure:
    """Return what the operation's search finds on all its pages, or the failure of `read`.

    A search for objects that show when they were created lists the newest first, so one page of it
    is enough.
    """
    page = operation.reads()
    if not isinstance(page, Page) or is_dated(operation):
        return () if page is None else await read(page)
    found: dict[str, Any] = {}
    for _ in range(MOST_PAGES):
        objects = await read(page)
        if isinstance(objects, Failure):
            return objects
        known = len(found)
        found.update((each.id, each) for each in objects)
        if len(found) == known:
            return tuple(found.values())
        page = page.following(len(objects))
    error = ResponseTooLargeError(f"the search has more than {MOST_PAGES} pages")
    return Failure(certainty=Certainty.NOT_SENT, error=error, kind=type(error).__name__, retries=0)


def ids_of(candidates: Iterable[Any]) -> frozenset[str] | None:
    """Return the ids of objects; None if one has no id, so that they cannot be told apart."""
    ids = [getattr(each, "id", None) for each in candidates]
    return None if None in ids else frozenset(map(str, ids))
