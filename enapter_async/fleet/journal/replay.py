"""Compute the state of each item in one pass over a journal's events, using one byte per item."""

import enum
import re
from collections.abc import Mapping
from typing import Any, Final

from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.reading import Journal, damaged
from enapter_async.fleet.journal.records import ACKNOWLEDGED, INTENT, earlier_outcome
from enapter_async.fleet.outcomes import Outcome, State


class Mark(enum.IntEnum):
    """The state of an item according to its last event."""

    UNTOUCHED = 0
    """Not started, or held: nothing was sent, or certainly nothing was done."""
    INTENDED = 1
    """An intent without an outcome: it may or may not have been sent."""
    APPLIED = 2
    UNCHANGED = 3
    ABSENT = 4
    FAILED = 5
    UNKNOWN = 6
    DIFFERS = 7
    PENDING = 8
    """Accepted, and not known to have ended: the next session follows it."""
    MISSING = 255
    """There is no such item, because the operation was merged with an equal one."""

    @property
    def done(self) -> bool:
        """Whether the device was in the wanted state when the item finished."""
        return self in _DONE


_DONE: Final = frozenset({Mark.APPLIED, Mark.UNCHANGED, Mark.ABSENT})
_MARK_OF_KIND: Final[Mapping[str, Mark]] = {
    INTENT: Mark.INTENDED,
    State.APPLIED: Mark.APPLIED,
    State.UNCHANGED: Mark.UNCHANGED,
    State.ABSENT: Mark.ABSENT,
    State.DIFFERS: Mark.DIFFERS,
    State.PENDING: Mark.PENDING,
    State.FAILED: Mark.FAILED,
    State.UNKNOWN: Mark.UNKNOWN,
    State.HELD: Mark.UNTOUCHED,
}
STATE_OF_MARK: Final[Mapping[Mark, State]] = {
    Mark.UNTOUCHED: State.HELD,
    Mark.INTENDED: State.UNKNOWN,
    Mark.APPLIED: State.APPLIED,
    Mark.UNCHANGED: State.UNCHANGED,
    Mark.ABSENT: State.ABSENT,
    Mark.DIFFERS: State.DIFFERS,
    Mark.PENDING: State.PENDING,
    Mark.FAILED: State.FAILED,
    Mark.UNKNOWN: State.UNKNOWN,
}


class Replay:
    """The state of a run's items.

    `marks` holds a `Mark` for each seq, and `intents` the number of intents written for each item
    that is not done. `intended` holds the id of the intent of each item that has no outcome after
    it. `last_event` holds the id of the last event of items that ended badly or were explicitly
    held. `acknowledged` holds the items whose unknown outcome was acknowledged.
    """

    def __init__(self, journal: Journal) -> None:
        self.marks = bytearray()
        self.intents: dict[int, int] = {}
        self.intended: dict[int, int] = {}
        self.last_event: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self.sent = 0
        self._read_to = -1
        self.read_on(journal)

    def read_on(self, journal: Journal) -> None:
        """Read the rows added to the journal since the last read; a run may add more meanwhile."""
        self._read_items(journal)
        for number, seq, kind, attempt in journal.marks(after=self._read_to):
            if isinstance(seq, int) and seq >= len(self.marks):
                self._read_items(journal)  # this one was added meanwhile
            if not (isinstance(seq, int) and 0 <= seq < len(self.marks)):
                raise damaged(
                    journal.name, f"event {number} refers to an item {seq} that does not exist"
                )
            if attempt is not None and not isinstance(attempt, int):
                raise damaged(journal.name, f"event {number} has no intent number")
            self._take(number, seq, kind, attempt)
            self._read_to = number

    def _read_items(self, journal: Journal) -> None:
        known = len(self.marks)
        self.marks.extend(bytes([Mark.MISSING]) * (journal.last_seq() + 1 - known))
        for seq, _ in journal.digests(after=known - 1):
            if not 0 <= seq < len(self.marks):
                return  # added since the last line, and read next time
            self.marks[seq] = Mark.UNTOUCHED

    def _take(self, number: int, seq: int, kind: str, attempt: int | None) -> None:
        if kind == ACKNOWLEDGED:
            self.acknowledged.add(seq)
            return
        mark = _MARK_OF_KIND.get(kind)
        if mark is None:
            return
        self.marks[seq] = mark
        if mark is Mark.INTENDED:
            self.sent += 1
            self.intents[seq] = attempt or 1
            self.intended[seq] = number
            self.acknowledged.discard(seq)
            return
        self.intended.pop(seq, None)
        if mark.done:
            self.intents.pop(seq, None)
            self.last_event.pop(seq, None)
        else:
            self.last_event[seq] = number

    def outcome(self, journal: Journal, item: WorkItem) -> Outcome[Any]:
        """Return the outcome of an item according to its last event."""
        number = self.last_event.get(item.seq)
        event = None if number is None else journal.event(number)
        return earlier_outcome(item, STATE_OF_MARK[Mark(self.marks[item.seq])], event)

    def with_mark(self, *marks: Mark) -> tuple[int, ...]:
        """Return the items with one of these marks, in order."""
        wanted = re.compile(b"[%b]" % re.escape(bytes(marks)))
        return tuple(found.start() for found in wanted.finditer(self.marks))

    def counts(self) -> dict[State, int]:
        """Count the items by state, as a report does; items not started count as held."""
        counts = dict.fromkeys(State, 0)
        for mark, state in STATE_OF_MARK.items():
            counts[state] += self.marks.count(mark)
        return counts
