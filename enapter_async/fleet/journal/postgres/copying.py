"""Copy a run from PostgreSQL into a scratch database, from which a session reads it.

A session copies the rows of earlier sessions once, when it starts, so its reads never wait for the
network on the event loop.
"""

from collections.abc import Callable
from typing import Any, Final

from enapter_async.fleet.journal.postgres.connections import driver
from enapter_async.fleet.journal.postgres.reading import dialect_of, in_order
from enapter_async.fleet.journal.postgres.schema import SCHEMA
from enapter_async.fleet.journal.reading import EVENT_COLUMNS, WHOLE_ITEM_COLUMNS, Journal
from enapter_async.fleet.journal.sqlite.journal import DIALECT
from enapter_async.fleet.journal.sqlite.schema import (
    ADD_EVENT,
    ADD_FACT,
    ADD_ITEM,
    scratch_journal,
)

_PAGE_ROWS: Final = 2000


async def copied(connection: Any, run: int, name: str, *, on_page: Callable[[], None]) -> Journal:
    """Return a journal with a copy of a run's rows; closing it discards the copy.

    `connection` is psycopg's for an event loop; `on_page` is called after each page.
    """
    dialect = dialect_of(run)
    with scratch_journal() as scratch:
        facts = f"SELECT key, value FROM {SCHEMA}.fact WHERE run = %s"
        cursor = await connection.execute(facts, (run,))
        scratch.executemany(ADD_FACT, await cursor.fetchall())
        for query, insert in (
            (dialect.items(WHOLE_ITEM_COLUMNS), ADD_ITEM),
            (dialect.events(EVENT_COLUMNS), ADD_EVENT),
        ):
            last = -1
            while page := await _page(connection, query, last):
                scratch.executemany(insert, page)
                last = page[-1][0]
                on_page()
    return Journal(name, scratch, DIALECT)


async def _page(connection: Any, query: str, last: int) -> list[Any]:
    cursor = driver().AsyncClientCursor(connection)
    await cursor.execute(in_order(query), (last, _PAGE_ROWS))
    while cursor.nextset():
        pass
    found: list[Any] = await cursor.fetchall()
    return found
