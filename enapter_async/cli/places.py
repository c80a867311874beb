"""Finds the run that a command names: in a folder of this machine, or in PostgreSQL."""

import hashlib
import shlex
from pathlib import Path

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.journal.postgres.address import Address, is_address
from enapter_async.fleet.journal.run_folders import RunFolder, find_run, runs_directory


@attrs.frozen
class AddressedRun:
    """A run in PostgreSQL, and the folder of this machine for its results and credentials."""

    journal: str = attrs.field(repr=False)
    """The address as given, possibly with a password."""
    path: Path

    @property
    def id(self) -> str:
        """The address without a password, quoted for a shell."""
        return shlex.quote(Address.parse(self.journal).name)

    def make_folder(self) -> None:
        """Make the folder, of mode 0700; safe to repeat.

        Raises:
            ConfigurationError: it cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be created: {error.strerror}") from None


Place = RunFolder | AddressedRun


def find_place(text: str) -> Place:
    """Find a run by its id, a unique prefix of an id, a path, `last`, or an address in PostgreSQL.

    Raises:
        RunNotFoundError: no run of this machine matches, or more than one does.
        ConfigurationError: the address is malformed.
    """
    if not is_address(text):
        return find_run(text, runs_directory())
    name = Address.parse(text).name
    mark = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    run = name.rpartition("#")[2].replace("/", "_")
    return AddressedRun(text, runs_directory().parent / "addressed" / f"{run}-{mark}")
