"""Resolves a journal's name to its store: a file, or a run in PostgreSQL."""

import contextlib
import os
from pathlib import Path

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.merged import FolderStore
from enapter_async.fleet.journal.postgres.address import Address, is_address
from enapter_async.fleet.journal.postgres.connections import connect, driver, told
from enapter_async.fleet.journal.postgres.hold import PostgresHold
from enapter_async.fleet.journal.postgres.schema import prepare
from enapter_async.fleet.journal.postgres.store import PostgresStore
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.sqlite.store import SQLiteHold, SQLiteStore

JournalName = str | os.PathLike[str]
"""A path, or the address of a run in PostgreSQL."""
Store = SQLiteStore | PostgresStore | FolderStore
"""The place of the journal of one run, or of a job; its methods except `hold` block."""
Hold = SQLiteHold | PostgresHold
"""A journal held by one session: no other one can write to it until it is released.

`journal` reads what earlier sessions wrote, and never blocks on a network. `failed_over` means that
the last intents of earlier sessions may be lost; the session that has handled this clears it.
`lease` is set if the hold can pass to another session.
"""


def store_of(name: JournalName) -> Store:
    """Return the store of a journal.

    Raises:
        ConfigurationError: the name is not a valid address.
    """
    text = os.fspath(name)
    if is_address(text):
        return PostgresStore(Address.parse(text))
    if text.startswith(("postgresql:/", "postgres:/")):
        raise ConfigurationError(
            "an address of PostgreSQL begins with postgresql://; pass it as text, since a `Path` "
            "drops one slash"
        )
    job = FolderStore(Path(text))
    return job if job.exists() else SQLiteStore(job.path)


def read_journal(name: JournalName) -> Journal:
    """Open a journal for reading only, even while a run writes to it. Blocking.

    Raises:
        RunRefusedError: there is none, or it has a different version.
        ConfigurationError: the name is not a valid address.
    """
    return store_of(name).read()


def request_stop(journal: JournalName, reason: str = "another process requested it") -> None:
    """Ask the session that works on a run to start nothing more, wherever it is. Blocking.

    Operations in flight finish, and the rest is held, with `reason`. A run in PostgreSQL may be
    stopped from any machine; one in a file, from its machine, if the command line or a web backend
    works on it. Safe to repeat.

    Raises:
        RunRefusedError: there is no such run.
        ConfigurationError: no session watches for a request to stop it.
    """
    store_of(journal).request_stop(reason)


def prepare_journals(address: str) -> bool:
    """Create the tables for journals in a PostgreSQL database, or update those of older releases.

    Return whether anything was changed. `address` may name a run, which is ignored. Blocking; safe
    to repeat.

    Raises:
        ConfigurationError: the address cannot be used, or psycopg is missing.
        RunRefusedError: a newer release prepared the database, or sessions still use the older
            tables.
        JournalError: the server cannot be reached, or refuses the connection.
    """
    where = Address.parse(address, with_run=False)
    connection = connect(where)
    with contextlib.closing(connection):
        try:
            return prepare(connection)
        except driver().Error as error:
            raise JournalError(
                f"{where.server} cannot hold journals: {told(error)}; the user must be allowed to "
                "create a schema"
            ) from None
