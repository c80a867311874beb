"""Summarizes a run from its journal: the requests, the course over time, and the failures.

The journal is only read, in pages, even while the run is in progress. A few bytes are kept for
each item, and detailed rows only for the first items that were not done.
"""

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from enapter_async.converter.operations import operation_to_json
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import INTENT, NAME, WAVE_BEGUN, Event
from enapter_async.fleet.journal.replay import STATE_OF_MARK, Mark, Replay
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.pace_notes import PACE
from enapter_async.fleet.reporting.timeline import Timeline
from enapter_async.fleet.row_numbers import RowNumbers

ROWS: Final = 5000
"""The maximum number of items that were not done to list in detail."""
CAUSES: Final = 200
"""The maximum number of causes to tell apart by message; further ones count without it."""
NOTES: Final = 200
EXAMPLES: Final = 3
PLACES: Final = 10
"""The maximum number of sites, or types, to list, those with the most items that were not done."""
IN_FLIGHT: Final = "in flight"
WAITING: Final = "waiting"
"""In a run in progress: the states of intents without an outcome, and of items not started."""

_TEXT: Final = 300
_VALUE: Final = 120
_NOT_TOLD: Final = frozenset({"begin", "end", WAVE_BEGUN})
_TOLD_FACTS: Final = ("source", "started_by", "command", "base_url", "version", "credentials")
NOT_STARTED: Final = "it was not started"
_NO_OUTCOME: Final = (
    "the run ended when it was about to send this operation; no outcome was recorded"
)
_PARTICULAR: Final = re.compile(
    r"(?P<id>\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b)"
    r"|(?P<text>(?<!\w)(?:'[^']*'|\"[^\"]*\")(?!\w))"
    r"|(?P<number>(?<!HTTP )\b\d+\b)"
)
_GENERAL: Final = {"id": "<id>", "text": "'…'", "number": "<n>"}


@attrs.frozen
class _Cause:
    """A cause shared by items that were not done; `message` omits the details of single items."""

    state: str
    error: str | None
    status: int | None
    code: str | None
    message: str | None


def summarize(journal: Journal, *, running: bool = False) -> dict[str, Any]:
    """Return a run as plain JSON: facts, counts, requests, waves, course, causes, rows.

    Times are in milliseconds. `running` means that a session is active, so items without an outcome
    are in flight or waiting; they are not counted as unknown or held. The result contains no
    secrets, and only those facts that are useful to people. Changes nothing; safe to repeat.
    """
    return _Summary(journal, running=running).tell()


class _Summary:
    def __init__(self, journal: Journal, *, running: bool) -> None:
        self._journal = journal
        self._replay = Replay(journal)
        self._running = running
        self._wave_of = array("i", bytes(4 * len(self._replay.marks)))
        open_ends = () if running else (Mark.INTENDED,)
        self._wrong = (Mark.DIFFERS, Mark.PENDING, Mark.FAILED, Mark.UNKNOWN, *open_ends)
        self._not_done = 0
        self._rows: dict[int, list[Any]] = {seq: [] for seq in self._chosen()}
        self._asked: dict[tuple[str, str], Counter[str]] = {}
        self._waves: dict[int, Counter[str]] = {}
        self._sites: dict[str, Counter[str]] = {}
        self._types: dict[str, Counter[str]] = {}
        self._numbers = RowNumbers(journal.facts().get("rows", ""))
        self._about: dict[int, list[Any]] = {}
        self._timeline = Timeline(len(self._replay.marks))
        self._causes: dict[_Cause, list[int]] = {}
        self._examples: dict[int, list[tuple[str, str, int]]] = {}
        self._notes: list[list[Any]] = []

    def tell(self) -> dict[str, Any]:
        for item in self._journal.items():
            if item.seq < len(self._wave_of):
                self._take_item(item)
        for event in self._journal.events():
            self._take_event(event)
        self._take_untouched()
        facts = self._journal.facts()
        marks = Counter(self._replay.marks)
        counts: Counter[str] = Counter()
        for mark in STATE_OF_MARK:
            counts[self._state(mark)] += marks[mark]
        return {
            "facts": {key: facts[key] for key in _TOLD_FACTS if key in facts},
            "created_ms": int(facts["created_ms"]) if "created_ms" in facts else None,
            "running": self._running,
            "complete": "count" in facts,
            "total": sum(counts.values()),
            "merged": marks[Mark.MISSING],
            "acknowledged": len(self._replay.acknowledged),
            "sites": len(self._sites),
            "clusters": {"site": _clusters(self._sites), "type": _clusters(self._types)},
            "counts": counts,
            "asked": [
                {"operation": kind, "fields": fields, "counts": states}
                for (kind, fields), states in sorted(self._asked.items())
            ],
            "rollout": json.loads(facts["rollout"]) if "rollout" in facts else None,
            "waves": list(self._told_waves("rollout" in facts)),
            "course": self._timeline.tell(),
            "notes": self._notes,
            "causes": [
                {
                    **attrs.asdict(cause),
                    "number": number,
                    **self._told_examples(index),
                }
                for cause, (index, number) in self._causes.items()
            ],
            "rows": [row for row in self._rows.values() if row],
            "about": self._about,
            "not_done": self._not_done,
        }

    def _told_examples(self, index: int) -> dict[str, Any]:
        found = self._examples.get(index, [])
        told = zip(*found, strict=True) if found else ((), (), ())
        return dict(zip(("examples", "names", "items"), map(list, told), strict=True))

    def _state(self, mark: Mark) -> str:
        if self._running and mark is Mark.INTENDED:
            return IN_FLIGHT
        if self._running and mark is Mark.UNTOUCHED:
            return WAITING
        return str(STATE_OF_MARK[mark])

    def _chosen(self) -> Iterator[int]:
        """Choose the items to list in detail: failures first, then items that were not started.

        While the run is in progress, items in flight or waiting are left out.
        """
        replay = self._replay
        wrong = list(replay.with_mark(*self._wrong))
        untouched = replay.with_mark(Mark.UNTOUCHED)
        wrong += [seq for seq in untouched if seq in replay.last_event]
        if not self._running:
            wrong += [seq for seq in untouched if seq not in replay.last_event]
        self._not_done = len(wrong)
        yield from wrong[:ROWS]

    # The items.

    def _take_item(self, item: WorkItem) -> None:
        mark = Mark(self._replay.marks[item.seq])
        if mark is Mark.MISSING:
            return
        state = self._state(mark)
        fields = operation_to_json(item.operation)
        target = item.operation.target()
        kind, name = fields.pop("operation"), target.name
        fields.pop(f"{target.noun}_id", None)
        self._asked.setdefault((kind, ", ".join(fields)), Counter())[state] += 1
        self._wave_of[item.seq] = item.wave
        self._waves.setdefault(item.wave, Counter())[state] += 1
        site = item.group or target.site_id or ""
        if site:
            self._sites.setdefault(site, Counter())[state] += 1
        if item.type:
            self._types.setdefault(item.type, Counter())[state] += 1
        if item.seq in self._rows:
            before = item.before if isinstance(item.before, Mapping) else {}
            known = item.name or before.get("name")
            known = _clip(known, _VALUE) if isinstance(known, str) else ""
            self._about[item.seq] = [site, known, item.type, self._numbers.row(item.seq)]
            changes = [
                [field, _clip(value, _VALUE), *(_was(before, field))]
                for field, value in fields.items()
            ]
            self._rows[item.seq] = [item.seq, name, kind, changes, state]

    def _told_waves(self, staged: bool) -> Iterator[dict[str, Any]]:
        if staged or len(self._waves) > 1:
            for wave, counts in sorted(self._waves.items()):
                began, ended = self._timeline.spans.get(wave, (None, None))
                yield {"number": wave + 1, "counts": counts, "began": began, "ended": ended}

    # The events.

    def _take_event(self, event: Event) -> None:
        seq = event.seq
        if seq is None:
            if event.kind == "begin":
                self._timeline.begin(event.at_ms)
            elif event.kind == PACE:
                self._timeline.take_pace(event)
            elif event.kind not in _NOT_TOLD and len(self._notes) < NOTES:
                told = {key: _clip(value, _TEXT) for key, value in event.details.items()}
                self._notes.append([event.at_ms, event.kind, told])
            return
        if seq >= len(self._wave_of):
            return
        self._timeline.take(event, self._wave_of[seq])
        if self._is_last(seq, event):
            self._take_end(seq, event)

    def _is_last(self, seq: int, event: Event) -> bool:
        """Return whether this event decides the state of an item that is not done."""
        replay = self._replay
        if replay.marks[seq] == Mark.INTENDED:
            return event.kind == INTENT and (event.attempt or 1) == replay.intents.get(seq)
        return replay.last_event.get(seq) == event.id

    def _take_end(self, seq: int, event: Event) -> None:
        """Record the final event of an item that was not done."""
        row = self._rows.get(seq, [])
        details = event.details
        message: str | None = _clip(details.get("message"), _TEXT)
        state = self._state(Mark(self._replay.marks[seq]))
        if event.kind == State.HELD:
            state = str(State.HELD)
        if event.kind == INTENT:
            if self._running:
                return
            message = _NO_OUTCOME
        general = None if message is None else generalized(message, row[1] if row else None)
        cause = _Cause(state, details.get("error"), event.status, event.code, general)
        about, name = self._about.get(seq, []), details.get(NAME)
        if about and not about[1] and isinstance(name, str):
            about[1] = _clip(name, _VALUE)
        index = self._count(cause, row)
        if row:
            acknowledged = seq in self._replay.acknowledged
            row += [index, event.at_ms, event.attempt, message, event.request_id, acknowledged]

    def _count(self, cause: _Cause, row: list[Any], number: int = 1) -> int:
        if cause not in self._causes and len(self._causes) >= CAUSES:
            cause = attrs.evolve(cause, message=None)
        entry = self._causes.setdefault(cause, [len(self._causes), 0])
        entry[1] += number
        self._note_example(entry[0], row)
        return entry[0]

    def _note_example(self, index: int, row: list[Any]) -> None:
        examples = self._examples.setdefault(index, [])
        if row and row[1] is not None and len(examples) < EXAMPLES:
            examples.append((row[1], self._about[row[0]][1], row[0]))

    def _take_untouched(self) -> None:
        """Record the items without any event: they were never started."""
        replay = self._replay
        number = sum(seq not in replay.last_event for seq in replay.with_mark(Mark.UNTOUCHED))
        if not number or self._running:
            return
        cause = _Cause(str(State.HELD), None, None, None, NOT_STARTED)
        index = self._count(cause, [], number)
        for row in self._rows.values():
            if len(row) == 5:
                self._note_example(index, row)
                row += [index, None, 0, NOT_STARTED, None, False]


def _clusters(groups: Mapping[str, Counter[str]]) -> dict[str, Any]:
    """Return the groups with the most items that were not done, and how many others have some."""
    wrong = {
        name: counts.total() - sum(counts[state] for state in State if state.done)
        for name, counts in groups.items()
    }
    worst = sorted((name for name, number in wrong.items() if number), key=lambda n: -wrong[n])
    told = [[name, groups[name]] for name in worst[:PLACES]]
    return {"groups": told, "left": len(worst) - len(told), "of": len(groups)}


def _was(before: Mapping[str, Any], field: str) -> list[Any]:
    return [_clip(before[field], _VALUE)] if field in before else []


def _clip(value: Any, most: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def generalized(message: str, device: str | None) -> str:
    """Replace details of a single item in a message, so that equal causes look equal."""
    if device:
        message = message.replace(device, "<id>")
    return _PARTICULAR.sub(lambda found: _GENERAL[found.lastgroup or "text"], message)
