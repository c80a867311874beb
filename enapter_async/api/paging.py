"""Reading a page of a list, whatever it lists."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from enapter_async.errors import ResponseTooLargeError
from enapter_async.operation import Operation

PageT = TypeVar("PageT", bound=Operation[Any])
T = TypeVar("T")


async def read_page(
    page: PageT, limit: int, execute: Callable[[PageT], Awaitable[T]]
) -> tuple[T, int]:
    """Read a page of `limit` things, halved until it is not too large; return it with its limit.

    Raises:
        ResponseTooLargeError: even one thing of it is.
    """
    while True:
        try:
            return await execute(page), limit
        except ResponseTooLargeError:
            smaller = page.smaller()
            if smaller is None:
                raise
        page, limit = smaller, limit // 2
