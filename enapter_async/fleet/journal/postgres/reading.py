"""Read a run in PostgreSQL, for its status, reports, results and undo; blocking, by pages."""

import contextlib
from collections.abc import Iterator
from typing import Any

from enapter_async.fleet.errors import JournalError, RunRefusedError
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import bounded, connect, driver, told
from enapter_async.fleet.journal.postgres.schema import SCHEMA, check_version
from enapter_async.fleet.journal.reading import Dialect, Journal


def in_order(sql: str) -> str:
    """Return statements that read a page by its index, for a cursor that binds values itself.

    Without statistics about a new run, the server would sort all of the run for each page. The
    statements form one transaction, and the settings end with it.
    """
    return f"SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; {sql}"


class PostgresJournal(Journal):
    """One run in PostgreSQL, open for reading only, even while a session writes to it."""

    @classmethod
    def open(cls, address: Address) -> "PostgresJournal":
        """Open a run.

        Raises:
            RunRefusedError: there is no such run, or it has a different version.
            ConfigurationError: the address cannot be used.
            JournalError: the server cannot be reached, or refuses the connection.
        """
        connection = connect(address)
        try:
            with bounded(connection):
                check_version(connection, address.server)
            return cls.over(connection, address)
        except BaseException as error:
            connection.close()
            if isinstance(error, driver().Error):
                raise _unreadable(address.name, error) from None
            raise

    @classmethod
    def over(cls, connection: Any, address: Address) -> "PostgresJournal":
        """Open a run over an existing connection, which `close` then closes.

        Raises:
            RunRefusedError: there is no such run.
            JournalError: the server cannot be reached, or refuses the connection.
        """
        try:
            with bounded(connection):
                sql = f"SELECT id FROM {SCHEMA}.run WHERE name = %s"
                found = connection.execute(sql, (address.run,)).fetchone()
        except driver().Error as error:
            raise _unreadable(address.name, error) from None
        if found is None:
            raise RunRefusedError(f"there is no run {address.run!r} in {address.server}")
        only = f"run = {found[0]} AND "
        dialect = Dialect(
            item=f"{SCHEMA}.item",
            event=f"{SCHEMA}.event",
            fact=f"{SCHEMA}.fact",
            item_only=only,
            event_only=only,
            fact_only=only,
            parameter="%s",
        )
        return cls(address.name, connection, dialect)

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
        try:
            with bounded(self._connection):
                yield
        except driver().Error as error:
            raise _unreadable(self.name, error) from None


def _unreadable(name: str, error: BaseException) -> JournalError:
    return JournalError(f"{name} cannot be read: {told(error)}")
