"""The address of a run in PostgreSQL: `postgresql://user@host/database#NAME`."""

import re
from typing import Final, Self

import attrs

from enapter_async.errors import ConfigurationError

_SCHEMES: Final = ("postgresql://", "postgres://")
_NAME: Final = re.compile(r"[A-Za-z0-9._/-]{1,200}")
_PASSWORD: Final = re.compile(r"(?<=//)([^/?#@]*?):[^/?#]*@")
_SECRET: Final = re.compile(r"(?P<mark>[?&])(?:ssl)?password=[^&#]*&?", re.IGNORECASE)
_HOW: Final = "write it as postgresql://user@host/database#NAME"


def is_address(name: object) -> bool:
    """Return whether a journal's name is an address, and not a path."""
    return isinstance(name, str) and name.startswith(_SCHEMES)


def without_password(text: str) -> str:
    """Return an address without its passwords, which may be before the host or in the query."""
    if not is_address(text):
        return text
    bare = _PASSWORD.sub(lambda found: f"{found[1]}@" if found[1] else "", text, count=1)
    return _SECRET.sub(lambda found: found["mark"], bare).replace("?#", "#").rstrip("?&")


def _shown(text: str) -> str:
    return repr(without_password(text))


@attrs.frozen(kw_only=True)
class Address:
    """A database and the name of a run in it; no message or repr shows the password."""

    database: str = attrs.field(repr=_shown)
    run: str = ""

    @classmethod
    def parse(cls, text: str, *, with_run: bool = True) -> Self:
        """Parse an address; with `with_run`, it must name a run.

        Raises:
            ConfigurationError: it is malformed; the message shows no password.
        """
        database, _, run = text.partition("#")
        shown = without_password(text)
        if not is_address(text):
            raise ConfigurationError(f"{shown!r} is not an address of PostgreSQL: {_HOW}")
        if with_run and not run:
            raise ConfigurationError(f"{shown} does not name a run: {_HOW}")
        if run and not _NAME.fullmatch(run):
            raise ConfigurationError(
                f"{run!r} in {shown} cannot be a run's name: use up to 200 letters, digits, . _ / -"
            )
        return cls(database=database, run=run)

    @property
    def name(self) -> str:
        """The address as messages and files show it: without a password."""
        return without_password(f"{self.database}#{self.run}" if self.run else self.database)

    @property
    def server(self) -> str:
        """The database alone, as messages show it."""
        return without_password(self.database)
