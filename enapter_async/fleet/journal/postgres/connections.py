"""Connections to PostgreSQL with time limits of their own, and errors that show no password.

No setting and no lock outlives a transaction, and statements are prepared only where no pooler is
in between. A pooler in transaction mode is therefore supported.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.postgres.address import Address

CONNECT_SECONDS: Final = 10
"""How long a reader waits for a connection to each host."""
SESSION_CONNECT_SECONDS: Final = 4
"""The same for a session, which may have to try the next host within its commit timeout."""
_UNPREPARED: Final = 2
"""How often a statement is executed before it is prepared."""
READ_SECONDS: Final = 30.0
"""The longest wait for one page of a reader."""

T = TypeVar("T")


def driver() -> Any:
    """Return psycopg.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - optional, and only needed for journals in PostgreSQL
    except ImportError as error:
        raise ConfigurationError(
            "a journal in PostgreSQL needs psycopg: install it with "
            f"`pip install 'enapter-async[postgres]'` ({error})"
        ) from None
    return psycopg


def _settings(application: str, connect_seconds: int = CONNECT_SECONDS) -> dict[str, Any]:
    return {
        "autocommit": True,
        "prepare_threshold": None,
        "connect_timeout": connect_seconds,
        "application_name": application,
        "client_encoding": "utf8",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": CONNECT_SECONDS * 1000,
    }


def connect(address: Address, *, application: str = "enapter-async") -> Any:
    """Open a blocking connection of psycopg.

    Raises:
        ConfigurationError: the address cannot be used, or psycopg is missing.
        JournalError: the server cannot be reached, or refuses the connection.
    """
    psycopg = driver()
    try:
        connection: Any = psycopg.connect(address.database, **_settings(application))
    except psycopg.Error as error:
        raise _refused(address, error) from None
    return connection


async def connect_async(
    address: Address, *, application: str = "enapter-async", prepares: bool = True
) -> Any:
    """Open an asynchronous psycopg connection; this may take as long as `connect_timeout`.

    If no pooler is in between and `prepares` is true, statements are prepared, which halves the
    server's work for a short one.

    Raises:
        ConfigurationError: the address cannot be used, or psycopg is missing.
        JournalError: the server cannot be reached, or refuses the connection.
    """
    psycopg = driver()
    try:
        connection: Any = await psycopg.AsyncConnection.connect(
            address.database, **_settings(application, SESSION_CONNECT_SECONDS)
        )
        if prepares:
            # A pooler sends its own number when the connection is opened.
            cursor = await connection.execute("SELECT pg_backend_pid()")
            if (await cursor.fetchone())[0] == connection.pgconn.backend_pid:
                connection.prepare_threshold = _UNPREPARED
    except psycopg.Error as error:
        raise _refused(address, error) from None
    return connection


def _refused(address: Address, error: Exception) -> ConfigurationError | JournalError:
    psycopg = driver()
    reason = told(error)
    if isinstance(error, psycopg.ProgrammingError):  # libpq cannot parse the address
        return ConfigurationError(f"{address.name} cannot be used: check its host and options")
    return JournalError(f"PostgreSQL at {address.name} cannot be reached: {reason}")


def told(error: BaseException) -> str:
    """Return a database error as one line."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def cut(connection: Any) -> None:
    """Break a connection whose server does not answer, so that what waits for it fails."""
    with contextlib.suppress(Exception):  # already closed
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        with copy:
            copy.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def reporting(what: str) -> Iterator[None]:
    """Raise an error of psycopg as a `JournalError`, which says `what` failed because of it."""
    try:
        yield
    except driver().Error as error:
        raise JournalError(f"{what}: {told(error)}") from None


@contextlib.contextmanager
def bounded(connection: Any) -> Iterator[None]:
    """Cut a blocking connection if a step takes too long."""
    timer = threading.Timer(READ_SECONDS, cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


async def within(
    connection: Any,
    seconds: float,
    step: Callable[[], Awaitable[T]],
    *,
    progress: Callable[[], object] = lambda: None,
) -> T:
    """Return the result of a step on a connection; cut the connection if this takes too long.

    A step of many parts may take `seconds` for each change of `progress`. psycopg itself would ask
    the server to cancel the statement, which a hung server does not do.

    Raises:
        TimeoutError: it took too long.
        psycopg.Error: the step failed.
    """
    watch = _Watch(connection, max(seconds, 0.0), progress)
    try:
        return await step()
    except driver().Error:
        if watch.late:
            raise TimeoutError(f"the server did not answer within {seconds:.1f} s") from None
        raise
    finally:
        watch.timer.cancel()


class _Watch:
    """Cuts a connection once there was no progress for some seconds."""

    __slots__ = ("_before", "_connection", "_progress", "_seconds", "late", "timer")

    def __init__(self, connection: Any, seconds: float, progress: Callable[[], object]) -> None:
        self._connection = connection
        self._seconds = seconds
        self._progress = progress
        self.late = False
        self._begin()

    def _begin(self) -> None:
        self._before = self._progress()
        self.timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    def _end(self) -> None:
        if self._progress() != self._before:
            self._begin()
        else:
            self.late = True
            cut(self._connection)
