"""Reads a fleet in overlapping pages, so that changes during the read hide no device."""

from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

from enapter_async._http.call import CallRecord
from enapter_async.api.paging import read_page
from enapter_async.fleet.errors import UnsteadyFleetError
from enapter_async.fleet.reading import Caller
from enapter_async.operation import Operation
from enapter_async.operations.nouns import Noun

STEPS_BACK: Final = 5
"""How many times in a row the reader steps back by a page before it gives up."""


async def read_pages(
    client: Caller, noun: Noun[Any], *, site_id: str | None = None, expand: Iterable[str] = ()
) -> AsyncGenerator[tuple[Any, ...], None]:
    """Yield all objects of the account, or of one site, page by page.

    Each page but the first starts at the last object of the previous page. If a page starts with an
    object that was not just read, earlier objects were added or removed: the next request steps
    back by a page, up to five times in a row. So no object that existed all the time is missed. An
    object added meanwhile may be missing, and an object that moved far may be yielded twice. Memory
    does not grow with the fleet.

    Changes nothing; safe to repeat, and to stop early.

    Raises:
        UnsteadyFleetError: after five steps back, there was still no position to continue from.
    """
    names = tuple(expand)
    remembered = (STEPS_BACK + 1) * noun.page_size
    recent: deque[str] = deque(maxlen=remembered)
    before: tuple[Any, ...] = ()
    offset = steps = stale = 0
    limit = noun.page_size

    async def execute(request: Operation[tuple[Any, ...]]) -> tuple[Any, ...]:
        return await client.call(request, record=CallRecord(decides=True), patient=True)

    while (request := noun.page(offset, limit, site_id=site_id, expand=names)) is not None:
        page, limit = await read_page(request, limit, execute)
        known = set(recent)
        # A page of one object leaves no room for an overlap with the next page.
        overlaps = offset > 0 and len(before) != 1
        if overlaps and not (page and page[0].id in known):
            steps += 1
            if steps > STEPS_BACK:
                raise _unsteady(noun)
            offset = max(0, offset - max(1, limit - 1))
            continue
        fresh = tuple({each.id: each for each in page if each.id not in known}.values())
        if fresh:
            yield fresh
            steps = stale = 0
        elif len(page) <= 1 or _ids(page) == _ids(before):
            return
        else:
            # Objects were added before this offset: the page was read already; continue after it.
            stale += 1
            if stale > STEPS_BACK + 1:
                raise _unsteady(noun)
        if len(page) > remembered:
            # A server that ignores paging: remember the whole page, to detect its repetition.
            recent = deque(maxlen=len(page))
        recent.extend(each.id for each in fresh)
        before = page
        offset += max(1, len(page) - 1)


def _ids(page: tuple[Any, ...]) -> list[str]:
    return [each.id for each in page]


def _unsteady(noun: Noun[Any]) -> UnsteadyFleetError:
    return UnsteadyFleetError(
        f"the list of {noun.name}s changed faster than it could be read; nothing was changed, try "
        f"again later"
    )
