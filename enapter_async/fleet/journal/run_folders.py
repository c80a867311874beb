"""The folders of runs, in which each has its journal, credentials and results."""

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.private_files import sync_directory
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

        The number is higher than that of every run started earlier in `runs`, by any process,
        which makes the order of runs independent of the clock.

        Raises:
            ConfigurationError: the folder cannot be created.
        """
        time = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            for _ in range(_TRIES):
                number = 1 + _highest(runs)
                # Only the process that created this folder may use the number.
                claim = runs / f".{number:06d}"
                try:
                    claim.mkdir(mode=0o700)
                except FileExistsError:
                    continue
                path = runs / f"{time}-{number:06d}-{secrets.token_hex(2)}"
                if _highest(runs, but=claim.name) >= number:
                    claim.rmdir()  # the number was taken, and its folder renamed, before the claim
                    continue
                # The umask may have removed bits from the requested mode.
                claim.chmod(0o700)
                made = cls(claim.rename(path))
                for folder in (runs, runs.parent):
                    sync_directory(folder)
                return made
        except OSError as error:
            raise ConfigurationError(f"{runs} cannot store a run: {error.strerror}") from None
        raise ConfigurationError(f"{runs} cannot store a run: too many are started at once")

    @property
    def id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The path of its journal."""
        return self.path / _JOURNAL

    @property
    def credentials(self) -> Path:
        """Default path for the configurations the run generates."""
        return self.path / "credentials.jsonl"

    def age(self, now: float) -> float:
        """Return the seconds since its journal was last written to."""
        return now - self.journal.stat().st_mtime

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.path)

    def discard_if_unused(self) -> None:
        """Remove the folder of a run that never started; safe to repeat."""
        if not self.journal.exists():
            Path(f"{self.journal}.lock").unlink(missing_ok=True)
            if self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()


def runs_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of all runs: `$ENAPTER_STATE_DIR/runs`, else in the user's state folder.

    Raises:
        NoHomeError: the user has no home folder.
    """
    environ = os.environ if environ is None else environ
    if given := environ.get(STATE_VARIABLE):
        return expanded(given) / "runs"
    try:
        return user_folder("state", environ, sys.platform) / "runs"
    except NoHomeError:
        raise NoHomeError(
            f"there is no folder for runs: set {STATE_VARIABLE} or HOME, because the system has no "
            f"entry for this user"
        ) from None


def _highest(runs: Path, *, but: str = "") -> int:
    return max((_number(each.name) for each in runs.iterdir() if each.name != but), default=0)


def _number(name: str) -> int:
    """Return the number in the name of a run or a claim; 0 for runs of older versions."""
    found = _NUMBERED.fullmatch(name)
    return 0 if found is None else int(found[1])


def all_runs(runs: Path) -> Iterator[RunFolder]:
    """Yield the runs, oldest first: those of older versions, then the others by number."""
    if runs.is_dir():
        for path in sorted(runs.iterdir(), key=lambda path: (_number(path.name), path.name)):
            if (path / _JOURNAL).is_file():
                yield RunFolder(path)


def find_run(text: str, runs: Path) -> RunFolder:
    """Find a run by its id, a unique prefix of an id, a path (folder or journal), or `last`.

    Raises:
        RunNotFoundError: no run matches, or more than one does.
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
