"""Checks before each change whether the target is still as it was when planned.

The API has no conditional write, so a check narrows the race but cannot close it: a change made
by someone else between the check and the write is overwritten.
"""

import asyncio
import enum
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

from enapter_async._http.call import CallRecord
from enapter_async.clock import Clock
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import EnapterError
from enapter_async.fleet.errors import StaleError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.planning.decisions import told_apart
from enapter_async.fleet.planning.effects import effect, is_irreversible, plain
from enapter_async.fleet.planning.snapshot import Snapshot, batches, wanted_by
from enapter_async.fleet.reading import Caller, read_state
from enapter_async.fleet.scratch import open_scratch
from enapter_async.fleet.waits import Reason, Wait
from enapter_async.operation import Operation, field_of
from enapter_async.operations.nouns import reading

WorkSource = Callable[[], Iterator[WorkItem]]
"""Returns an iterator over items, in order of `seq`; each call starts from the beginning."""

STAGED_WAVES: Final = 2
"""In the first waves of a staged run, this many, each device is read directly before its change."""

_SCHEMA: Final = """
CREATE TABLE expected (
    seq INTEGER PRIMARY KEY, address TEXT, operation TEXT, before TEXT
);
CREATE TABLE stale (seq INTEGER PRIMARY KEY, reason TEXT);
"""


class Guard(Protocol):
    """The engine's hook for checks, called before each wave and directly before each send.

    The run enters it when it starts, and exits it when it is over.
    """

    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

    async def before_wave(self, number: int, items: WorkSource) -> None:
        """Prepare for the wave that is about to start; `number` counts from 0.

        Called before the first item of a wave is started, and again on a resume for the items
        left in it. Without waves everything is wave 0. Raises `EnapterError` if the fleet
        could not be read; then no item of the wave may be started.
        """

    async def check(self, item: WorkItem) -> str | None:
        """Return the reason to hold the item, or None if it may be sent.

        Called before the item's intent is written to the journal, and not for an item that is
        `unchanged`. Raises `EnapterError` if the device could not be read; the item is then
        held too.
        """


def _unheard(_: Wait | None) -> None:
    """Ignore a wait that nobody asked about."""


async def look(guard: Guard, item: WorkItem) -> StaleError | None:
    """Check an item with a guard; return the reason to hold it, or None if it may be sent."""
    try:
        reason = await guard.check(item)
    except EnapterError as error:
        return StaleError(f"it is unknown whether it is still as planned: {error}", because=error)
    return None if reason is None else StaleError(reason)


class GuardMode(enum.StrEnum):
    """How a run checks devices before it changes them."""

    AUTO = "auto"
    """`each` for deletions, configurations and the first two waves; `wave` for the rest."""
    EACH = "each"
    """Each device is read directly before it is changed: one more request for each."""
    WAVE = "wave"
    """The fleet is read page by page before each wave."""
    NONE = "none"
    """Nothing is checked."""


def staleness(item: WorkItem, state: Any) -> str | None:
    """Return how a target that was just read differs from its plan, or None if it does not.

    Only the fields in `item.before` count. A target that already has the new values is not stale.
    """
    before: Mapping[str, Any] | None = item.before
    if before is None or item.operation.holds(state):
        return None
    if state is None:
        return f"the {item.operation.target().word} was deleted after it was planned"
    for field, planned in before.items():
        now = field_of(state, field)
        if plain(now) != plain(planned):
            words = f"it was {', now it is '.join(told_apart(planned, now))}"
            return f"the {field} is no longer as planned: {words}"
    return None


class StateGuard:
    """Reads devices before they are changed, and holds items whose device is not as planned.

    A device that was not read before its wave is read directly before it is changed.

    `staged` means that the run has waves; without them, no wave counts as a first one. `on_wait`
    receives a wait while the devices of a wave are read, and None afterwards. Items without
    `before` pass. Use it as an async context manager. Changes nothing.
    """

    def __init__(
        self,
        client: Caller,
        mode: GuardMode = GuardMode.AUTO,
        on_wait: Callable[[Wait | None], None] | None = None,
        *,
        staged: bool = False,
        clock: Clock = Clock(),
    ) -> None:
        self._client = client
        self._mode = mode
        self._staged = staged
        self._on_wait = on_wait or _unheard
        self._clock = clock
        self._wave = 0
        self._scratch: sqlite3.Connection | None = None
        # For items about to be sent whose target already has the new values: when the target last
        # changed, by `seq`. The sender removes the entry.
        self.already: dict[int, float | None] = {}

    async def __aenter__(self) -> Self:
        """Return the guard."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Discard everything that was read."""
        self._forget()

    async def before_wave(self, number: int, items: WorkSource) -> None:
        """Read the fleet page by page, if this wave is checked in that way.

        Raises:
            EnapterError: the fleet could not be read.
        """
        self._forget()
        self._wave = number
        scratch = open_scratch()
        try:
            scratch.executescript(_SCHEMA)
            snapshot = Snapshot(self._client, scratch)
            await self._expect(scratch, snapshot, items)
            ((number,),) = scratch.execute("SELECT count(*) FROM expected")
            if not number:
                scratch.close()
                return
            detail = f"reading {number:,} devices" if number > 1 else "reading 1 device"
            since = self._clock.monotonic()
            self._on_wait(Wait(reason=Reason.DRIFT, since=since, detail=detail))
            await snapshot.look()
            await asyncio.to_thread(_compare, scratch, snapshot)
            self._on_wait(None)
        except BaseException:
            scratch.close()
            raise
        self._scratch = scratch

    async def _expect(
        self, scratch: sqlite3.Connection, snapshot: Snapshot, items: WorkSource
    ) -> None:
        """Store the states that this wave expects, and which targets to look up."""
        for batch in batches(item for item in items() if self._is_compared(item)):
            wanted = [(item, wanted_by(item.operation)) for item in batch]
            snapshot.want(key for _, keys in wanted for key in keys)
            scratch.executemany(
                "INSERT INTO expected VALUES (?, ?, ?, ?)",
                [
                    (
                        item.seq,
                        keys[0][0],
                        json.dumps(operation_to_json(item.operation)),
                        json.dumps(item.before),
                    )
                    for item, keys in wanted
                    if keys
                ],
            )
            await asyncio.sleep(0)

    def _is_compared(self, item: WorkItem) -> bool:
        guarded = self._mode is not GuardMode.NONE and item.before is not None
        return guarded and not item.unchanged and not self._looks_at_each(item)

    def _looks_at_each(self, item: WorkItem) -> bool:
        if self._mode is not GuardMode.AUTO:
            return self._mode is GuardMode.EACH
        first = self._staged and self._wave < STAGED_WAVES
        return first or is_irreversible(item.operation)

    async def check(self, item: WorkItem) -> str | None:
        """Return the reason to hold the item, or None if it may be sent.

        Raises:
            EnapterError: the state could not be read.
        """
        if self._mode is GuardMode.NONE or item.before is None:
            return None
        if not self._looks_at_each(item):
            looked, reason = self._swept_reason(item)
            if looked:
                return reason
        request = reading(item.operation)
        if request is None:
            return None
        record = CallRecord(decides=True)
        state = await read_state(self._client, request, record=record)
        if state is not None and record.seen is not None and item.operation.holds(state):
            self.already[item.seq] = record.seen.stamp
        return staleness(item, state)

    def _swept_reason(self, item: WorkItem) -> tuple[bool, str | None]:
        """Return whether the item was checked before its wave, and any reason to hold it."""
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
    """Record which items are stale, processing each target's items in order.

    Each item is compared with the state that the target's earlier items in this wave will leave.
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
