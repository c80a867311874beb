"""If a journal can no longer be written, nothing more is sent, and a later session continues."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.api.accepted import Following
from enapter_async.client import Client
from enapter_async.emulator import Emulator, Latency, World
from enapter_async.emulator.faults import Target
from enapter_async.fleet import JournalError, JournalOptions, RunRefusedError, State
from enapter_async.fleet.errors import NotStartedError
from enapter_async.fleet.execution import Execution, ExecutionContext
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.records import ItemRecord
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.callers import ScriptedCaller

if sys.platform != "win32":
    import resource


@pytest.fixture
def world() -> World:
    return World.seeded(60, 1, role="OWNER")


def full_after(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make SQLite report a full disk after that many groups."""
    left = groups
    add = SQLiteJournal.add

    def limited(self: SQLiteJournal, *arguments: Any, full: bool) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            # For its message in that case, see the tests of the writer, where the disk really is
            # full.
            raise sqlite3.OperationalError("database or disk is full")
        add(self, *arguments, full=full)

    monkeypatch.setattr(SQLiteJournal, "add", limited)


def intents(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT count(*) FROM event WHERE kind = 'intent'").fetchone()
    return int(found[0])


@pytest.mark.parametrize("power", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
async def test_nothing_is_sent_that_is_not_in_the_journal(
    *,
    world: World,
    client: Client,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    power: bool,
    streamed: bool,
) -> None:
    renames = [UpdateDevice(device_id=device.id, name="n" * 200) for device in world]
    options = JournalOptions(path=path, power=power)
    with monkeypatch.context() as patch:
        full_after(6, patch)
        report = await fleet.apply(
            client, iter(renames) if streamed else renames, journal=options, concurrency=4
        )
    assert isinstance(report.stopped, JournalError)
    assert "full" in str(report.stopped)
    assert not report.ok
    sent = world.log.count_arrivals()
    assert 0 < sent < 60
    assert sent <= intents(path)
    assert report.counts[State.HELD] > 0
    again = await fleet.apply(client, iter(renames) if streamed else renames, journal=options)
    assert again.counts[State.APPLIED] == 60
    assert again.complete


class FullJournal:
    """Keeps the records of items in a journal that cannot be written."""

    def add_intent(self, item_record: ItemRecord) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter.set_exception(JournalError("the disk is full"))
        return waiter

    def accepted(self, item_record: ItemRecord, reading: Operation[Any]) -> None:
        """Accept nothing: no test gets this far."""

    def age(self, item_record: ItemRecord) -> float:
        return 0.0


async def test_an_operation_whose_intent_was_not_written_holds_by_itself() -> None:
    caller = ScriptedCaller()
    work = WorkItem(seq=0, operation=UpdateDevice(device_id="dev-1", name="New"))
    item = Execution(work.operation, ItemRecord(work, FullJournal()))
    outcome = await item.carry_out(ExecutionContext(client=caller, following=Following()))
    assert outcome.state is State.HELD
    assert isinstance(outcome.error, NotStartedError)
    assert isinstance(outcome.error.because, JournalError)
    assert caller.began == []


async def test_a_new_configuration_is_not_requested_either(
    world: World,
    client: Client,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    mints = [
        GenerateConfig(device_id=device.id, protocol="MQTT")
        for device in world
        if device.type == "STANDALONE"
    ]
    full_after(0, monkeypatch)
    report = await fleet.apply(client, mints, journal=path, credentials=tmp_path / "c.jsonl")
    assert isinstance(report.stopped, JournalError)
    assert world.log.count_arrivals() == 0
    assert report.counts[State.HELD] == len(mints)


async def test_an_item_cut_off_before_it_is_sent_is_held_and_never_unknown(
    world: World, emulator: Emulator, client: Client, path: Path, tmp_path: Path
) -> None:
    mints = [
        GenerateConfig(device_id=device.id, protocol="MQTT")
        for device in world
        if device.type == "STANDALONE"
    ]
    arrived = asyncio.Event()

    def note(_: Target) -> bool:
        arrived.set()
        return True

    emulator.faults.add(Latency(seconds=0.1), times=None, when=note)
    credentials = tmp_path / "c.jsonl"
    run = fleet.Run(client, mints, journal=path, credentials=credentials, concurrency=len(mints))
    async with run:
        await arrived.wait()
        run.cut()
        async for _ in run:
            pass
    # Each of the others had its intent written, or was about to.
    unknown = run.report.counts[State.UNKNOWN]
    assert 1 <= world.log.count_arrivals() <= unknown
    assert run.report.counts[State.HELD] == len(mints) - unknown
    emulator.faults.clear()
    report = await fleet.resume(client, path)
    assert report.counts[State.UNKNOWN] == unknown
    assert report.counts[State.APPLIED] == len(mints) - unknown


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot limit file sizes")
@pytest.mark.parametrize("room", [3000, 33_000], ids=["the tables", "the operations"])
async def test_a_journal_for_which_there_is_no_room_leaves_nothing_behind(
    world: World, client: Client, path: Path, room: int
) -> None:
    operations = [UpdateDevice(device_id=each.id, name="New") for each in world]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises((JournalError, RunRefusedError), match=r"cannot be (used|written)"):
            await fleet.apply(client, operations, journal=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert world.log.count_arrivals() == 0
    assert [each.name for each in path.parent.glob("run.db*")] == ["run.db.lock"]
    report = await fleet.apply(client, operations, journal=path)
    assert report.counts[State.APPLIED] == len(operations)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:  # what was done can be read, even if nothing can be written
        assert fleet.status(path).counts == report.counts
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
