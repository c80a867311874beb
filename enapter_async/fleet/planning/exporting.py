"""Writes the current state of selected objects in the format of a desired-state file."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from enapter_async._http.call import CallRecord
from enapter_async.errors import APIError
from enapter_async.fleet.planning.paging import read_pages
from enapter_async.fleet.planning.snapshot import AT_ONCE
from enapter_async.fleet.reading import Caller
from enapter_async.operations.nouns import BulkChange, Noun, noun_named


async def export(
    client: Caller,
    chosen: BulkChange,
    *,
    on_unread: Callable[[str, APIError], None] | None = None,
) -> AsyncGenerator[Mapping[str, str], None]:
    """Yield the row of each chosen object, for a file that `read_desired` reads.

    `chosen` is an `Export` of a selection. A row contains the object's current values that an
    operation could set, except sensitive ones. If a part cannot be read, such as the configuration
    of a device that is offline, its cells are left out, and `on_unread` is called with the id of
    the object and the error. Changes nothing; safe to repeat, and to stop early.

    Raises:
        EnapterError: the fleet could not be read.
    """
    noun = noun_named(chosen.noun)
    seats = asyncio.Semaphore(AT_ONCE)

    async def row(state: Any) -> Mapping[str, str]:
        async with seats:
            return await _row(client, noun, state, on_unread)

    for site_id in dict.fromkeys(chosen.sites) or (None,):
        async for page in read_pages(client, noun, site_id=site_id, expand=chosen.expand):
            meant = [state for state in page if chosen.operations_for(state) is not None]
            async with asyncio.TaskGroup() as group:
                rows = [group.create_task(row(state)) for state in meant]
            for each in rows:
                yield each.result()


async def _row(
    client: Caller,
    noun: Noun[Any],
    state: Any,
    on_unread: Callable[[str, APIError], None] | None,
) -> Mapping[str, str]:
    row = noun.row(state)
    for reading in noun.parts(state):
        try:
            part = await client.call(reading, record=CallRecord(), patient=True)
        except APIError as error:
            if on_unread is not None:
                on_unread(noun.facts(state).id, error)
        else:
            row |= noun.cells(state, reading, part)
    return row
