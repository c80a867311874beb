"""Journal the items of a streamed input as they arrive, each with or before its intent."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.records import ItemRow, item_row


def streamed(
    pulls: Iterable[WorkItem],
    add_item: Callable[[ItemRow], None],
    on_end: Callable[[int], None],
) -> Iterator[WorkItem]:
    """Yield the items of a new, plain input; at its end call `on_end` with their number."""
    position = 0
    for item in pulls:
        add_item(item_row(item))
        position += 1
        yield item
    on_end(position)


async def streamed_async(
    pulls: AsyncIterator[WorkItem],
    add_item: Callable[[ItemRow], None],
    on_end: Callable[[int], None],
    *,
    earlier: Iterable[WorkItem] = (),
    position: int = 0,
) -> AsyncIterator[WorkItem]:
    """Yield items of earlier sessions, and then all after `position`, from any input."""
    for item in earlier:
        yield item
    async for item in pulls:
        add_item(item_row(item))
        position += 1
        yield item
    on_end(position)
