"""What is on disk of a fleet job in a backend: its journal, and what is wanted of it."""

import contextlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Self

import attrs
from attrs.validators import instance_of

from enapter_async.converter import operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.journal.records import earlier_outcome
from enapter_async.fleet.journal.replay import STATE_OF_MARK, Mark, Replay
from enapter_async.fleet.journal.run_folders import RunFolder, is_held
from enapter_async.fleet.journal.store import Journal
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.pacing.controller import MAX_PAUSE
from enapter_async.fleet.private_files import written_whole
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT, AbortCriterion, check_criteria
from enapter_async.integrations.answers import words_for
from enapter_async.integrations.progress import Wave

TROUBLES_TOLD: Final = 200
"""So many operations that failed or are unknown are told one by one."""

Wanted = Literal["running", "stopped", "ended"]

_FILE: Final = "job.json"
_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z(?:-[0-9]{6,18})?-[0-9a-f]{4}")
_DAMAGES: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading a file that nobody here wrote, or another version did, may end in."""
_TROUBLES: Final = (Mark.FAILED, Mark.UNKNOWN, Mark.INTENDED)


@attrs.frozen(kw_only=True)
class JobSettings:
    """How a job runs, also when it goes on after a restart; the fields are those of `fleet.Run`.

    How it is cut into waves is kept in its journal.
    """

    concurrency: int = attrs.field(default=64, validator=instance_of(int))
    check: bool = attrs.field(default=False, validator=instance_of(bool))
    abort: tuple[AbortCriterion, ...] = attrs.field(default=DEFAULT_ABORT, converter=check_criteria)
    max_pause: float = attrs.field(default=MAX_PAUSE, validator=instance_of((int, float)))


@attrs.frozen(kw_only=True)
class JobFile:
    """What a backend keeps of a job beside its journal: its settings, and what is wanted of it.

    A job that is wanted "running" and that nobody is at work on was cut short by a restart or
    a kill. `why` says in words what stopped it, and is empty where nothing did. `waves` are
    those of its last session, as they were when it ended.
    """

    settings: JobSettings = attrs.field(factory=JobSettings)
    wanted: Wanted = "running"
    why: str = ""
    waves: tuple[Wave, ...] = ()

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """Read it; a job without such a file is one of the command line's, and wanted stopped.

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
        return cls(settings=JobSettings(**settings), waves=waves, **told)

    def write(self, folder: RunFolder) -> None:
        """Write it with mode 0600, over an older one, all or nothing.

        Raises:
            ConfigurationError: it cannot be made.
            OSError: it could not be written; an older one is as it was.
        """
        with written_whole(folder.path / _FILE) as file:
            json.dump(attrs.asdict(self), file)

    @staticmethod
    def remove(folder: RunFolder) -> None:
        """Remove it; safe to repeat."""
        (folder.path / _FILE).unlink(missing_ok=True)


@attrs.frozen(kw_only=True)
class Look:
    """What the files of a job say of it."""

    facts: Mapping[str, str]
    counts: Mapping[State, int]
    held_by_runner: bool
    file: JobFile
    troubles: tuple[Mapping[str, Any], ...] = ()

    @property
    def created_at(self) -> str | None:
        """When it was begun, in UTC (RFC 3339)."""
        return _created_at(self.facts)


def created_at(folder: RunFolder) -> str | None:
    """Read when a job was begun, in UTC (RFC 3339)."""
    with contextlib.closing(Journal.read(folder.journal)) as journal:
        return _created_at(journal.facts())


def _created_at(facts: Mapping[str, str]) -> str | None:
    created = facts.get("created_ms")
    if created is None:
        return None
    return datetime.fromtimestamp(int(created) / 1000, UTC).isoformat(timespec="seconds")


def find(folder: Path, job: str) -> RunFolder:
    """Find a job by its id, which may come from anywhere: nothing but an id finds anything.

    Raises:
        RunNotFoundError: there is no such job.
    """
    run = RunFolder(folder / job) if _ID.fullmatch(job) else None
    if run is None or not run.journal.is_file():
        raise RunNotFoundError("there is no such job")
    return run


def look(folder: RunFolder) -> Look:
    """Read how a job stands, also while somebody is at work on it; blocks, and changes nothing.

    Raises:
        RunRefusedError: it is no journal, or one of another version.
    """
    with contextlib.closing(Journal.read(folder.journal)) as journal:
        # Asked first: what ends meanwhile is then told as going on, and looked at again.
        held = is_held(folder.journal)
        standing = Replay(journal)
        return Look(
            facts=journal.facts(),
            counts=standing.counts(),
            held_by_runner=held,
            file=JobFile.read(folder),
            troubles=tuple(_troubles(journal, standing, running=held)),
        )


def _troubles(journal: Journal, standing: Replay, *, running: bool) -> list[Mapping[str, Any]]:
    marks = _TROUBLES[:2] if running else _TROUBLES
    found = []
    for seq in standing.with_mark(*marks)[:TROUBLES_TOLD]:
        work = journal.item(seq)
        if work is not None:
            number = standing.last_event.get(seq)
            event = None if number is None else journal.event(number)
            state = STATE_OF_MARK[Mark(standing.marks[seq])]
            found.append(trouble(earlier_outcome(work, state, event)))
    return found


def trouble(outcome: Outcome[Any]) -> Mapping[str, Any]:
    """Write an outcome that was not done as plain JSON: no result, no text of the upstream's."""
    error = outcome.error
    fields = operation_to_json(outcome.operation)
    return {
        "operation": fields["operation"],
        "device_id": outcome.operation.subject(),
        "state": str(outcome.state),
        "error": getattr(error, "error_type", None) or (error and type(error).__name__),
        "status": getattr(error, "status", None),
        "message": "" if error is None else words_for(error),
    }
