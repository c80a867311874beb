"""The files of a fleet job in a backend: its journal, its settings and its intended state."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import attrs
from attrs.validators import instance_of

from enapter_async.api.accepted import WAIT
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.obstacles import MAX_PAUSE
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.private_files import written_whole
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT, AbortCriterion, check_criteria
from enapter_async.integrations.progress import Unknown, Wave
from enapter_async.text import quoted, shortened

Wanted = Literal["running", "stopped", "ended"]

_FILE: Final = "job.json"
_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z(?:-[0-9]{6,18})?-[0-9a-f]{4}")
_DAMAGES: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""The errors of reading a file written by another program or version."""


def _counts(told: Mapping[Any, int]) -> Mapping[State, int]:
    return dict.fromkeys(State, 0) | {State(state): int(told[state]) for state in told}


@attrs.frozen(kw_only=True)
class JobSettings:
    """How a job runs, including after a restart; the fields are those of `fleet.Run`.

    Its division into waves is stored in its journal.
    """

    concurrency: int = attrs.field(default=64, validator=instance_of(int))
    check: bool = attrs.field(default=False, validator=instance_of(bool))
    abort: tuple[AbortCriterion, ...] = attrs.field(default=DEFAULT_ABORT, converter=check_criteria)
    max_pause: float = attrs.field(default=MAX_PAUSE, validator=instance_of((int, float)))
    wait: float = attrs.field(default=WAIT, validator=instance_of((int, float)))

    def options(self, **others: Any) -> RunOptions:
        """Return the options of a `Run`, with others that are not stored."""
        return RunOptions(**attrs.asdict(self, recurse=False), **others)


@attrs.frozen(kw_only=True)
class Summary:
    """The summary of a job from its journal, up to its event `last_event`; see `Unknown`."""

    last_event: int = attrs.field(validator=instance_of(int))
    counts: Mapping[State, int] = attrs.field(converter=_counts)
    repeatable: int = attrs.field(default=0, validator=instance_of(int))
    open_ends: int = attrs.field(default=0, validator=instance_of(int))
    searchable: int = attrs.field(default=0, validator=instance_of(int))

    @property
    def unknown(self) -> Unknown:
        """The numbers of unknown operations."""
        return Unknown(self.repeatable, self.open_ends, self.searchable)


@attrs.frozen(kw_only=True)
class JobFile:
    """A backend's own file on a job besides its journal: settings and intended state.

    A job that is meant to be "running", but is run by no process, was cut short by a restart or a
    kill. `why` says why the job stopped, or is empty; `stopped_by` names the error that stopped it.
    `waves` are those of its last session, and `summary` is the job's state when that session ended.
    """

    settings: JobSettings = attrs.field(factory=JobSettings)
    wanted: Wanted = "running"
    why: str = ""
    stopped_by: str = ""
    waves: tuple[Wave, ...] = ()
    summary: Summary | None = None

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """Read the file; a job without one comes from the command line and counts as stopped.

        Raises:
            ConfigurationError: the file is damaged.
        """
        path = folder.path / _FILE
        try:
            return cls._from_json(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            return cls(wanted="stopped")
        except (OSError, *_DAMAGES) as error:
            raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}") from None

    @classmethod
    def _from_json(cls, told: Any) -> Self:
        settings = told.pop("settings")
        settings["abort"] = [AbortCriterion(**each) for each in settings["abort"]]
        waves = tuple(Wave(**each) for each in told.pop("waves"))
        summary = told.pop("summary", None)
        return cls(
            settings=JobSettings(**settings),
            waves=waves,
            summary=None if summary is None else Summary(**summary),
            **told,
        )

    def write(self, folder: RunFolder) -> None:
        """Write the file with mode 0600, atomically replacing an older one.

        Raises:
            ConfigurationError: it cannot be created.
            OSError: it could not be written; an older one is unchanged.
        """
        with written_whole(folder.path / _FILE) as file:
            json.dump(attrs.asdict(self), file)

    @staticmethod
    def remove(folder: RunFolder) -> None:
        """Remove the file; safe to repeat."""
        (folder.path / _FILE).unlink(missing_ok=True)


def find(folder: Path, job: str) -> RunFolder:
    """Find a job by its id, which need not be trusted: only a valid id is looked up.

    Raises:
        RunNotFoundError: there is no such job.
    """
    run = RunFolder(folder / job) if _ID.fullmatch(job) else None
    if run is None or not run.journal.is_file():
        raise RunNotFoundError(f"there is no job {quoted(shortened(job, 60))}")
    return run
