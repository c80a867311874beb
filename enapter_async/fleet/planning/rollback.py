"""Plans the way back: what a run changed is set to what it was before."""

import asyncio
import contextlib
import enum
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from enapter_async.client import Client
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.records import SHOWN
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.fleet.journal.store import Journal
from enapter_async.fleet.planning.decisions import PlanRequest
from enapter_async.fleet.planning.effects import Change, wanted
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.planning.planner import Planner
from enapter_async.fleet.planning.snapshot import BATCH, open_scratch
from enapter_async.operation import UNSET, Repeat
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)

EXAMPLES_KEPT: Final = 20

_CHANGED: Final = frozenset({Mark.APPLIED, Mark.DIFFERS, Mark.UNKNOWN, Mark.INTENDED})
_SCHEMA: Final = """
CREATE TABLE net (
    device_id TEXT, field TEXT, original TEXT, final TEXT, seq INTEGER,
    PRIMARY KEY (device_id, field)
) WITHOUT ROWID;
CREATE TABLE gone (device_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_KEEP_NET: Final = """
INSERT INTO net VALUES (?, ?, ?, ?, ?)
ON CONFLICT (device_id, field) DO UPDATE SET final = excluded.final, seq = excluded.seq
"""


class Lasting(enum.StrEnum):
    """Why something that a run did, or may have done, cannot be undone."""

    DELETION = "deletion"
    """Nothing brings a deleted device back."""
    CONFIGURATION = "configuration"
    """A generated configuration cannot be taken back."""
    EMPTY = "empty"
    """The field was empty, and the API takes null and "" for "leave it alone"."""
    NO_BEFORE = "no before-values"
    """The run was not planned, so that nobody knows what was there before."""


@attrs.frozen(kw_only=True)
class Undo:
    """The way back of a run.

    `plan` sets back what can be set back; what a device does not show any more as the run
    left it stands there as refused, and is to be skipped. `lasting` counts what cannot be
    undone, by why; `examples` names the first 20 of each by device and field.
    """

    plan: Plan
    lasting: Mapping[Lasting, int]
    examples: Mapping[Lasting, tuple[str, ...]]


async def undo(
    client: Client,
    journal: str | os.PathLike[str],
    *,
    on_read: Callable[[int], None] | None = None,
) -> Undo:
    """Plan how to undo a run, from the before-values in its journal; nothing is changed.

    For each device it is told what its fields were before the run and what the run left.
    A device that does not show the latter now is refused in the plan, because somebody
    changed it since; what nobody can say of the run (`unknown`) is undone where it shows.
    Close the plan when it is done with. Safe to repeat.

    Raises:
        RunRefusedError: there is no such journal, or one of another version.
        ConfigurationError: the run was about another server.
        EnapterError: the fleet could not be read.
    """
    scratch = open_scratch()
    try:
        way_back = _Rollback(scratch)
        await asyncio.to_thread(way_back.collect, journal, str(client.base_url))
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
    """What a run made of each field of each device, from first to last."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        scratch.executescript(_SCHEMA)
        self.lasting: Counter[Lasting] = Counter()
        self.examples: dict[Lasting, list[str]] = {}

    def collect(self, path: str | os.PathLike[str], base_url: str) -> None:
        """Go through a journal, in order of execution."""
        with contextlib.closing(Journal.read(path)) as journal:
            about = journal.facts().get("base_url")
            if about != base_url:
                raise ConfigurationError(
                    f"that run was about {about}, and the client is about {base_url}"
                )
            replay = Replay(journal)
            self._scratch.execute("BEGIN")
            for item in journal.items():
                if replay.marks[item.seq] in _CHANGED and not item.unchanged:
                    self._take(item, _shown(journal, replay, item))
            self._scratch.execute("COMMIT")

    def _take(self, item: WorkItem, shown: Mapping[str, Any]) -> None:
        device_id = item.operation.subject() or ""
        if item.operation.repeat is Repeat.READ:
            pass
        elif isinstance(item.operation, DeleteDevice):
            self._scratch.execute("INSERT OR IGNORE INTO gone VALUES (?)", (device_id,))
            self._tell(Lasting.DELETION, device_id)
        elif isinstance(item.operation, GenerateConfig):
            self._tell(Lasting.CONFIGURATION, device_id)
        elif item.before is None:
            self._tell(Lasting.NO_BEFORE, device_id)
        else:
            for field, value in wanted(item.operation).items():
                final = shown.get(field, value)
                row = (device_id, field, item.before.get(field), final, item.seq)
                self._scratch.execute(_KEEP_NET, row)

    def _tell(self, why: Lasting, example: str) -> None:
        self.lasting[why] += 1
        kept = self.examples.setdefault(why, [])
        if len(kept) < EXAMPLES_KEPT:
            kept.append(example)

    def operations(self) -> Iterator[tuple[Change, Mapping[str, str | None]]]:
        """Yield what sets each device back, with what it must show for that; the last first."""
        rows = self._scratch.execute(
            "SELECT device_id, json_group_object(field, json_array(original, final)) FROM net "
            "WHERE device_id NOT IN (SELECT device_id FROM gone) AND original IS NOT final "
            "GROUP BY device_id ORDER BY max(seq) DESC"
        )
        for device_id, fields in rows:
            original: dict[str, str] = {}
            final: dict[str, str | None] = {}
            for field, (first, last) in json.loads(fields).items():
                if first:
                    original[field], final[field] = first, last
                else:
                    self._tell(Lasting.EMPTY, f"{field} of {device_id}")
            if "name" in original or "slug" in original:
                yield (
                    UpdateDevice(
                        device_id=device_id,
                        name=original.get("name", UNSET),
                        slug=original.get("slug", UNSET),
                    ),
                    {field: final[field] for field in ("name", "slug") if field in final},
                )
            if "blueprint_id" in original:
                yield (
                    AssignBlueprint(device_id=device_id, blueprint_id=original["blueprint_id"]),
                    {"blueprint_id": final["blueprint_id"]},
                )


def _shown(journal: Journal, replay: Replay, item: WorkItem) -> Mapping[str, Any]:
    """Return what the server made of the fields of an item that differs; empty for any other."""
    number = replay.last_event.get(item.seq)
    if replay.marks[item.seq] != Mark.DIFFERS or number is None:
        return {}
    found = journal.event(number).details.get(SHOWN)
    return found if isinstance(found, dict) else {}
