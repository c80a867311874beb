"""What a journal's name means: a file, or a run in PostgreSQL."""

import os
from pathlib import Path

from enapter_async.fleet.journal.merged import FolderStore, is_job_folder
from enapter_async.fleet.journal.postgres.address import Address, is_address
from enapter_async.fleet.journal.postgres.jobs import JobOrRunStore
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.sqlite.store import SQLiteStore
from enapter_async.fleet.journal.store import Store

JournalName = str | os.PathLike[str]
"""A path, or the address of a run in PostgreSQL."""


def store_of(name: JournalName) -> Store:
    """Return the store of a journal.

    Raises:
        ConfigurationError: the name is not a valid address.
    """
    text = os.fspath(name)
    if is_address(text):
        return JobOrRunStore(Address.parse(text))
    path = Path(text)
    return FolderStore(path) if is_job_folder(path) else SQLiteStore(path)


def read_journal(name: JournalName) -> Journal:
    """Open a journal for reading only, even while a run writes to it. Blocking.

    Raises:
        RunRefusedError: there is none, or it has a different version.
        ConfigurationError: the name is not a valid address.
    """
    return store_of(name).read()
