"""Copy a run from PostgreSQL into a scratch database, from which a session reads it.

A session copies the rows of earlier sessions once, when it starts, so its reads never wait for the
network on the event loop.
"""

from collections.abc import Callable
from typing import Any, Final

from enapter_async.fleet.journal.postgres.connections import driver
from enapter_async.fleet.journal.postgres.reading import in_order
from enapter_async.fleet.journal.postgres.schema import SCHEMA
from enapter_async.fleet.journal.reading import EVENT_COLUMNS, Journal
from enapter_async.fleet.journal.sqlite.journal import DIALECT
from enapter_async.fleet.journal.sqlite.schema import create_tables
from enapter_async.fleet.scratch import open_scratch

_PAGE_ROWS: Final = 2000
_ITEMS: Final = (
    "SELECT seq, digest, operation, before, grp, unit, wave, follows, unchanged "
    f"FROM {SCHEMA}.item WHERE run = %s AND seq > %s ORDER BY seq LIMIT {_PAGE_ROWS}"
)
_EVENTS: Final = (
    f"SELECT {EVENT_COLUMNS} FROM {SCHEMA}.event "
    f"WHERE run = %s AND id > %s ORDER BY id LIMIT {_PAGE_ROWS}"
)


async def copied(connection: Any, run: int, name: str, *, on_page: Callable[[], None]) -> Journal:
    """Return a journal with a copy of a run's rows; closing it discards the copy.

    `connection` is psycopg's for an event loop; `on_page` is called after each page.
    """
    scratch = open_scratch()
    try:
        create_tables(scratch)
        scratch.execute("BEGIN")
        cursor = await connection.execute(
            f"SELECT key, value FROM {SCHEMA}.fact WHERE run = %s",
            (run,),
        )
        scratch.executemany("INSERT INTO run VALUES (?, ?)", await cursor.fetchall())
        for query, table, columns in ((_ITEMS, "item", 9), (_EVENTS, "event", 11)):
            insert = f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"
            last = -1
            while page := await _page(connection, query, run, last):
                scratch.executemany(insert, page)
                last = page[-1][0]
                on_page()
        scratch.execute("COMMIT")
    except BaseException:
        scratch.close()
        raise
    return Journal(name, scratch, DIALECT)


async def _page(connection: Any, query: str, *values: int) -> list[Any]:
    cursor = driver().AsyncClientCursor(connection)
    await cursor.execute(in_order(query), values)
    while cursor.nextset():
        pass
    found: list[Any] = await cursor.fetchall()
    return found
