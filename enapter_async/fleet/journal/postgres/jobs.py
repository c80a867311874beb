"""The statements about the jobs in PostgreSQL."""

import asyncio
import functools
from collections.abc import Mapping
from typing import Any, Final

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.job_database import VALUE, Row, SQLiteJobs
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import (
    bounded,
    connect_async,
    driver,
    told,
    within,
)
from enapter_async.fleet.journal.postgres.schema import SCHEMA, refuse_version
from enapter_async.fleet.journal.postgres.statements import Statements, read_version

ANSWER_S: Final = 10.0
"""How long a statement about a job may take."""
WORDS: Final = {
    "p": f"{SCHEMA}.",
    "now": "extract(epoch FROM clock_timestamp())::float8",
    # The job's stop is read again once nobody is writing its row. It is locked first, in the order
    # of a resume, so that two never wait for each other.
    "lock": "FOR SHARE OF job FOR UPDATE OF part SKIP LOCKED",
    "in_queues": "part.queue IN (SELECT jsonb_array_elements_text(CAST(:queues AS jsonb)))",
}


@functools.cache
def _positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return a statement about jobs with values by position, and their names in this order."""
    text = sql.format(**WORDS)
    return VALUE.sub("%s", text), tuple(VALUE.findall(text))


def bound(sql: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return a statement about jobs as psycopg executes it, and its values in order."""
    text, names = _positional(sql)
    return text, [values[name] for name in names]


def partition_run(job: str, no: int) -> str:
    """Return the name of a partition's run."""
    return f"{job}/{no:04d}"


class PostgresJobs:
    """Executes statements about the jobs of a database, over one connection opened as needed.

    Tasks share it: a statement that was sent is executed to its end before the next one, even if
    the task that waits for it is cancelled. Each method raises `JournalError` if the database
    cannot be used now.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._open: tuple[Any, Statements] | None = None
        self._connecting = asyncio.Lock()

    async def execute(self, sql: str, **values: Any) -> list[Row]:
        """Execute one statement, and return its rows."""
        try:
            connection, statements = await self._connected()
            text, given = bound(sql, values)
            return await within(connection, ANSWER_S, lambda: statements.all(text, *given))
        except (driver().Error, TimeoutError, OSError) as error:
            await self.close()
            raise JournalError(
                f"the jobs in {self._address.server} cannot be reached: {told(error)}"
            ) from None

    async def execute_both(self, first: str, second: str, **values: Any) -> list[Row]:
        """Execute `second` only if `first` returns a row, both or neither; return those rows."""
        one = f"WITH first AS ({first}), second AS ({second} AND EXISTS (SELECT FROM first))"
        return await self.execute(f"{one} SELECT * FROM first", **values)

    async def _connected(self) -> tuple[Any, Statements]:
        async with self._connecting:
            if self._open is None:
                connection = await connect_async(self._address, application="enapter-async jobs")
                self._open = connection, Statements(connection)
                try:
                    version = await read_version(self._open[1])
                    refuse_version(version, self._address.server)
                except BaseException:
                    await self.close()
                    raise
            return self._open

    async def close(self) -> None:
        """Close the connection; safe to repeat."""
        found, self._open = self._open, None
        if found is not None:
            connection, statements = found
            statements.close()
            await connection.close()


JobDatabase = SQLiteJobs | PostgresJobs
"""Executes statements about jobs; `{p}`, `{now}` and similar fields depend on the database."""


def rows_of(connection: Any, sql: str, **values: Any) -> list[Row]:
    """Return the rows of a statement, over a blocking connection."""
    with bounded(connection), connection.cursor(row_factory=driver().rows.dict_row) as cursor:
        cursor.execute(*bound(sql, values))
        found: list[Row] = cursor.fetchall() if cursor.description else []
        return found
