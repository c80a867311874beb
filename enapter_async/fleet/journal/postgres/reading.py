"""Read a run in PostgreSQL, by pages: for reports and undo as it is, and for a session as a copy.

A session copies the rows of earlier sessions once, when it starts, so its reads never wait for the
network on the event loop.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import bounded, driver, reporting
from enapter_async.fleet.journal.postgres.schema import SCHEMA
from enapter_async.fleet.journal.reading import (
    EVENT_COLUMNS,
    WHOLE_ITEM_COLUMNS,
    Dialect,
    Journal,
)
from enapter_async.fleet.journal.sqlite.journal import DIALECT
from enapter_async.fleet.journal.sqlite.schema import (
    ADD_EVENT,
    ADD_FACT,
    ADD_ITEM,
    scratch_journal,
)

_COPIED_ROWS: Final = 2000
"""How many rows one page of a copy has."""


def in_order(sql: str) -> str:
    """Return statements that read a page by its index, for a cursor that binds values itself.

    Without statistics about a new run, the server would sort all of the run for each page. The
    statements form one transaction, and the settings end with it.
    """
    return f"SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; {sql}"


def dialect_of(run: int) -> Dialect:
    """Return how a run's rows are read, by its number."""
    return Dialect(
        item=f"{SCHEMA}.item",
        event=f"{SCHEMA}.event",
        fact=f"{SCHEMA}.fact",
        only=f"run = {run} AND ",
        parameter="%s",
    )


class PostgresJournal(Journal):
    """One run in PostgreSQL, open for reading only, even while a session writes to it."""

    @classmethod
    def over(cls, connection: Any, address: Address) -> "PostgresJournal":
        """Open a run over an existing connection, which `close` then closes.

        Raises:
            RunRefusedError: there is no such run.
            JournalError: the server cannot be reached, or refuses the connection.
        """
        with reporting(f"{address.name} cannot be read"), bounded(connection):
            sql = f"SELECT id FROM {SCHEMA}.run WHERE name = %s"
            found = connection.execute(sql, (address.run,)).fetchone()
        if found is None:
            raise RunRefusedError(f"there is no run {address.run!r} in {address.server}")
        return cls(address.name, connection, dialect_of(found[0]))

    def _fetch(self, sql: str, *parameters: Any) -> list[Any]:
        with self._reached():
            cursor = driver().ClientCursor(self._connection)
            cursor.execute(in_order(sql), parameters)
            while cursor.nextset():
                pass
            found: list[Any] = cursor.fetchall()
            return found

    def _stream(self, sql: str) -> Iterator[Any]:
        connection: Any = self._connection
        with self._reached(), connection.transaction(), connection.cursor(name="rows") as cursor:
            cursor.itersize = 2000
            cursor.execute(sql)
            yield from cursor

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        with reporting(f"{self.name} cannot be read"), bounded(self._connection):
            yield


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
    await cursor.execute(in_order(query), (last, _COPIED_ROWS))
    while cursor.nextset():
        pass
    found: list[Any] = await cursor.fetchall()
    return found
