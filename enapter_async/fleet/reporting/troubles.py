"""The operations of a run that were not done, latest first, even while it is in progress."""

import heapq
from typing import Any

import attrs

from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import earlier_outcome
from enapter_async.fleet.journal.replay import STATE_OF_MARK, Mark, Replay
from enapter_async.fleet.outcomes import Outcome
from enapter_async.operation import Target

_BAD = (Mark.DIFFERS, Mark.PENDING, Mark.FAILED, Mark.UNKNOWN)


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
