"""Looks at a thing before it is changed: is it still as it was planned?

The API has no conditional write, so a look narrows the race and cannot close it: who
changes a thing between the look and the write is overwritten.
"""

import asyncio
import enum
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

from enapter_async._http.call import CallRecord
from enapter_async.converter import operation_from_json, operation_to_json
from enapter_async.errors import EnapterError
from enapter_async.fleet.errors import StaleError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.planning.decisions import told
from enapter_async.fleet.planning.effects import effect, is_irreversible, plain
from enapter_async.fleet.planning.snapshot import Snapshot, address_of, batches, open_scratch
from enapter_async.fleet.reading import Caller, read_state
from enapter_async.operation import Operation
from enapter_async.operations.nouns import reading

WorkSource = Callable[[], Iterator[WorkItem]]
"""Begins to give items, in order of `seq`; each call begins anew."""

STAGED_WAVES: Final = 2
"""In so many first waves of a staged run each device is read directly before its change."""

_SCHEMA: Final = """
CREATE TABLE expected (
    seq INTEGER PRIMARY KEY, address TEXT, operation TEXT, before TEXT
);
CREATE TABLE stale (seq INTEGER PRIMARY KEY, reason TEXT);
"""


class Guard(Protocol):
    """What the engine asks: once before each wave, and directly before each send.

    It is entered when the run begins, and left when it is over.
    """

    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def before_wave(self, number: int, items: WorkSource) -> None:
        """Take note of the wave that is about to begin; `number` counts from 0.

        Called before the first item of a wave is started, and again for what is left of it
        in a resume. Without waves everything is wave 0. Raises `EnapterError` where the
        fleet could not be read; then nothing of the wave may be started.
        """

    async def check(self, item: WorkItem) -> str | None:
        """Return None where the item may be sent, else why it is held.

        Called before the intent of the item is journalled, and not for an item that is
        `unchanged`. Raises `EnapterError` where the device could not be read; the item is
        held then, too.
        """


async def look(guard: Guard, item: WorkItem) -> StaleError | None:
    """Ask a guard about an item; give why it is held, or None where it may be sent."""
    try:
        reason = await guard.check(item)
    except EnapterError as error:
        return StaleError(f"nobody can say whether it is as planned: {error}", because=error)
    return None if reason is None else StaleError(reason)


class GuardMode(enum.StrEnum):
    """How a run looks at devices before it changes them."""

    AUTO = "auto"
    """`each` for deletions, configurations and the first two waves; `wave` for the rest."""
    EACH = "each"
    """Each device is read directly before it is changed: one more request for each."""
    WAVE = "wave"
    """The fleet is read by pages before a wave begins."""
    NONE = "none"
    """Nobody looks."""


def staleness(item: WorkItem, state: Any) -> str | None:
    """Say why a thing that was just read is no longer as planned, or None where it is.

    Only the fields in `item.before` count. What already is as wanted is not stale.
    """
    before: Mapping[str, Any] | None = item.before
    if before is None or item.operation.holds(state):
        return None
    if state is None:
        return f"the {item.operation.target().word} is gone since it was planned"
    for field, planned in before.items():
        now = getattr(state, field, None)
        if plain(now) != plain(planned):
            words = f"it was {told(planned)}, and is {told(now)}"
            return f"the {field} is not as planned any more: {words}"
    return None


class StateGuard:
    """Reads devices before they are changed, and holds what is no longer as planned.

    What no reading before its wave has shown is read directly before it is changed.

    `staged` says that the run has waves: without them, nothing is a first wave. Items
    without `before` are let pass. Use it inside `async with`. Changes nothing.
    """

    def __init__(
        self, client: Caller, mode: GuardMode = GuardMode.AUTO, *, staged: bool = False
    ) -> None:
        self._client = client
        self._mode = mode
        self._staged = staged
        self._wave = 0
        self._scratch: sqlite3.Connection | None = None
        # When what is as wanted already last changed, by the `seq` of items that are about to be
        # sent; who sends one takes it out.
        self.already: dict[int, float | None] = {}

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Forget what was read."""
        self._forget()

    async def before_wave(self, number: int, items: WorkSource) -> None:
        """Read the fleet by pages, where that is this wave's guard.

        Raises:
            EnapterError: it could not be read.
        """
        self._forget()
        self._wave = number
        scratch = open_scratch()
        try:
            scratch.executescript(_SCHEMA)
            if not await self._expect(scratch, items):
                scratch.close()
                return
            snapshot = Snapshot(self._client, scratch)
            for rows in batches(scratch.execute("SELECT operation FROM expected")):
                snapshot.want(operation_from_json(json.loads(text)) for (text,) in rows)
            await snapshot.look()
            await asyncio.to_thread(_compare, scratch, snapshot)
        except BaseException:
            scratch.close()
            raise
        self._scratch = scratch

    async def _expect(self, scratch: sqlite3.Connection, items: WorkSource) -> bool:
        """Keep what this wave expects; say whether it is anything."""
        any_expected = False
        guarded = (item for item in items() if self._is_compared(item))
        for batch in batches(guarded):
            scratch.executemany(
                "INSERT INTO expected VALUES (?, ?, ?, ?)",
                (
                    (
                        item.seq,
                        address_of(item.operation),
                        json.dumps(operation_to_json(item.operation)),
                        json.dumps(item.before),
                    )
                    for item in batch
                ),
            )
            any_expected = True
            await asyncio.sleep(0)
        return any_expected

    def _is_compared(self, item: WorkItem) -> bool:
        if self._mode is GuardMode.NONE:
            return False
        guarded = item.before is not None and reading(item.operation) is not None
        return guarded and not item.unchanged and not self._looks_at_each(item)

    def _looks_at_each(self, item: WorkItem) -> bool:
        if self._mode is not GuardMode.AUTO:
            return self._mode is GuardMode.EACH
        first = self._staged and self._wave < STAGED_WAVES
        return first or is_irreversible(item.operation)

    async def check(self, item: WorkItem) -> str | None:
        """Return None where the item may be sent, else why it is held.

        Raises:
            EnapterError: the state could not be read.
        """
        request = reading(item.operation)
        if self._mode is GuardMode.NONE or item.before is None or request is None:
            return None
        if not self._looks_at_each(item):
            looked, reason = self._swept_reason(item)
            if looked:
                return reason
        record = CallRecord(decides=True)
        state = await read_state(self._client, request, record=record)
        if state is not None and record.seen is not None and item.operation.holds(state):
            self.already[item.seq] = record.seen.stamp
        return staleness(item, state)

    def _swept_reason(self, item: WorkItem) -> tuple[bool, str | None]:
        """Say whether the item was looked at before its wave, and why it is held."""
        if self._scratch is None:
            return False, None
        row = self._scratch.execute(
            "SELECT reason FROM expected LEFT JOIN stale USING (seq) WHERE seq = ?", (item.seq,)
        ).fetchone()
        return (False, None) if row is None else (True, row[0])

    def _forget(self) -> None:
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None


def _compare(scratch: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Write down which items are stale, each thing's items in their order.

    An item counts on what the earlier ones of its thing in this wave will have set.
    """
    at = None
    state: Any = None
    unreadable: str | None = None
    rows = scratch.execute("SELECT * FROM expected ORDER BY address, seq")
    for seq, address, operation_text, before in rows:
        if address != at:
            at = address
            found = snapshot.find(address)
            state, unreadable = found.state, found.problem
        operation: Operation[Any] = operation_from_json(json.loads(operation_text))
        item = WorkItem(seq=seq, operation=operation, before=json.loads(before))
        reason = unreadable or staleness(item, state)
        if reason is not None:
            scratch.execute("INSERT INTO stale VALUES (?, ?)", (seq, reason))
        state = effect(operation, state)
