"""Reads a run's status from its journal alone, and lists the possible next steps."""

import contextlib
import heapq
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import attrs

from enapter_async.fleet.credentials import count_in
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.names import store_of
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import (
    WAVE_BEGUN,
    WAVE_NOT_PASSED,
    WAVE_PASSED,
    Event,
    earlier_outcome,
)
from enapter_async.fleet.journal.replay import STATE_OF_MARK, Mark, Replay
from enapter_async.fleet.journal.resume import credentials_elsewhere, credentials_here
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.pace_notes import PACE, pace_in
from enapter_async.fleet.reading import FINDABLE
from enapter_async.limits.pace import Pace
from enapter_async.operation import Repeat, Target

_CREATED: Final = "created_ms"
_WAVES: Final = frozenset({WAVE_BEGUN, WAVE_PASSED, WAVE_NOT_PASSED})
_BAD: Final = (Mark.DIFFERS, Mark.PENDING, Mark.FAILED, Mark.UNKNOWN)


@attrs.frozen(kw_only=True)
class RunStatus:
    """The status of a run.

    `counts` are the operations by state. While a runner is active (`running`), `in_flight` counts
    the operations that it is about to send or has sent, and `waiting` those that it has not
    started; neither counts as unknown or held. Of the unknown ones, `repeatable` are sent again
    when the run is resumed, `open_ends` may be done only once (for example, a new configuration)
    and still need a decision, and `acknowledged` have been decided. Of `open_ends`, `searchable`
    may have created objects that a search can find. `intents` counts the operations that were about
    to be sent, in all sessions. `wave` is the last wave that was started and `waves` their number,
    counted from 1; 0 if no wave was started, or their number is not known yet. `wave_not_passed` is
    the number of the wave that did not pass its check; `stuck` means that failures in it, or in a
    wave not checked yet, keep the next wave from starting. `kept` results are in the file
    `credentials`; a run in PostgreSQL may have more in the files `credentials_elsewhere`
    (`host:path`). `pace` is what the active runner's limiter last allowed; None if nothing limited
    it.
    """

    facts: Mapping[str, str]
    counts: Mapping[State, int]
    running: bool
    in_flight: int = 0
    waiting: int = 0
    repeatable: int = 0
    open_ends: int = 0
    searchable: int = 0
    acknowledged: int = 0
    intents: int = 0
    wave: int = 0
    waves: int = 0
    wave_not_passed: int | None = None
    stuck: bool = False
    credentials: str | None = None
    credentials_elsewhere: tuple[str, ...] = ()
    kept: int = 0
    pace: Pace | None = None

    @classmethod
    def read(cls, journal: str | os.PathLike[str]) -> "RunStatus":
        """Read the status of a journal's run, even while it is in progress, without changing it.

        Raises:
            RunRefusedError: the file is not a journal, has a different version, or is damaged.
        """
        return StatusReader(journal).read()

    @property
    def total(self) -> int:
        """The number of operations."""
        return sum(self.counts.values()) + self.in_flight + self.waiting

    @property
    def done(self) -> int:
        """The number of operations whose target is now as requested."""
        return sum(number for state, number in self.counts.items() if state.done)

    @property
    def created_at(self) -> str | None:
        """When the run was started, in UTC (RFC 3339)."""
        return created_at(self.facts)

    @property
    def complete(self) -> bool:
        """Whether the journal contains the whole input."""
        return "count" in self.facts

    def ways_on(self) -> Iterator[tuple[str, str]]:
        """Yield the possible next steps, each with the options of `fleet resume` for it.

        The first step alone is sufficient. There are no steps if the run is in progress or has
        nothing left to do.
        """
        if self.running:
            return
        failed, left = self.counts[State.FAILED], self.counts[State.HELD]
        pending = self.counts[State.PENDING]
        if not self.stuck and (left or self.repeatable or pending or not self.complete):
            yield "to continue", ""
        if failed:
            yield "to retry failed operations", "--retry-failed"
        if self.open_ends:
            yield (
                "to leave unknown operations as they are, after checking their devices",
                "--ambiguous skip",
            )
            yield "or to repeat them, although they may already be done", "--ambiguous regenerate"
        if self.searchable:
            yield (
                "or to accept the result of a search if it is the only one",
                "--accept-candidates",
            )
        if self.stuck:
            yield "to check the wave again, and continue if it passes", ""
        if self.wave_not_passed is not None:
            yield "to continue even though the wave did not pass", "--accept-wave"


def status(journal: str | os.PathLike[str]) -> RunStatus:
    """Read the status of a journal's run, even while in progress; blocks, and changes nothing.

    `journal` is a path, or the address of a run in PostgreSQL.

    Raises:
        RunRefusedError: it is not a journal, has a different version, or is damaged.
        JournalError: the database cannot be reached.
    """
    return RunStatus.read(journal)


def created_at(facts: Mapping[str, str]) -> str | None:
    """Return when a run was started, in UTC (RFC 3339), from the facts of its journal."""
    created = facts.get(_CREATED)
    if created is None:
        return None
    return datetime.fromtimestamp(int(created) / 1000, UTC).isoformat(timespec="seconds")


@attrs.frozen(kw_only=True)
class Trouble:
    """The outcome of an operation that was not done, and when it was recorded (ms since 1970)."""

    outcome: Outcome[Any]
    at_ms: int


def latest_troubles(journal: Journal, replay: Replay, most: int) -> tuple[Trouble, ...]:
    """Return the latest operations that were not done, latest first."""
    bad = (seq for seq in replay.with_mark(*_BAD) if seq in replay.last_event)
    found = []
    for seq in heapq.nlargest(most, bad, key=replay.last_event.__getitem__):
        item, event = journal.item(seq), journal.event(replay.last_event[seq])
        if item is not None:
            state = STATE_OF_MARK[Mark(replay.marks[seq])]
            found.append(Trouble(outcome=earlier_outcome(item, state, event), at_ms=event.at_ms))
    return tuple(found)


def sampled_targets(journal: Journal, most: int) -> tuple[Target, ...]:
    """Return the targets of items that are evenly spread over a run, each once."""
    items = (journal.item(seq) for seq in evenly_spread(journal.last_seq() + 1, most))
    return tuple(dict.fromkeys(each.operation.target() for each in items if each is not None))


def evenly_spread(number: int, most: int) -> range:
    """Return at most `most` of the first `number` whole numbers."""
    return range(0, number if most else 0, max(1, -(-number // max(most, 1))))


class StatusReader:
    """Reads one run's status again and again: its whole journal once, then only what was added.

    A few bytes are kept for each operation. Use it from one thread at a time.
    """

    def __init__(self, journal: str | os.PathLike[str]) -> None:
        self._store = store_of(journal)
        self._known: _Known | None = None

    def read(self) -> RunStatus:
        """Read the status of the run, even while it is in progress, without changing it.

        Raises:
            RunRefusedError: the file is not a journal, has a different version, or is damaged.
        """
        return self.read_with_troubles(0)[0]

    def read_with_troubles(self, most: int) -> tuple[RunStatus, tuple[Trouble, ...]]:
        """Read the status, and the latest operations that were not done, latest first."""
        with contextlib.closing(self._store.read()) as opened:
            # Checked first, so a run that ends during this read is reported as still running.
            running = self._store.is_held()
            known = self._read_on(opened)
            status = known.status(opened, running=running)
            return status, latest_troubles(opened, known.replay, most)

    def _read_on(self, journal: Journal) -> "_Known":
        facts = journal.facts()
        if self._known is None or self._known.facts.get(_CREATED) != facts.get(_CREATED):
            self._known = _Known(journal)  # another run was started at this place
        self._known.read_on(journal, facts)
        return self._known


class _Known:
    """What has been read of a run so far."""

    def __init__(self, journal: Journal) -> None:
        self.facts: Mapping[str, str] = {}
        self.replay = Replay(journal)
        self._notes_to = -1
        self._begun = -1
        self._waves: dict[int, str] = {}
        self._pace: Pace | None = None
        self._number_of_waves: int | None = None
        self._items: dict[int, _Item] = {}
        self._kept: dict[str, tuple[int, int]] = {}

    def read_on(self, journal: Journal, facts: Mapping[str, str]) -> None:
        """Read what was added."""
        self.facts = facts
        written = journal.last_event()
        self.replay.read_on(journal)
        for event in journal.notes(after=self._notes_to):
            self._take(event)
        # A note may be newer than the last event was.
        self._notes_to = max(self._notes_to, written)
        if self._number_of_waves is None and "count" in facts:
            self._number_of_waves = journal.last_wave() + 1

    def _take(self, event: Event) -> None:
        self._notes_to = event.id
        if event.kind == "begin":
            self._begun, self._pace = event.id, None
        elif event.kind == PACE:
            self._pace = pace_in(event.details)
        number = event.details.get("wave")
        if event.kind in _WAVES and isinstance(number, int):
            self._waves[number] = event.kind

    def status(self, journal: Journal, *, running: bool) -> RunStatus:
        """Return the status of the run; only a few items of the journal are read."""
        replay = self.replay
        # What the active session is about to send, or has sent.
        flying = {seq for seq, at in replay.intended.items() if at > self._begun and running}
        counts = replay.counts()
        counts[State.UNKNOWN] -= len(flying)
        cut_off = replay.intended.keys() - flying - replay.acknowledged
        unknown = {*cut_off, *replay.with_mark(Mark.UNKNOWN)} - replay.acknowledged
        once = {seq for seq in unknown if self._item(journal, seq).once}
        refused = [number for number, kind in self._waves.items() if kind == WAVE_NOT_PASSED]
        open_waves = {number for number, kind in self._waves.items() if kind != WAVE_PASSED}
        may_block = counts[State.HELD] and open_waves
        blocking = [*replay.with_mark(Mark.FAILED), *unknown] if may_block else []
        waiting = again = 0
        if running:
            held = sum(replay.marks[seq] == Mark.UNTOUCHED for seq in replay.last_event)
            waiting = counts[State.HELD] - held
            counts[State.HELD] = held
            # Interrupted in an earlier session; the current session sends them again.
            again = len(cut_off - once)
            counts[State.UNKNOWN] -= again
        files = credentials_here(self.facts)
        return RunStatus(
            facts=self.facts,
            counts=counts,
            running=running,
            in_flight=len(flying),
            waiting=waiting + again,
            repeatable=len(unknown) - len(once) - again,
            open_ends=len(once),
            searchable=sum(self._item(journal, seq).searchable for seq in once),
            acknowledged=len(replay.acknowledged),
            intents=replay.sent,
            wave=max(self._waves, default=0),
            waves=self._number_of_waves or 0,
            wave_not_passed=max(refused, default=None),
            stuck=bool(refused)
            or any(self._item(journal, seq).wave in open_waves for seq in blocking),
            credentials=next(iter(files), None),
            credentials_elsewhere=credentials_elsewhere(self.facts),
            kept=sum(map(self._kept_in, files)),
            pace=self._pace if running else None,
        )

    def _item(self, journal: Journal, seq: int) -> "_Item":
        if seq not in self._items:
            self._items[seq] = _Item.of(journal.item(seq))
        return self._items[seq]

    def _kept_in(self, path: str) -> int:
        known, after = self._kept.get(path, (0, 0))
        number, after = count_in(Path(path), after)
        self._kept[path] = known + number, after
        return known + number


@attrs.frozen(kw_only=True)
class _Item:
    """What a status needs to know of an item that was not done; `wave` counts from 1."""

    once: bool = False
    searchable: bool = False
    wave: int = 0

    @classmethod
    def of(cls, item: WorkItem | None) -> Self:
        if item is None:
            return cls()
        operation = item.operation
        return cls(
            once=operation.repeat is Repeat.ONCE,
            searchable=operation.settles in FINDABLE,
            wave=item.wave + 1,
        )
