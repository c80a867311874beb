"""Reads the journals of a job's partitions as one journal.

The rows are copied into a scratch file: items in the order of the partitions, events in the order
of their times. Everything that reads a journal (status, report, results, undo) then works on the
whole job.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs

from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.journal.job_database import (
    JOB_FILE,
    STOP,
    Row,
    SQLiteJobs,
    facts_in,
    partition_file,
)
from enapter_async.fleet.journal.lease import HoldTerms
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import WAVE_BEGUN, WAVE_PASSED
from enapter_async.fleet.journal.sqlite.journal import DIALECT, SQLiteJournal
from enapter_async.fleet.journal.sqlite.schema import (
    ADD_EVENT,
    ADD_FACT,
    ADD_ITEM,
    scratch_journal,
)

NOTE: Final = "note"
"""The kind of an event that is a note about the whole job."""

_SAME_MS: Final = 20
"""How many bits of an event's id distinguish events of the same millisecond."""
_OF_PARTITIONS: Final = frozenset({"begin", "end", "pace", WAVE_BEGUN, WAVE_PASSED})
"""Notes of a partition's sessions that do not concern the job."""


ReadPartition = Callable[[int], AbstractContextManager[Journal]]
"""Opens the journal of a partition by its number."""


def merged(
    name: str,
    job: Row,
    parts: Sequence[Row],
    notes: Sequence[Row],
    read: ReadPartition,
) -> Journal:
    """Return a journal of the whole job; `read` opens the journal of a partition."""
    with scratch_journal() as scratch:
        scratch.executemany(ADD_FACT, _facts(job, parts).items())
        counter = 0
        for part in parts:
            with read(part["no"]) as journal:
                scratch.executemany(ADD_ITEM, _items(journal, part["first"]))
                events = list(_events(journal, part["first"], counter))
            counter += len(events)
            scratch.executemany(ADD_EVENT, events)
        scratch.executemany(ADD_EVENT, _notes(notes, counter))
    return Journal(name, scratch, DIALECT)


def _facts(job: Row, parts: Sequence[Row]) -> dict[str, str]:
    facts = facts_in(job)
    found = {name: str(value) for name, value in facts["run"].items()}
    found["count"] = str(sum(part["size"] for part in parts))
    if facts.get("rollout") is not None:
        found["rollout"] = facts["rollout"]
    return found


def _items(journal: Journal, first: int) -> Iterator[tuple[Any, ...]]:
    for row in journal.item_rows():
        seq, *rest, follows, unchanged = row
        yield (first + seq, *rest, None if follows is None else first + follows, unchanged)


def _events(journal: Journal, first: int, counter: int) -> Iterator[tuple[Any, ...]]:
    latest = 0
    for row in journal.event_rows():
        _, seq, step, kind, attempt, at_ms, *rest = row
        if seq is None and kind in _OF_PARTITIONS:
            continue
        # Within a partition the order is certain; between partitions it depends on clocks.
        latest = max(latest, at_ms)
        counter += 1
        where = None if seq is None else first + seq
        yield (_event_id(latest, counter), where, step, kind, attempt, at_ms, *rest)


def _notes(notes: Sequence[Row], counter: int) -> Iterator[tuple[Any, ...]]:
    for number, note in enumerate(notes, start=counter + 1):
        at_ms = int(note["at"] * 1000)
        detail = json.dumps({"what": note["what"], "who": note["who"]})
        nothing = (None,) * 4
        yield (_event_id(at_ms, number), None, 0, NOTE, None, at_ms, *nothing, detail)


def _event_id(at_ms: int, number: int) -> int:
    return (at_ms << _SAME_MS) | (number & ((1 << _SAME_MS) - 1))


@attrs.frozen
class FolderStore:
    """A job in a folder, read as one journal. Only its partitions can be held."""

    path: Path

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.path)

    def exists(self) -> bool:
        """Return whether there is a job."""
        return (self.path / JOB_FILE).is_file()

    def is_held(self) -> bool:
        """Return whether a worker is executing a partition."""
        rows = self._rows("SELECT count(*) AS number FROM {p}part WHERE owned_until >= {now}")
        return bool(rows[0]["number"])

    def read(self) -> Journal:
        """Copy the journals of all partitions into one, for reading."""
        [job] = self._rows("SELECT * FROM {p}job")
        parts = self._rows("SELECT * FROM {p}part ORDER BY no")
        notes = self._rows("SELECT * FROM {p}note ORDER BY at")
        with self.partitions() as read:
            return merged(self.name, job, parts, notes, read)

    @contextlib.contextmanager
    def partitions(self) -> Iterator[ReadPartition]:
        """Let the journals of partitions be read."""
        yield lambda no: contextlib.closing(SQLiteJournal.read(partition_file(self.path, no)))

    def request_stop(self, reason: str) -> None:
        """Ask all workers to start nothing more."""
        self._rows(STOP, why=reason, job="")

    async def hold(self, terms: HoldTerms = HoldTerms()) -> NoReturn:
        """Refuse to hold the whole job.

        Raises:
            RunRefusedError: always.
        """
        raise RunRefusedError(
            f"{self.path} is a job for several workers: start a fleet.Worker, or "
            "`enapter-async fleet worker`, to carry it out"
        )

    def _rows(self, sql: str, **values: Any) -> list[Row]:
        jobs = SQLiteJobs.open(self.path / JOB_FILE)
        try:
            return jobs.execute_now(sql, **values)
        finally:
            jobs.close_now()
