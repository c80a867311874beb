"""Plans how to undo a run, by restoring the earlier values of the fields that it changed."""

import asyncio
import contextlib
import enum
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

import attrs

from enapter_async.client import Client
from enapter_async.converter import StructureError, structure
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import RunBusyError, busy
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.names import store_of
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import SHOWN
from enapter_async.fleet.journal.replay import STATE_OF_MARK, Mark, Replay
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.planning.decisions import PlanRequest
from enapter_async.fleet.planning.effects import plain
from enapter_async.fleet.planning.keys import address_of, bare
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.planning.planner import Planner
from enapter_async.fleet.planning.snapshot import BATCH
from enapter_async.fleet.scratch import open_scratch
from enapter_async.operation import Operation, Repeat, described

EXAMPLES_KEPT: Final = 20

_CHANGED: Final = frozenset({Mark.APPLIED, Mark.DIFFERS, Mark.PENDING, Mark.UNKNOWN, Mark.INTENDED})
_SCHEMA: Final = """
CREATE TABLE net (
    key TEXT, field TEXT, original TEXT, final TEXT, seq INTEGER, PRIMARY KEY (key, field)
) WITHOUT ROWID;
CREATE TABLE done (seq INTEGER PRIMARY KEY, key TEXT, operation TEXT);
CREATE INDEX done_by_key ON done (key, seq);
CREATE TABLE gone (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE made (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_KEEP_NET: Final = """
INSERT INTO net VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key, field) DO UPDATE SET final = excluded.final, seq = excluded.seq
"""


class Lasting(enum.StrEnum):
    """The reason why a change that a run made, or may have made, cannot be undone."""

    DELETION = "deletion"
    """A deleted device cannot be restored."""
    CONFIGURATION = "configuration"
    """A generated configuration cannot be undone."""
    EMPTY = "empty"
    """The field was empty, and the API treats null and "" as "leave unchanged"."""
    NO_BEFORE = "no before-values"
    """The earlier values are unknown, because no plan has read them."""
    CREATED = "created"
    """The run itself created the object that it changed, so there are no earlier values."""
    OPERATION = "no way back"
    """The operation does not define how to undo it."""


@attrs.frozen(kw_only=True)
class Undo:
    """How to undo a run.

    `plan` restores the values that can be restored; it refuses devices that are no longer as the
    run left them; skip these. `lasting` counts the changes that cannot be undone, by reason;
    `examples` names the first 20 of each, by device and field.
    """

    plan: Plan
    lasting: Mapping[Lasting, int]
    examples: Mapping[Lasting, tuple[str, ...]]


@attrs.frozen(kw_only=True)
class UndoOnly:
    """Which operations of a run to undo; an empty set, and None, do not restrict.

    `states` are the states in which they ended, `sites` the ids of their devices' sites, `items`
    their numbers in the results.
    """

    states: AbstractSet[State] = frozenset()
    sites: AbstractSet[str] = frozenset()
    items: AbstractSet[int] | None = None

    def has(self, item: WorkItem, mark: Mark) -> bool:
        """Return whether an item of the run, with this mark, is to be undone."""
        return (
            (not self.states or STATE_OF_MARK[mark] in self.states)
            and (not self.sites or _site_of(item) in self.sites)
            and (self.items is None or item.seq in self.items)
        )

    def check(self, journal: Journal) -> None:
        """Check that the run has these items and sites.

        Raises:
            ConfigurationError: it does not.
        """
        if self.items is None and not self.sites:
            return
        last, sites = -1, set[str]()
        for item in journal.items():
            last = item.seq
            sites |= {_site_of(item) or ""} & self.sites
        beyond = sorted(each for each in self.items or () if each > last)
        if beyond:
            raise ConfigurationError(
                f"the run has no item {beyond[0]}: its items are numbered from 0 to {last}"
            )
        missing = sorted(self.sites - sites)
        if missing:
            raise ConfigurationError(
                f"the run has no operation on a device of the site {missing[0]!r}; only a plan "
                "knows the sites of its devices"
            )


def _site_of(item: WorkItem) -> str | None:
    return item.group or item.operation.target().site_id


async def undo(
    client: Client,
    journal: str | os.PathLike[str],
    *,
    on_read: Callable[[int], None] | None = None,
    only: UndoOnly = UndoOnly(),
) -> Undo:
    """Plan how to undo a run, from the earlier values in its journal; nothing is changed.

    The journal contains each device's values before and after the run. The plan refuses a device
    that no longer has the values after the run, because somebody has changed it since. An operation
    with an unknown outcome is undone if its effect is visible. `only` chooses a part of the run.
    Close the plan after use. Safe to repeat.

    Raises:
        RunRefusedError: there is no such journal, or it has a different version.
        RunBusyError: the run is in progress.
        ConfigurationError: the run used another server, or lacks what `only` names.
        EnapterError: the fleet could not be read.
    """
    scratch = open_scratch()
    try:
        way_back = _Rollback(scratch)
        await asyncio.to_thread(way_back.collect, journal, str(client.base_url), only)
        return await _plan(client, way_back, on_read)
    finally:
        scratch.close()


async def _plan(
    client: Client, way_back: "_Rollback", on_read: Callable[[int], None] | None
) -> Undo:
    planner = Planner(client, on_read=on_read)
    try:
        for line, (operation, expected) in enumerate(way_back.operations(), start=1):
            planner.add(PlanRequest(line=line, operation=operation, expected=expected))
            if not line % BATCH:
                await asyncio.sleep(0)
        plan = await planner.compile()
    except BaseException:
        planner.close()
        raise
    lasting = {each: way_back.lasting[each] for each in Lasting}
    examples = {each: tuple(way_back.examples.get(each, ())) for each in Lasting}
    return Undo(plan=plan, lasting=lasting, examples=examples)


class _Rollback:
    """Collects each device field's value before a run's first and after its last change."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        scratch.executescript(_SCHEMA)
        self.lasting: Counter[Lasting] = Counter()
        self.examples: dict[Lasting, list[str]] = {}

    def collect(self, path: str | os.PathLike[str], base_url: str, only: UndoOnly) -> None:
        """Read a journal's items, in order of execution."""
        store = store_of(path)
        if store.is_held():
            raise RunBusyError(busy(os.fspath(path)))
        with contextlib.closing(store.read()) as journal:
            about = journal.facts().get("base_url")
            if about != base_url:
                raise ConfigurationError(f"that run used {about}, but the client uses {base_url}")
            replay = Replay(journal)
            only.check(journal)
            self._scratch.execute("BEGIN")
            for item in journal.items():
                mark = Mark(replay.marks[item.seq])
                if mark in _CHANGED and not item.unchanged and only.has(item, mark):
                    self._take(item, _shown(journal, replay, item))
            self._scratch.execute("COMMIT")

    def _take(self, item: WorkItem, shown: Mapping[str, Any]) -> None:
        operation = item.operation
        key, name = address_of(operation) or "", described(operation)
        if operation.repeat is Repeat.READ:
            return
        if operation.target().id is None:
            self._scratch.execute("INSERT OR IGNORE INTO made VALUES (?)", (key,))
        if operation.holds(None):
            self._scratch.execute("INSERT OR IGNORE INTO gone VALUES (?)", (key,))
            self._tell(Lasting.DELETION, bare(key))
        elif operation.answer.secret:
            self._tell(Lasting.CONFIGURATION, bare(key))
        elif operation.repeat is Repeat.ONCE or not operation.changes():
            self._tell(Lasting.OPERATION, name)
        elif item.before is None:
            made = self._scratch.execute("SELECT 1 FROM made WHERE key = ?", (key,)).fetchone()
            self._tell(Lasting.CREATED if made else Lasting.NO_BEFORE, bare(key))
        else:
            text = json.dumps(operation_to_json(operation))
            self._scratch.execute("INSERT INTO done VALUES (?, ?, ?)", (item.seq, key, text))
            for field, value in operation.changes().items():
                values = (plain(item.before.get(field)), shown.get(field, plain(value)))
                row = (key, field, *(json.dumps(each) for each in values), item.seq)
                self._scratch.execute(_KEEP_NET, row)

    def _tell(self, why: Lasting, example: str) -> None:
        self.lasting[why] += 1
        kept = self.examples.setdefault(why, [])
        if len(kept) < EXAMPLES_KEPT:
            kept.append(example)

    def operations(self) -> Iterator[tuple[Operation[Any], Mapping[str, Any]]]:
        """Yield operations that restore each object, with the values it must show; last first."""
        rows = self._scratch.execute(
            "SELECT key, json_group_array(json_array(field, json(original), json(final))) FROM net "
            "WHERE key NOT IN (SELECT key FROM gone) AND original IS NOT final "
            "GROUP BY key ORDER BY max(seq) DESC"
        )
        for key, text in rows:
            fields = json.loads(text)
            original = {field: first for field, first, _ in fields}
            final = {field: last for field, _, last in fields}
            for undoing in self._undoing(key, original):
                expected = {each: final[each] for each in undoing.changes() if each in final}
                if expected:
                    yield undoing, expected

    def _undoing(self, key: str, original: Mapping[str, Any]) -> list[Operation[Any]]:
        """Return as few operations as possible to restore an object's state before the run."""
        undoing: list[Operation[Any]] = []
        rows = self._scratch.execute(
            "SELECT operation FROM done WHERE key = ? ORDER BY seq DESC", (key,)
        )
        left = dict(original)
        for (text,) in rows:
            operation = operation_from_json(json.loads(text))
            if not left.keys() & operation.changes().keys():
                continue
            before = _before(operation, bare(key), original)
            undone = None if before is None else operation.undo(before)
            if undone is not None:
                undoing = _joined(undoing, undone)
                left = {each: left[each] for each in left if each not in undone.changes()}
        for field, value in left.items():
            # An operation can make a field empty only if it has a special value for that.
            why = Lasting.EMPTY if value is None else Lasting.OPERATION
            self._tell(why, f"{field} of {bare(key)}")
        return undoing


def _before(operation: Operation[Any], thing_id: str, original: Mapping[str, Any]) -> Any:
    """Return an object's state before the run, as far as the journal contains it.

    Return None if the state cannot be read, or required fields are missing.
    """
    reading = operation.reads()
    if reading is None:
        return None
    fields = {field: value for field, value in original.items() if value is not None}
    if not operation.target().part:
        fields = {"id": thing_id, **fields}
    try:
        return structure(fields, reading.answer.type)
    except StructureError:
        return None


def _joined(undoing: list[Operation[Any]], more: Operation[Any]) -> list[Operation[Any]]:
    """Add an operation, merged into one of the same class if that can set all the fields."""
    for place, each in enumerate(undoing):
        wanted = {**more.changes(), **each.changes()}
        fields = attrs.fields_dict(type(cast("Any", each)))
        if type(each) is type(more) and wanted.keys() <= fields.keys():
            both: Operation[Any] = attrs.evolve(cast("Any", each), **wanted)
            if both.changes() == wanted:
                return [*undoing[:place], both, *undoing[place + 1 :]]
    return [*undoing, more]


def _shown(journal: Journal, replay: Replay, item: WorkItem) -> Mapping[str, Any]:
    """Return the values that the server shows for an item that differs; else an empty mapping."""
    number = replay.last_event.get(item.seq)
    if replay.marks[item.seq] != Mark.DIFFERS or number is None:
        return {}
    found = journal.event(number).details.get(SHOWN)
    return found if isinstance(found, dict) else {}
