"""Keeps a journal's notes about the waves of its run: which were started, and which passed.

There are three notes. *begun* is written before anything of a wave is sent, *passed* before
anything of the next wave is sent, and *not passed* contains the reason. If *begun* follows
*passed*, for example because failed items are retried, the wave must pass again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.reading import PAGE_ROWS, Journal
from enapter_async.fleet.journal.records import (
    WAVE_BEGUN,
    WAVE_NOT_PASSED,
    WAVE_PASSED,
    Event,
    EventRow,
    detail_text,
    event_row,
)
from enapter_async.fleet.journal.replay import STATE_OF_MARK, Mark, Replay
from enapter_async.fleet.journal.row_groups import Writer
from enapter_async.fleet.outcomes import State
from enapter_async.operation import Operation, Repeat, described

_NOT_BEGUN: Final = bytes((Mark.UNTOUCHED, Mark.UNCHANGED, Mark.MISSING))
_MAYBE_DONE: Final = frozenset(
    {Mark.INTENDED, Mark.APPLIED, Mark.ABSENT, Mark.DIFFERS, Mark.PENDING, Mark.UNKNOWN}
)


@attrs.frozen(kw_only=True)
class Seen:
    """The devices of a wave before it: those online, and those that met each gate's condition.

    `sites` has the sites of the latter, as far as they are known.
    """

    online: tuple[str, ...] = ()
    met: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    sites: Mapping[str, str] = attrs.field(factory=dict)


class WaveVerification:
    """Collects the outcomes of a wave's items in order, and the values its devices must show.

    `number` counts from 0. `bad` names the first item that ended badly, or is "". `seen` is what
    was found before the wave, or None if this was not checked.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.bad = ""
        self.seen: Seen | None = None
        self._set: dict[Any, list[Operation[Any]]] = {}

    def take(self, operation: Operation[Any], state: State) -> None:
        """Record the outcome of an item."""
        if not state.done:
            self.bad = self.bad or f"{described(operation)} ended as '{state}'"
            return
        self.outdo(operation)
        if state is State.APPLIED and operation.repeat is Repeat.CONVERGENT:
            self._set.setdefault(operation.writes_to(), []).append(operation)

    def outdo(self, operation: Operation[Any]) -> None:
        """Record a later operation; values that it overwrites or deletes are not verified."""
        thing = operation.writes_to()
        if thing not in self._set:
            return
        fields = operation.changes().keys()
        self._set[thing] = [
            each
            for each in self._set[thing]
            if not operation.holds(None) and each.changes().keys() - fields
        ]

    def shown(self) -> list[Operation[Any]]:
        """Return the operations whose effects must be visible now."""
        return [each for done in self._set.values() for each in done]


class WaveLog:
    """The notes about waves, read once and extended. Waves count from 0, in notes from 1.

    `replay` is the state of the items when this session started, None for a new run; `left`
    are the items that ended badly and are not retried. `accept` means that the run continues even
    if a wave did not pass.
    """

    def __init__(
        self,
        journal: Journal,
        writer: Writer,
        at_ms: Callable[[], int],
        *,
        replay: Replay | None,
        left: Sequence[tuple[WorkItem, State]],
        accept: bool,
    ) -> None:
        self._journal = journal
        self._writer = writer
        self._at_ms = at_ms
        self._replay = replay
        self._left = left
        self._accept = accept
        self._seen: dict[int, Seen] = {}
        """What was found before each wave that has started but not passed."""
        self._refused: set[int] = set()
        for event in journal.notes():
            self._take(event)

    def _take(self, event: Event) -> None:
        number = event.details.get("wave")
        if not isinstance(number, int):
            return
        wave = number - 1
        if event.kind == WAVE_BEGUN:
            met = event.details.get("met")
            self._seen[wave] = Seen(
                online=_names(event.details.get("online")),
                met={
                    gate: _names(named)
                    for gate, named in (met if isinstance(met, dict) else {}).items()
                    if isinstance(named, list)
                },
            )
        elif event.kind == WAVE_PASSED:
            self._close(wave)
        elif event.kind == WAVE_NOT_PASSED:
            self._refused.add(wave)

    # Reading.

    def unpassed(self, *, before: int) -> list[int]:
        """Return the waves before `before` that were started but have not passed, in order."""
        return sorted(wave for wave in self._seen if wave < before)

    def is_accepted(self, wave: int) -> bool:
        """Return whether the run continues even though a wave did not pass its check."""
        return self._accept and wave in self._refused

    async def recall(self, wave: int, *, results: bool) -> WaveVerification | None:
        """Return what is known about a wave that has started but not passed; None for any other.

        With `results`, this includes the results of earlier sessions; values that a later wave has
        overwritten need not be shown any more. The journal is then read in pages; only operations
        of this wave are kept.
        """
        replay = self._replay
        if wave not in self._seen:
            return None
        verification = WaveVerification(wave)
        verification.seen = self._seen[wave]
        if replay is None or not results:
            return verification
        for item, state in self._left:
            if item.wave == wave and item.seq not in replay.acknowledged:
                verification.take(item.operation, state)
        later = False
        async for item, mark in self._replayed(wave, replay):
            if item.wave == wave and mark.done:
                verification.take(item.operation, STATE_OF_MARK[mark])
            elif item.wave > wave:
                if not later and not replay.marks[item.seq :].strip(_NOT_BEGUN):
                    break
                later = True
                if mark in _MAYBE_DONE:
                    verification.outdo(item.operation)
        return verification

    async def _replayed(self, wave: int, replay: Replay) -> AsyncIterator[tuple[WorkItem, Mark]]:
        """Yield the items of a wave and of later ones, with their state."""
        for position, item in enumerate(self._journal.items()):
            if not position % PAGE_ROWS:
                await asyncio.sleep(0)
            if item.wave >= wave and item.seq < len(replay.marks):
                yield item, Mark(replay.marks[item.seq])

    # Writing.

    def begun(self, wave: int, seen: Seen) -> None:
        """Record that a wave starts, and what was found before it."""
        self._seen[wave] = seen
        found = {"online": seen.online, "met": seen.met}
        details = {name: value for name, value in found.items() if value}
        self._writer.add(self._row(wave, WAVE_BEGUN, details))

    async def passed(self, wave: int, details: Mapping[str, Any]) -> None:
        """Record that a wave passed, or is accepted; return once the note is on disk.

        Raises:
            JournalError: it could not be written.
        """
        await self._writer.commit(self._row(wave, WAVE_PASSED, details), power=True)
        self._close(wave)

    def not_passed(self, wave: int, why: str) -> None:
        """Record that a wave did not pass."""
        self._refused.add(wave)
        self._writer.add(self._row(wave, WAVE_NOT_PASSED, {"why": why}))

    def _close(self, wave: int) -> None:
        self._refused.discard(wave)
        self._seen.pop(wave, None)

    def _row(self, wave: int, kind: str, details: Mapping[str, Any]) -> EventRow:
        return event_row(
            None, kind, self._at_ms(), detail=detail_text({"wave": wave + 1, **details})
        )


def _names(found: Any) -> tuple[str, ...]:
    names = found if isinstance(found, list) else ()
    return tuple(each for each in names if isinstance(each, str))
