"""Reads a run's status from its journal alone, and lists the possible next steps."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import attrs

from enapter_async.fleet.credentials import count_in
from enapter_async.fleet.journal.names import store_of
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import (
    INTENT,
    WAVE_BEGUN,
    WAVE_NOT_PASSED,
    WAVE_PASSED,
)
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.fleet.journal.resume import credentials_elsewhere, credentials_here
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.pace_notes import PACE, pace_in
from enapter_async.fleet.reading import FINDABLE
from enapter_async.limits.pace import Pace
from enapter_async.operation import Repeat

_WAVES: Final = frozenset({WAVE_BEGUN, WAVE_PASSED, WAVE_NOT_PASSED})


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
    def read(cls, journal: str | os.PathLike[str]) -> Self:
        """Read the status of a journal's run, even while it is in progress, without changing it.

        Raises:
            RunRefusedError: the file is not a journal, has a different version, or is damaged.
        """
        store = store_of(journal)
        with contextlib.closing(store.read()) as opened:
            # Checked first, so a run that ends during this read is reported as still running.
            running = store.is_held()
            replay = Replay(opened)
            begun, waves, pace = _notes(opened)
            flying = _in_flight(opened, begun) if running else frozenset[int]()
            counts = replay.counts()
            counts[State.UNKNOWN] -= len(flying)
            unknown = [
                seq
                for seq in replay.with_mark(Mark.INTENDED, Mark.UNKNOWN)
                if seq not in flying and seq not in replay.acknowledged
            ]
            once = {seq for seq in unknown if _is_once(opened, seq)}
            searchable = sum(_is_searchable(opened, seq) for seq in once)
            refused = [number for number, kind in waves.items() if kind == WAVE_NOT_PASSED]
            blocking = [*replay.with_mark(Mark.FAILED), *unknown] if counts[State.HELD] else []
            open_waves = {number for number, kind in waves.items() if kind != WAVE_PASSED}
            stuck = bool(refused) or any(_wave_of(opened, seq) in open_waves for seq in blocking)
            waiting = again = 0
            if running:
                untouched = replay.with_mark(Mark.UNTOUCHED)
                waiting = sum(seq not in replay.last_event for seq in untouched)
                counts[State.HELD] -= waiting
                # Interrupted in an earlier session; the current session sends them again.
                cut_off = set(replay.with_mark(Mark.INTENDED)) - flying - replay.acknowledged
                again = len(cut_off - once)
                counts[State.UNKNOWN] -= again
            facts = opened.facts()
            last_wave = opened.last_wave() + 1 if "count" in facts else 0
        files = credentials_here(facts)
        return cls(
            facts=facts,
            counts=counts,
            running=running,
            in_flight=len(flying),
            waiting=waiting + again,
            repeatable=len(unknown) - len(once) - again,
            open_ends=len(once),
            searchable=searchable,
            acknowledged=len(replay.acknowledged),
            intents=replay.sent,
            wave=max(waves, default=0),
            waves=last_wave,
            wave_not_passed=max(refused, default=None),
            stuck=stuck,
            credentials=next(iter(files), None),
            credentials_elsewhere=credentials_elsewhere(facts),
            kept=sum(count_in(Path(path)) for path in files),
            pace=pace if running else None,
        )

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
    created = facts.get("created_ms")
    if created is None:
        return None
    return datetime.fromtimestamp(int(created) / 1000, UTC).isoformat(timespec="seconds")


def _notes(journal: Journal) -> tuple[int, dict[int, str], Pace | None]:
    """Return the last session's first event, each wave's last note, and the session's pace."""
    begun, waves, pace = -1, dict[int, str](), None
    for event in journal.notes():
        if event.kind == "begin":
            begun, pace = event.id, None
        elif event.kind == PACE:
            pace = pace_in(event.details)
        number = event.details.get("wave")
        if event.kind in _WAVES and isinstance(number, int):
            waves[number] = event.kind
    return begun, waves, pace


def _in_flight(journal: Journal, begun: int) -> frozenset[int]:
    """Return the items that the active session is about to send, or has sent."""
    flying: set[int] = set()
    for _, seq, kind, _ in journal.marks(after=begun):
        if kind == INTENT:
            flying.add(seq)
        else:
            flying.discard(seq)
    return frozenset(flying)


def _wave_of(journal: Journal, seq: int) -> int | None:
    """Return the number of an item's wave, counted from 1 as in the journal's notes."""
    item = journal.item(seq)
    return None if item is None else item.wave + 1


def _is_once(journal: Journal, seq: int) -> bool:
    item = journal.item(seq)
    return item is not None and item.operation.repeat is Repeat.ONCE


def _is_searchable(journal: Journal, seq: int) -> bool:
    item = journal.item(seq)
    return item is not None and item.operation.settles in FINDABLE
