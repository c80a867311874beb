"""Reading one page of any list, or all of them."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import attrs

from enapter_async.api.executor import Executor
from enapter_async.errors import ResponseTooLargeError
from enapter_async.operation import Operation
from enapter_async.operations.pages import Page

PageT = TypeVar("PageT", bound=Operation[Any])
T = TypeVar("T")


async def read_page(
    page: PageT, limit: int, execute: Callable[[PageT], Awaitable[T]]
) -> tuple[T, int]:
    """Read a page of `limit` objects, halving it while it is too large; return it and its limit.

    Raises:
        ResponseTooLargeError: even a page of one object is too large.
    """
    while True:
        try:
            return await execute(page), limit
        except ResponseTooLargeError:
            smaller = page.smaller()
            if smaller is None:
                raise
        page, limit = smaller, limit // 2


async def read_all(first: Callable[[], Page[T]], executor: Executor) -> AsyncGenerator[T, None]:
    """Yield the objects of a list, page by page from `first` on; no id is yielded twice.

    `first` is called when the first object is requested, so that a wrong argument is reported
    then. The listing ends at an empty page, or at a page without any new object, as a server
    without paging sends. A page that is too large is requested again as smaller pages. All ids are
    remembered.
    """
    page = first()
    seen: set[str] = set()
    while True:
        objects, limit = await read_page(page, page.limit, executor.execute)
        if not objects:
            return
        known = len(seen)
        for each in objects:
            named: Any = each
            if named.id not in seen:
                seen.add(named.id)
                yield each
        if len(seen) == known:
            return
        page = attrs.evolve(page.following(len(objects)), limit=limit)
