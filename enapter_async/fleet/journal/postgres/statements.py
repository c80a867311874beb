"""The statements of sessions and workers, executed over libpq without psycopg's cursors.

A session writes hundreds of groups a second. A cursor would register the socket with the event loop
again for each statement, and take three times as much CPU time.
"""

import asyncio
import functools
import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from enapter_async.fleet.journal.postgres.connections import driver, told
from enapter_async.fleet.journal.postgres.schema import SCHEMA

_UNPREPARED: Final = 2
"""How often a statement is executed before it is prepared."""
_COMMAND_OK: Final = 1
_TUPLES_OK: Final = 2
"""libpq's status of a result that is not an error."""
_READERS: Final[Mapping[int, Callable[[bytes], Any]]] = {
    16: b"t".__eq__, 20: int, 23: int, 701: float, 1700: int
}  # fmt: skip
"""How values are read, by the OID of their type: booleans and numbers; the rest is text."""


@functools.cache
def _numbered(sql: str) -> bytes:
    """Return a statement with its values in the server's form."""
    numbers = itertools.count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", sql).encode()


def _row(result: Any, number: int) -> tuple[Any, ...]:
    return tuple([_value(result, number, column) for column in range(result.nfields)])


def _value(result: Any, row: int, column: int) -> Any:
    value: bytes | None = result.get_value(row, column)
    return None if value is None else _READERS.get(result.ftype(column), bytes.decode)(value)


class Statements:
    """Executes statements one after the other over an open asynchronous connection of psycopg.

    A statement whose caller is cancelled still runs to its end; the next one waits for that.
    """

    def __init__(self, connection: Any) -> None:
        self._pgconn = connection.pgconn
        # A copy, because cursors register the connection's own socket, and remove it again.
        self._socket = os.dup(connection.fileno())
        self._prepares = connection.prepare_threshold is not None
        self._loop = asyncio.get_running_loop()
        self._uses: dict[str, int] = {}
        self._names: dict[str, bytes] = {}
        self._numbers = itertools.count()
        self._answer: asyncio.Future[Any] | None = None
        """The result of the statement in progress, or the error that ended the connection."""
        self._result: Any = None
        self._attached = False

    async def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """Execute a statement, and return its first row, or None if there is no row.

        Raises:
            psycopg.Error: it failed, or the connection is lost.
        """
        result = await self._execute(sql, values)
        return _row(result, 0) if result.ntuples else None

    async def all(self, sql: str, *values: Any) -> list[Mapping[str, Any]]:
        """Execute a statement, and return its rows by column.

        Raises:
            psycopg.Error: it failed, or the connection is lost.
        """
        result = await self._execute(sql, values)
        names = [result.fname(column).decode() for column in range(result.nfields)]
        rows = (_row(result, number) for number in range(result.ntuples))
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def _execute(self, sql: str, values: Sequence[Any]) -> Any:
        given = [None if value is None else str(value).encode() for value in values]
        name = self._names.get(sql)
        if name is None:
            uses = self._uses[sql] = self._uses.get(sql, 0) + 1
            if not self._prepares or uses <= _UNPREPARED:
                return await self._ask(self._pgconn.send_query_params, _numbered(sql), given)
            name = f"enapter_{next(self._numbers)}".encode()
            await self._ask(self._pgconn.send_prepare, name, _numbered(sql))
            self._names[sql] = name
        return await self._ask(self._pgconn.send_query_prepared, name, given)

    async def _ask(self, send: Callable[..., None], *values: Any) -> Any:
        psycopg = driver()
        while self._answer is not None:  # of another caller, or of one that was cancelled
            await asyncio.wait({self._answer})
        send(*values)
        self._answer = answer = self._loop.create_future()
        self._attach()
        if self._pgconn.flush():
            self._loop.add_writer(self._socket, self._send)
        try:
            result = await answer
        except asyncio.CancelledError:
            if self._answer is answer:
                self._answer = self._loop.create_future()
            raise
        if isinstance(result, psycopg.Error):
            raise result
        if result.status in (_TUPLES_OK, _COMMAND_OK):
            return result
        error = psycopg.errors.error_from_result(result, "utf-8")
        if self._pgconn.status:  # the connection is lost, and this is libpq's own error
            raise psycopg.OperationalError(told(error))
        raise error

    def _send(self) -> None:
        try:
            if not self._pgconn.flush():
                self._loop.remove_writer(self._socket)
        except driver().Error as error:
            self._end(error)

    def _receive(self) -> None:
        if self._answer is None:  # it is a cursor's answer, or the server has closed the connection
            self._detach()
            return
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    self._end(self._result)
                    return
                self._result = result
        except driver().Error as error:
            self._end(error)

    def _end(self, result: Any) -> None:
        answer, self._answer, self._result = self._answer, None, None
        if answer is not None and not answer.done():
            answer.set_result(result)

    def _attach(self) -> None:
        if not self._attached:
            self._attached = True
            self._loop.add_reader(self._socket, self._receive)

    def _detach(self) -> None:
        self._attached = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)

    def close(self) -> None:
        """Execute nothing more; must be called before the connection is closed."""
        self._end(driver().OperationalError("the connection is closed"))
        self._detach()
        os.close(self._socket)


async def read_version(statements: Statements) -> int | None:
    """Return the version of the journals' tables, or None if there are none.

    Raises:
        psycopg.Error: it cannot be read.
    """
    try:
        found = await statements.one(f"SELECT version FROM {SCHEMA}.version")
    except driver().errors.UndefinedTable:
        return None
    return None if found is None else int(found[0])
