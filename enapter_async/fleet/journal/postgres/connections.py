"""Connections to PostgreSQL that end a wait themselves, and errors that show no password.

Nothing depends on a session of the server: no prepared statement, no setting, no lock outlives a
transaction. So a pooler that lends connections by the transaction may stand in between.
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


def _settings(application: str) -> dict[str, Any]:
    return {
        "autocommit": True,
        "prepare_threshold": None,
        "connect_timeout": CONNECT_SECONDS,
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
        JournalError: the server cannot be reached, or refuses.
    """
    psycopg = driver()
    try:
        connection: Any = psycopg.connect(address.database, **_settings(application))
    except psycopg.Error as error:
        raise _refused(address, error) from None
    return connection


async def connect_async(address: Address, *, application: str = "enapter-async") -> Any:
    """Open a connection of psycopg for an event loop; it may wait for as long as `connect_timeout`.

    Raises:
        ConfigurationError: the address cannot be used, or psycopg is missing.
        JournalError: the server cannot be reached, or refuses.
    """
    psycopg = driver()
    try:
        connection: Any = await psycopg.AsyncConnection.connect(
            address.database, **_settings(application)
        )
    except psycopg.Error as error:
        raise _refused(address, error) from None
    return connection


def _refused(address: Address, error: Exception) -> ConfigurationError | JournalError:
    psycopg = driver()
    reason = told(error)
    if isinstance(error, psycopg.ProgrammingError):  # libpq cannot parse the address
        return ConfigurationError(f"{address.name} cannot be used: look at its host and options")
    return JournalError(f"PostgreSQL at {address.name} cannot be reached: {reason}")


def told(error: BaseException) -> str:
    """Return a database error as one line."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def cut(connection: Any) -> None:
    """End a connection's wait for a server that does not answer: it then fails as if cut off."""
    with contextlib.suppress(Exception):  # it is closed already
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        with copy:
            copy.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def bounded(connection: Any, seconds: float = READ_SECONDS) -> Iterator[None]:
    """Cut a blocking connection if a step takes too long."""
    timer = threading.Timer(seconds, cut, (connection,))
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
    """Return what a step on a connection yields; cut the connection if it takes too long.

    A step of many parts may take `seconds` for each change of `progress`. psycopg by itself would
    ask the server to cancel the statement, and a hung one does not answer.

    Raises:
        TimeoutError: it took too long.
        psycopg.Error: the step failed.
    """
    task = asyncio.ensure_future(step())
    try:
        before = None
        while not task.done() and (before is None or before != progress()):
            before = progress()
            await asyncio.wait({task}, timeout=max(seconds, 0.0))
            if before is None:
                break
        if task.done():
            return task.result()
    except asyncio.CancelledError:
        await _end(task, connection)
        raise
    await _end(task, connection)
    raise TimeoutError(f"the server did not answer within {seconds:.1f} s")


async def _end(task: "asyncio.Future[Any]", connection: Any) -> None:
    cut(connection)
    await asyncio.wait({task}, timeout=1.0)
    task.cancel()
    task.add_done_callback(_heard)


def _heard(task: "asyncio.Future[Any]") -> None:
    """Take the error of a step that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
