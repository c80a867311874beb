"""Reading a fleet job's status from its files, repeatedly and at little cost."""

import contextlib
import functools
import heapq
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.journal.sqlite.lock import is_held
from enapter_async.fleet.journal.stop_request import stop_request
from enapter_async.fleet.outcomes import Outcome
from enapter_async.fleet.reading import FINDABLE
from enapter_async.fleet.reporting.status import created_at
from enapter_async.integrations.answers import words_for
from enapter_async.integrations.job_files import JobFile, Summary
from enapter_async.integrations.progress import Unknown
from enapter_async.operation import Repeat

TROUBLES_TOLD: Final = 200
"""The maximum number of failed or unknown operations that are listed one by one."""


@attrs.frozen(kw_only=True)
class Look:
    """The contents of a job's files; `troubles` only if requested."""

    facts: Mapping[str, str]
    held_by_runner: bool
    stop_requested: bool
    file: JobFile
    summary: Summary
    troubles: tuple[Mapping[str, Any], ...] = ()

    @property
    def cut_short(self) -> bool:
        """Whether the job is meant to continue but no process is running it."""
        wanted = self.file.wanted == "running" and not self.stop_requested
        return wanted and not self.held_by_runner


class JobReader:
    """Reads one job: its whole journal once, and after that only newly written parts.

    For a job that no process is running, only the result is kept, not the state of each
    operation. Safe to use from several threads.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._replay: Replay | None = None
        self._last: Look | None = None
        self._inode = 0

    def look(self, *, troubles: bool = True) -> Look:
        """Return the job's status, even while a process runs the job; blocks, but changes nothing.

        Without `troubles`, the file left by its last session is sufficient if nothing has been
        written since.

        Raises:
            RunRefusedError: it is not a journal, or has a different version.
            ConfigurationError: the job's file is damaged.
        """
        path = self._folder.journal
        with self._lock, contextlib.closing(read_journal(path)) as journal:
            # Checked first, so a job that ends during this read is reported as running, and read
            # again.
            held = is_held(path)
            file = JobFile.read(self._folder)
            seen = functools.partial(
                Look,
                facts=journal.facts(),
                held_by_runner=held,
                stop_requested=stop_request(self._folder) is not None,
                file=file,
            )
            known, last_event = self._known(held=held), journal.last_event()
            if known is not None and known.summary.last_event == last_event:
                return seen(summary=known.summary, troubles=known.troubles)
            left = None if troubles or held else file.summary
            if left is not None and left.last_event == last_event:
                return seen(summary=left)
            replay = self._replay or Replay(journal)
            replay.read_on(journal)
            unknown = Unknown() if held else unknown_in(journal, replay)
            summary = Summary(last_event=last_event, counts=replay.counts(), **unknown._asdict())
            found = tuple(troubles_in(journal, replay, running=held))
            self._last = seen(summary=summary, troubles=found)
            self._replay = replay if held else None
            return self._last

    def _known(self, *, held: bool) -> Look | None:
        inode = self._folder.journal.stat().st_ino
        if inode != self._inode:
            self._inode, self._last, self._replay = inode, None, None
        return None if self._last is None or self._last.held_by_runner != held else self._last


def begun_at(folder: RunFolder) -> str | None:
    """Return when a job was started, in UTC (RFC 3339)."""
    with contextlib.closing(read_journal(folder.journal)) as journal:
        return created_at(journal.facts())


def unknown_in(journal: Journal, replay: Replay) -> Unknown:
    """Return how many items of a journal are unknown."""
    repeatable = open_ends = searchable = 0
    for seq in replay.with_mark(Mark.UNKNOWN, Mark.INTENDED):
        item = journal.item(seq)
        if item is not None and item.operation.repeat is not Repeat.ONCE:
            repeatable += 1
        elif seq not in replay.acknowledged:
            open_ends += 1
            searchable += item is not None and item.operation.settles in FINDABLE
    return Unknown(repeatable, open_ends, searchable)


def troubles_in(journal: Journal, replay: Replay, *, running: bool) -> Iterator[Mapping[str, Any]]:
    """Yield the failed and unknown operations, in the order in which they ended."""
    open_ends = set() if running else {Mark.INTENDED, Mark.PENDING}
    bad = {Mark.DIFFERS, Mark.FAILED, Mark.UNKNOWN} | open_ends
    seqs = (seq for seq in {*replay.last_event, *replay.intents} if Mark(replay.marks[seq]) in bad)
    for seq in heapq.nsmallest(
        TROUBLES_TOLD, seqs, key=lambda seq: (replay.last_event.get(seq, math.inf), seq)
    ):
        item = journal.item(seq)
        if item is not None:
            yield trouble(replay.outcome(journal, item))


def trouble(outcome: Outcome[Any]) -> Mapping[str, Any]:
    """Return the outcome of a failed or unknown operation, as JSON without upstream text."""
    error = outcome.error
    target = outcome.operation.target()
    return {
        "operation": outcome.operation.kind,
        f"{target.word}_id": target.name,
        "state": str(outcome.state),
        "error": getattr(error, "error_type", None) or (error and type(error).__name__),
        "status": getattr(error, "status", None),
        "message": "" if error is None else words_for(error),
    }
