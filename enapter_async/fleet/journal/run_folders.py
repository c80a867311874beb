"""Folders of runs, and the lock that lets one runner at a time work on a run."""

import contextlib
import os
import re
import secrets
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import RunBusyError, RunNotFoundError
from enapter_async.fleet.journal.schema import connect
from enapter_async.fleet.private_files import check_private, open_private, sync_directory
from enapter_async.folders import NoHomeError, expanded, user_folder

STATE_VARIABLE: Final = "ENAPTER_STATE_DIR"
LAST: Final = "last"

_JOURNAL: Final = "journal.db"
_TRIES: Final = 1000
_NUMBERED: Final = re.compile(r"(?:[0-9]{8}T[0-9]{6}Z-|\.)([0-9]{6,18})(?:-[0-9a-f]{4})?")


@attrs.frozen
class RunFolder:
    """The folder of one run: its journal, credentials and results."""

    path: Path

    @classmethod
    def create(cls, runs: Path, *, now: float) -> Self:
        """Make a folder of mode 0700, `<UTC time>-<number>-<4 hex>`; `now` is seconds since 1970.

        The number is higher than that of every run begun before it in `runs`, by this process
        or another one, so that the order of runs depends on no clock.

        Raises:
            ConfigurationError: it cannot be made.
        """
        time = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            for _ in range(_TRIES):
                number = 1 + _highest(runs)
                # Who has made this folder is the only one that may take the number now.
                claim = runs / f".{number:06d}"
                try:
                    claim.mkdir(mode=0o700)
                except FileExistsError:
                    continue
                path = runs / f"{time}-{number:06d}-{secrets.token_hex(2)}"
                if _highest(runs, but=claim.name) >= number:
                    claim.rmdir()  # it was taken, and given its name, before the claim
                    continue
                # The umask may have taken more away than was asked for, and never less.
                claim.chmod(0o700)
                made = cls(claim.rename(path))
                for folder in (runs, runs.parent):
                    sync_directory(folder)
                return made
        except OSError as error:
            raise ConfigurationError(f"{runs} cannot hold a run: {error.strerror}") from None
        raise ConfigurationError(f"{runs} cannot hold a run: too many are begun at once")

    @property
    def id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """Where its journal is."""
        return self.path / _JOURNAL

    @property
    def credentials(self) -> Path:
        """Where configurations that it generates go, unless it was told otherwise."""
        return self.path / "credentials.jsonl"

    def results(self, form: str) -> Path:
        """Where its results are; `form` is "csv" or "jsonl"."""
        return self.path / f"results.{form}"

    def discard_if_unused(self) -> None:
        """Remove the folder of a run that never began; safe to repeat."""
        if not self.journal.exists():
            for name in (f"{_JOURNAL}.lock",):
                (self.path / name).unlink(missing_ok=True)
            if self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()


def runs_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of all runs: `$ENAPTER_STATE_DIR/runs`, else in the user's state folder.

    Raises:
        NoHomeError: there is none.
    """
    environ = os.environ if environ is None else environ
    if given := environ.get(STATE_VARIABLE):
        return expanded(given) / "runs"
    try:
        return user_folder("state", environ, sys.platform) / "runs"
    except NoHomeError:
        raise NoHomeError(
            f"there is no folder for runs: set {STATE_VARIABLE} or HOME, for the system does not "
            "know this user"
        ) from None


def _highest(runs: Path, *, but: str = "") -> int:
    return max((_number(each.name) for each in runs.iterdir() if each.name != but), default=0)


def _number(name: str) -> int:
    """Return the number in the name of a run, or of a claim; 0 in one of an older version."""
    found = _NUMBERED.fullmatch(name)
    return 0 if found is None else int(found[1])


def all_runs(runs: Path) -> Iterator[RunFolder]:
    """Yield the runs, oldest first: by their numbers, before them those of older versions."""
    if runs.is_dir():
        for path in sorted(runs.iterdir(), key=lambda path: (_number(path.name), path.name)):
            if (path / _JOURNAL).is_file():
                yield RunFolder(path)


def find_run(text: str, runs: Path) -> RunFolder:
    """Find a run by its id, a prefix of only one id, a path (folder or journal), or `last`.

    Raises:
        RunNotFoundError: there is none, or more than one.
    """
    known = list(all_runs(runs))
    if text == LAST:
        if not known:
            raise RunNotFoundError(f"there is no run in {runs}")
        return known[-1]
    given = Path(text)
    if (given / _JOURNAL).is_file():
        return RunFolder(given.absolute())
    if given.name == _JOURNAL and given.is_file():
        return RunFolder(given.absolute().parent)
    found = [run for run in known if run.id == text] or [
        run for run in known if text and run.id.startswith(text)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RunNotFoundError(f"there is no run {text!r} in {runs}; `fleet runs` lists them")
    raise RunNotFoundError(
        f"{text!r} may be any of {len(found)} runs: {', '.join(run.id for run in found[:5])}"
    )


class RunLock:
    """Holds `<journal>.lock` by SQLite's BEGIN EXCLUSIVE: free again after SIGKILL, too."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def take(cls, journal: Path) -> Self:
        """Take the lock of a journal.

        Raises:
            RunBusyError: another runner holds it.
            ConfigurationError: the lock's file cannot be used.
        """
        path = Path(f"{journal}.lock")
        try:
            # Never opened by ourselves when it is there: closing it would free the lock that
            # another run of this process holds, as POSIX locks have it.
            check_private(path)
        except FileNotFoundError:
            # Somebody else may have made it meanwhile; SQLite then decides who holds it.
            with contextlib.suppress(ConfigurationError):
                os.close(open_private(path))
        connection = connect(path, timeout=0, check_same_thread=False)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            if "locked" in str(error):
                raise RunBusyError(f"another runner is at work on {journal}") from None
            raise ConfigurationError(f"{path} cannot be used as a lock: {error}") from None
        except sqlite3.DatabaseError as error:
            connection.close()
            raise ConfigurationError(f"{path} cannot be used as a lock: {error}") from None
        return cls(path, connection)

    def release(self) -> None:
        """Release the lock; safe to repeat."""
        self._connection.close()


def is_held(journal: Path) -> bool:
    """Say whether a runner is at work on a journal; changes nothing."""
    path = Path(f"{journal}.lock")
    if not path.is_file():
        return False
    connection = connect(path, how="mode=ro", timeout=0)
    with contextlib.closing(connection):
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            return "locked" in str(error)
        except sqlite3.DatabaseError:
            return False
    return False
