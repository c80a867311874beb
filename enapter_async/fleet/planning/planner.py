"""Makes plans: what operations would do to the fleet as it is now, before anything is sent."""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from enapter_async.client import Client
from enapter_async.converter import operation_from_json, operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.inputs import Input, Operations
from enapter_async.fleet.planning import conflicts
from enapter_async.fleet.planning.decisions import Decision, PlanRequest, judge
from enapter_async.fleet.planning.effects import as_change, wanted
from enapter_async.fleet.planning.plan import Plan, ScratchPlan, kind_of
from enapter_async.fleet.planning.plan_file import PlanHeader
from enapter_async.fleet.planning.selection import Change
from enapter_async.fleet.planning.snapshot import BATCH, Snapshot, batches, open_scratch
from enapter_async.models.devices import Device
from enapter_async.operation import Operation

_ASKED: Final = """
CREATE TABLE asked (
    line INTEGER PRIMARY KEY, address TEXT NOT NULL, kind TEXT NOT NULL, operation TEXT,
    expected TEXT, problem TEXT, device TEXT
);
"""

_MOST_SITES: Final = 16
"""Above deletions on more sites than this, the whole account is read rather than each site."""


async def plan(
    client: Client,
    operations: Operations[Any] | Change,
    *,
    on_read: Callable[[int], None] | None = None,
) -> Plan:
    """Say what operations would do to the fleet as it is now; nothing is changed.

    `operations` is any iterable or async iterable of operations that write, or a `Change` of
    selected devices. The present is read by pages, or one by one where that is cheaper; what
    the pages do not show is asked for singly before it is called absent. Devices named by
    slug are found, so that the plan holds ids only. Each operation is told as a change,
    unchanged, absent, the same as an earlier one, or refused, and why: such as a role that is
    too low, two values for one field, a slug that is wanted twice or stays with another
    device, or a device that others hang below. `on_read` is called with the number of devices
    read so far. Planning items in a scratch file; memory does not grow with the plan.

    It is no promise: others may change the fleet before the plan is applied, which looks
    again by its guard. Safe to repeat.

    Raises:
        ConfigurationError: something in the input is no operation that can be planned.
        EnapterError: the fleet could not be read.
    """
    planner = Planner(client, on_read=on_read)
    try:
        if isinstance(operations, Change):
            await planner.select(operations)
        else:
            await planner.ask(Input(operations))
        return await planner.compile()
    except BaseException:
        planner.close()
        raise


class Planner:
    """Makes one plan: `ask` or `select`, then `compile`."""

    def __init__(self, client: Client, *, on_read: Callable[[int], None] | None = None) -> None:
        self._client = client
        self._scratch = open_scratch()
        self._scratch.executescript(_ASKED + conflicts.SCHEMA)
        self._snapshot = Snapshot(client, self._scratch, on_read=on_read)
        self._lines = 0

    def close(self) -> None:
        """Drop the scratch file, unless a plan has taken it over."""
        self._scratch.close()

    async def ask(self, given: Input) -> None:
        """Take operations in.

        Raises:
            ConfigurationError: one of them is no operation that writes; says which.
        """
        async for item in given.pulled_async():
            self._ask_for(item.operation)
            if not self._lines % BATCH:
                await asyncio.sleep(0)

    def _ask_for(self, operation: Operation[Any]) -> None:
        line = self._lines + 1
        try:
            self.add(PlanRequest(line=line, operation=as_change(operation)))
        except ConfigurationError as error:
            raise ConfigurationError(f"operation {line}: {error}") from None

    def add(self, asked: PlanRequest) -> None:
        """Take one operation in; its line must be the next."""
        operation = asked.operation
        self._lines += 1
        expected = None if asked.expected is None else json.dumps(dict(asked.expected))
        self._scratch.execute(
            "INSERT INTO asked VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            (
                asked.line,
                operation.subject(),
                kind_of(operation),
                json.dumps(operation_to_json(operation)),
                expected,
            ),
        )

    async def select(self, change: Change) -> None:
        """Read the fleet, and take in what is to be done to each selected device."""
        selection = change.selection
        self._snapshot.expand = tuple({"communication", *selection.expand})

        def take(devices: list[Device]) -> None:
            for device in devices:
                groups = selection.match(device)
                if groups is not None:
                    self._select(change, device, groups)

        for site_id in dict.fromkeys(selection.site_ids) or (None,):
            await self._snapshot.read_pages(site_id, on_new=take)

    def _select(self, change: Change, device: Device, groups: Mapping[str, str | None]) -> None:
        try:
            operations = change.operations(device, groups)
        except ConfigurationError as error:
            self._lines += 1
            self._scratch.execute(
                "INSERT INTO asked VALUES (?, ?, 'none', NULL, NULL, ?, NULL)",
                (self._lines, device.id, str(error)),
            )
            return
        for operation in operations:
            self.add(PlanRequest(line=self._lines + 1, operation=as_change(operation)))

    async def compile(self) -> Plan:
        """Read what must be known, judge each operation, and put all in order."""
        await self._read()
        await asyncio.to_thread(self._judge)
        wall = self._client.clock.wall()
        made_at = datetime.fromtimestamp(wall, UTC)
        header = PlanHeader(
            base_url=str(self._client.base_url),
            created_at=made_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            id=hashlib.sha256(f"{os.getpid()} {wall!r}".encode()).hexdigest(),
        )
        return await asyncio.to_thread(ScratchPlan, self._scratch, header)

    async def _read(self) -> None:
        snapshot, scratch = self._snapshot, self._scratch
        kinds = {kind for (kind,) in scratch.execute("SELECT DISTINCT kind FROM asked")}
        if kinds & {"device.delete", "device.generate_config"} and not snapshot.read:
            snapshot.expand = ("communication",)
        for rows in batches(scratch.execute("SELECT address, operation FROM asked")):
            snapshot.want(address for address, _ in rows)
            snapshot.want(_slugs(operation for _, operation in rows))
        await snapshot.look()
        if "device.delete" not in kinds or snapshot.complete:
            return
        # What hangs below a device is not shown by the device.
        deleted = "SELECT address FROM asked WHERE kind = 'device.delete'"
        sites: list[str] = snapshot.sites_of(deleted)
        for site_id in sites if len(sites) <= _MOST_SITES else (None,):
            await snapshot.read_pages(site_id)

    def _judge(self) -> None:
        scratch = self._scratch
        scratch.execute("BEGIN")
        for batch in batches(scratch.execute("SELECT line, address FROM asked ORDER BY line")):
            found = [(self._snapshot.find(address), line) for line, address in batch]
            scratch.executemany(
                "UPDATE asked SET device = ?, problem = ifnull(problem, ?) WHERE line = ?",
                ((each.device and each.device.id, each.problem, line) for each, line in found),
            )
        rows = scratch.execute(
            "SELECT ifnull(device, address), line, operation, expected, problem, device "
            "FROM asked ORDER BY ifnull(device, '?' || address), line"
        )
        for address, of_device in groupby(rows, key=lambda row: row[0]):
            self._judge_device(address, list(of_device))
        scratch.execute("COMMIT")
        conflicts.settle(scratch)

    def _judge_device(self, address: str, rows: list[tuple[Any, ...]]) -> None:
        state = None if rows[0][5] is None else self._snapshot.by_id(rows[0][5])
        problem = next((row[4] for row in rows if row[4] is not None), None)
        asked = [
            PlanRequest(
                line=line,
                operation=as_change(operation_from_json(json.loads(operation))),
                expected=None if expected is None else json.loads(expected),
            )
            for _, line, operation, expected, _, _ in rows
            if operation is not None
        ]
        for decision in judge(asked, state, problem):
            self._put(address, state, decision)
        for row in rows:
            if row[2] is None:
                self._put_unnamed(address, state, row[1], problem or "")

    def _put(self, address: str, state: Device | None, decision: Decision) -> None:
        before = None if decision.before is None else json.dumps(dict(decision.before))
        self._scratch.execute(
            "INSERT INTO step (line, device_id, address, kind, verdict, why, operation, before, "
            "name, grp, frees, takes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                decision.line,
                state and state.id,
                address,
                kind_of(decision.operation),
                decision.verdict,
                decision.why,
                json.dumps(operation_to_json(decision.operation)),
                before,
                state and state.name,
                (state and state.site_id) or "",
                decision.frees,
                decision.takes,
            ),
        )

    def _put_unnamed(self, address: str, state: Device | None, line: int, why: str) -> None:
        self._scratch.execute(
            "INSERT INTO step (line, device_id, address, kind, verdict, why, name, grp) "
            "VALUES (?, ?, ?, 'none', 'refused', ?, ?, ?)",
            (line, address, address, why, state and state.name, (state and state.site_id) or ""),
        )


def _slugs(texts: Iterator[str | None]) -> Iterator[str]:
    """Yield the slugs that operations want, as addresses: who holds them must be known."""
    for text in texts:
        if text is not None:
            slug = wanted(operation_from_json(json.loads(text))).get("slug")
            if slug is not None:
                yield slug
