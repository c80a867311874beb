"""Plans what operations would do to the fleet in its current state, without changing it."""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from itertools import groupby
from typing import Any, Final

from enapter_async.client import Client
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.inputs import Input, Operations
from enapter_async.fleet.planning import conflicts
from enapter_async.fleet.planning.decisions import Decision, PlanRequest, Verdict, judge
from enapter_async.fleet.planning.effects import as_write
from enapter_async.fleet.planning.keys import address_of, bare, key_of, parse
from enapter_async.fleet.planning.plan import Plan, ScratchPlan, kind_of, removes
from enapter_async.fleet.planning.plan_file import PlanHeader
from enapter_async.fleet.planning.snapshot import (
    BATCH,
    Found,
    Snapshot,
    Wanted,
    batches,
    wanted_by,
)
from enapter_async.fleet.row_numbers import rows_text
from enapter_async.fleet.scratch import open_scratch
from enapter_async.operation import Operation, Target
from enapter_async.operations.nouns import BulkChange, Facts, noun_named
from enapter_async.text import rfc3339

_ASKED: Final = """
CREATE TABLE asked (
    line INTEGER PRIMARY KEY, address TEXT NOT NULL, removes INTEGER NOT NULL, operation TEXT,
    expected TEXT, problem TEXT, thing TEXT
);
"""

_MOST_SITES: Final = 16
"""If deletions affect more sites than this, the whole account is read instead of each site."""


async def plan(
    client: Client,
    operations: Operations[Any] | BulkChange,
    *,
    on_read: Callable[[int], None] | None = None,
) -> Plan:
    """Plan what operations would do to the fleet in its current state; nothing is changed.

    `operations` is any iterable or async iterable of operations that write, or a `Change` of
    selected devices. The current state is read page by page, or device by device if that is
    cheaper; a device missing from the pages is requested individually before it is reported as
    absent. Slugs are resolved, so the plan contains only ids. Each operation is reported as a
    change, unchanged, absent, a duplicate of an earlier one, or refused. The reason for a refusal
    is given: for example, the role is too low, one field gets two values, a slug is already used,
    or other devices depend on this one. An operation that does not define how to read its state is
    reported as a change, without a difference. `on_read` is called with the number of devices read
    so far. The plan is kept in a scratch file, not in memory.

    A plan is not a guarantee: others may change the fleet before it is applied; the guard then
    checks again. Safe to repeat.

    Raises:
        ConfigurationError: the input contains something other than operations that write.
        EnapterError: the fleet could not be read.
    """
    planner = Planner(client, on_read=on_read)
    try:
        if isinstance(operations, BulkChange):
            await planner.select(operations)
        else:
            await planner.ask(Input(operations))
            planner.rows = rows_text(enumerate(getattr(operations, "rows", ()), start=1))
        return await planner.compile()
    except BaseException:
        planner.close()
        raise


class Planner:
    """Makes one plan: call `ask` or `select`, then `compile`."""

    def __init__(self, client: Client, *, on_read: Callable[[int], None] | None = None) -> None:
        self._client = client
        self._scratch = open_scratch()
        self._scratch.executescript(_ASKED + conflicts.SCHEMA)
        self._snapshot = Snapshot(client, self._scratch, on_read=on_read)
        self._lines = 0
        self._wanted: list[Wanted] = []
        self._expand: dict[str, set[str]] = {}
        self._deleting: set[str] = set()
        """The nouns of the objects to be deleted."""
        self._lacks: dict[Target, str] = {}
        """The other objects that operations need; for one that does not exist, the reason."""
        self.rows = ""
        """The rows of the input file that the operations come from, if any."""

    def close(self) -> None:
        """Remove the scratch file, unless a plan has taken it over."""
        self._scratch.close()

    async def ask(self, given: Input) -> None:
        """Add operations.

        Raises:
            ConfigurationError: an element is not an operation that writes; the message says which.
        """
        async for item in given.pulled_async():
            self._ask_for(item.operation)
            if not self._lines % BATCH:
                await asyncio.sleep(0)

    def _ask_for(self, operation: Operation[Any]) -> None:
        line = self._lines + 1
        try:
            self.add(PlanRequest(line=line, operation=as_write(operation)))
        except ConfigurationError as error:
            raise ConfigurationError(f"operation {line}: {error}") from None

    def add(self, asked: PlanRequest) -> None:
        """Add one operation; its line must be the next."""
        operation = asked.operation
        self._lines += 1
        expected = None if asked.expected is None else json.dumps(dict(asked.expected))
        noun, keys = operation.target().noun, wanted_by(operation, slugs=True)
        # A new object without a key gets an address of its own.
        address = keys[0][0] if keys else address_of(operation) or key_of(noun, f"#{asked.line}")
        if operation.plan_expand:
            self._expand.setdefault(noun, set()).update(operation.plan_expand)
        if removes(operation):
            self._deleting.add(noun)
        for target in operation.needs():
            if noun_named(target.noun).get_at(target) is not None:
                self._lacks[target] = ""
        self._wanted += keys
        if len(self._wanted) >= BATCH:
            self._want()
        self._scratch.execute(
            "INSERT INTO asked VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            (
                asked.line,
                address,
                removes(operation),
                json.dumps(operation_to_json(operation)),
                expected,
            ),
        )

    def _want(self) -> None:
        self._snapshot.want(self._wanted)
        self._wanted.clear()

    async def select(self, change: BulkChange) -> None:
        """Read the fleet, and add the operations for each selected object."""
        noun = noun_named(change.noun)
        self._snapshot.expand[noun.name] = change.expand

        def take(states: list[Any]) -> None:
            for state in states:
                self._select(change, noun.facts(state), state)

        for site_id in dict.fromkeys(change.sites) or (None,):
            await self._snapshot.read_pages(noun, site_id, on_new=take)

    def _select(self, change: BulkChange, facts: Facts, state: Any) -> None:
        try:
            operations = change.operations_for(state)
        except ConfigurationError as error:
            self._lines += 1
            self._scratch.execute(
                "INSERT INTO asked VALUES (?, ?, 0, NULL, NULL, ?, NULL)",
                (self._lines, key_of(change.noun, facts.id), str(error)),
            )
            return
        for operation in operations or ():
            self.add(PlanRequest(line=self._lines + 1, operation=as_write(operation)))

    async def compile(self) -> Plan:
        """Read the states needed, decide about each operation, and order them all."""
        await self._read()
        await asyncio.to_thread(self._judge)
        wall = self._client.clock.wall()
        header = PlanHeader(
            base_url=str(self._client.base_url),
            created_at=rfc3339(wall, "seconds"),
            id=hashlib.sha256(f"{os.getpid()} {wall!r}".encode()).hexdigest(),
            rows=self.rows,
        )
        return await asyncio.to_thread(ScratchPlan, self._scratch, header)

    async def _read(self) -> None:
        snapshot = self._snapshot
        for noun, fields in () if snapshot.read else self._expand.items():
            snapshot.expand[noun] = tuple({*snapshot.expand.get(noun, ()), *fields})
        self._want()
        await snapshot.look()
        async for each in snapshot.absent(self._lacks):
            self._lacks[each] = f"there is no {each.word} {each.name}, or this token may not see it"
        # The state of an object does not list the objects that depend on it.
        deleted = "SELECT address FROM asked WHERE removes"
        sites = snapshot.sites_of(deleted)
        for noun in sorted(self._deleting - snapshot.complete):
            for site_id in sites if len(sites) <= _MOST_SITES else (None,):
                await snapshot.read_pages(noun_named(noun), site_id)

    def _judge(self) -> None:
        scratch = self._scratch
        scratch.execute("BEGIN")
        for batch in batches(scratch.execute("SELECT line, address FROM asked ORDER BY line")):
            found = [(self._snapshot.find(address), line) for line, address in batch]
            scratch.executemany(
                "UPDATE asked SET thing = ?, problem = ifnull(problem, ?) WHERE line = ?",
                ((each.key, each.problem, line) for each, line in found),
            )
        rows = scratch.execute(
            "SELECT ifnull(thing, address), line, operation, expected, problem, thing "
            "FROM asked ORDER BY ifnull(thing, '?' || address), line"
        )
        for address, of_thing in groupby(rows, key=lambda row: row[0]):
            self._judge_thing(address, list(of_thing))
        scratch.execute("COMMIT")
        conflicts.settle(scratch)

    def _judge_thing(self, address: str, rows: list[tuple[Any, ...]]) -> None:
        key = rows[0][5]
        state = None if key is None else self._snapshot.by_key(key)
        problem = next((row[4] for row in rows if row[4] is not None), None)
        asked = [self._asked(*row[1:4]) for row in rows if row[2] is not None]
        found = Found(key=key, state=state, problem=problem)
        thing, facts = parse(address), None
        # The object that the address names, or that a part belongs to.
        owner = self._snapshot.find(thing.owner) if thing.part else found
        if owner.state is not None:
            facts = noun_named(thing.noun).facts_at(thing.name, owner.state)
        for decision in judge(asked, found, owner):
            self._put(address, facts, decision)
        for row in rows:
            if row[2] is None:
                why, verdict = problem or "", Verdict.REFUSED
                refused = Decision(line=row[1], operation=None, verdict=verdict, why=why)
                self._put(address, facts, refused)

    def _asked(self, line: int, text: str, expected: str | None) -> PlanRequest:
        operation = as_write(operation_from_json(json.loads(text)))
        return PlanRequest(
            line=line,
            operation=operation,
            expected=None if expected is None else json.loads(expected),
            lacks=next(filter(None, (self._lacks.get(each) for each in operation.needs())), ""),
        )

    def _put(self, address: str, facts: Facts | None, decision: Decision) -> None:
        operation, before = decision.operation, decision.before
        row: dict[str, Any] = {
            "line": decision.line,
            "thing": address,
            "address": bare(address),
            "verdict": decision.verdict,
            "why": decision.why,
            "name": facts and facts.name,
            "type": facts and facts.type,
            "grp": (facts and facts.site_id) or "",
        }
        if operation is not None:
            row |= {
                "address": (operation.target().name or "") if facts is None else facts.id,
                "removes": removes(operation),
                "kind": kind_of(operation),
                "operation": json.dumps(operation_to_json(operation)),
                "before": None if before is None else json.dumps(dict(before)),
                "frees": decision.frees,
                "takes": decision.takes,
            }
        values = ", ".join(f":{column}" for column in row)
        into = f"INSERT INTO step ({', '.join(row)})"
        self._scratch.execute(f"{into} VALUES ({values})", row)
