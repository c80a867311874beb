"""The tables of jobs in PostgreSQL: statements about them, and a whole job read as one journal."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from enapter_async.fleet.errors import JournalError, RunRefusedError
from enapter_async.fleet.journal.job_database import STOP, VALUE, Row, named_values
from enapter_async.fleet.journal.merged import ReadPartition, merged
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import (
    bounded,
    connect,
    connect_async,
    driver,
    told,
    within,
)
from enapter_async.fleet.journal.postgres.reading import PostgresJournal
from enapter_async.fleet.journal.postgres.schema import SCHEMA, check_version, refuse_version
from enapter_async.fleet.journal.postgres.statements import Statements, read_version
from enapter_async.fleet.journal.postgres.store import PostgresStore
from enapter_async.fleet.journal.reading import Journal

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
def statement(sql: str) -> str:
    """Return a statement about jobs as psycopg executes it."""
    return named_values(sql.format(**WORDS))


@functools.cache
def _positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return a statement about jobs with values by position, and their names in this order."""
    text = sql.format(**WORDS)
    return VALUE.sub("%s", text), tuple(VALUE.findall(text))


def partition_run(job: str, no: int) -> str:
    """Return the name of a partition's run."""
    return f"{job}/{no:04d}"


class PostgresJobs:
    """Executes statements about the jobs of a database, over one connection opened as needed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._open: tuple[Any, Statements] | None = None
        self._connecting = asyncio.Lock()

    async def execute(self, sql: str, **values: Any) -> list[Row]:
        """Execute one statement, and return its rows."""
        try:
            connection, statements = await self._connected()
            text, names = _positional(sql)
            given = [values[name] for name in names]
            return await within(connection, ANSWER_S, lambda: statements.all(text, *given))
        except (driver().Error, TimeoutError, OSError) as error:
            await self._discard()
            raise JournalError(
                f"the jobs in {self._address.server} cannot be reached: {told(error)}"
            ) from None
        except asyncio.CancelledError:
            # A statement that was cut off may still be answered; close, or another statement would
            # get it.
            await self._discard()
            raise

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
                    await self._discard()
                    raise
            return self._open

    async def _discard(self) -> None:
        found, self._open = self._open, None
        if found is not None:
            connection, statements = found
            statements.close()
            await connection.close()

    async def close(self) -> None:
        """Close the connection; safe to repeat."""
        await self._discard()


def with_connection(address: Address, step: Callable[[Any], Any]) -> Any:
    """Return the result of a step on a blocking connection.

    Raises:
        ConfigurationError: the tables are missing, or the address cannot be used.
        RunRefusedError: the tables have another version.
        JournalError: the database cannot be reached.
    """
    connection = connect(address)
    try:
        with bounded(connection):
            check_version(connection, address.server)
        return step(connection)
    except driver().Error as error:
        raise JournalError(f"{address.name} cannot be used: {told(error)}") from None
    finally:
        connection.close()


def rows_of(connection: Any, sql: str, **values: Any) -> list[Row]:
    """Return the rows of a statement, over a blocking connection."""
    with bounded(connection), connection.cursor(row_factory=driver().rows.dict_row) as cursor:
        cursor.execute(statement(sql), values)
        found: list[Row] = cursor.fetchall() if cursor.description else []
        return found


@attrs.frozen
class JobOrRunStore(PostgresStore):
    """A run in PostgreSQL, or a job of that name, which is read as one journal."""

    def exists(self) -> bool:
        """Return whether there is such a run or job. Blocking."""
        return super().exists() or bool(self._job("SELECT 1 FROM {p}job WHERE name = :job"))

    def is_held(self) -> bool:
        """Return whether a session is working on the run, or on part of the job. Blocking."""
        held = "SELECT 1 FROM {p}part WHERE job = :job AND owned_until >= {now} LIMIT 1"
        return super().is_held() or bool(self._job(held))

    def read(self) -> Journal:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # a job's journal is a copy
        """Open the run for reading only, or copy the journals of the job into one. Blocking."""
        try:
            return super().read()
        except RunRefusedError:
            job = self._job("SELECT * FROM {p}job WHERE name = :job")
            if not job:
                raise
        parts = self._job("SELECT * FROM {p}part WHERE job = :job ORDER BY no")
        notes = self._job("SELECT * FROM {p}note WHERE job = :job ORDER BY at")
        with self.partitions() as read:
            return merged(self.name, job[0], parts, notes, read)

    @contextlib.contextmanager
    def partitions(self) -> Iterator[ReadPartition]:
        """Let the journals of the job's partitions be read."""
        # One connection for all of them: opening one takes longer than reading a partition.
        with contextlib.closing(connect(self.address)) as connection:

            @contextlib.contextmanager
            def read(no: int) -> Iterator[Journal]:
                run = partition_run(self.address.run, no)
                yield PostgresJournal.over(connection, attrs.evolve(self.address, run=run))

            yield read

    def request_stop(self, reason: str) -> None:
        """Ask the sessions of the run or the job to start nothing more. Blocking."""
        try:
            super().request_stop(reason)
        except RunRefusedError:
            if not self._job("SELECT 1 FROM {p}job WHERE name = :job"):
                raise
            self._job(STOP, why=reason)

    def _job(self, sql: str, **values: Any) -> list[Row]:
        found: list[Row] = with_connection(
            self.address,
            lambda connection: rows_of(connection, sql, job=self.address.run, **values),
        )
        return found
