"""Reading one page of any list."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from enapter_async.errors import ResponseTooLargeError
from enapter_async.operation import Operation

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
