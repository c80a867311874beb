"""Groups of rows: all rows handed in during one turn form one transaction, or none is written."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.records import event_row, item_row
from enapter_async.fleet.journal.sqlite import writer as journal_writer
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.fleet.journal.sqlite.writer import JournalWriter
from enapter_async.operations.devices import UpdateDevice


class Statements:
    """Records the statements that SQLite receives, and their thread."""

    def __init__(self, journal: SQLiteJournal) -> None:
        self.told: list[tuple[str, str]] = []
        journal._connection.set_trace_callback(self._take)

    def _take(self, statement: str) -> None:
        self.told.append((statement, threading.current_thread().name))

    def count(self, beginning: str) -> int:
        return sum(statement.startswith(beginning) for statement, _ in self.told)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SQLiteJournal]:
    with closing(SQLiteJournal.open(tmp_path / "run.db")) as opened:
        yield opened


@pytest.fixture
def failures() -> list[JournalError]:
    return []


@pytest.fixture
async def writer(
    journal: SQLiteJournal, failures: list[JournalError]
) -> AsyncIterator[JournalWriter]:
    opened = JournalWriter(journal, failures.append)
    yield opened
    if opened.failure is None:
        await opened.close()


def intents(journal: SQLiteJournal) -> list[int | None]:
    return [event.seq for event in journal.events() if event.kind == "intent"]


async def test_all_of_one_turn_is_one_transaction(
    journal: SQLiteJournal, writer: JournalWriter
) -> None:
    told = Statements(journal)
    waiters = [writer.commit(event_row(seq, "intent", 1, attempt=1)) for seq in range(50)]
    writer.add(event_row(50, "applied", 1))
    assert intents(journal) == []
    await asyncio.gather(*waiters)
    assert told.count("COMMIT") == 1
    assert intents(journal) == list(range(50))
    main = threading.main_thread().name
    assert {thread for statement, thread in told.told if statement == "COMMIT"} == {main}


async def test_a_group_is_written_in_order(journal: SQLiteJournal, writer: JournalWriter) -> None:
    rows = [
        event_row(0, "intent", 1, attempt=1),
        event_row(0, "held", 1, detail="{}"),
        event_row(1, "held", 1, detail="{}"),
        event_row(1, "intent", 1, attempt=1),
    ]
    for row in rows[:-1]:
        writer.add(row)
    await writer.commit(rows[-1])
    told = [(event.seq, event.kind) for event in journal.events()]
    assert told == [(0, "intent"), (0, "held"), (1, "held"), (1, "intent")]


async def test_items_are_written_with_their_intents(
    journal: SQLiteJournal, writer: JournalWriter
) -> None:
    operation = UpdateDevice(device_id="a", name="b")
    writer.add_item(item_row(WorkItem(seq=0, operation=operation)))
    await writer.commit(event_row(0, "intent", 1), power=True)
    assert [work.operation for work in journal.items()] == [operation]


async def test_the_power_level_gathers_and_syncs_on_a_thread(
    journal: SQLiteJournal, writer: JournalWriter
) -> None:
    told = Statements(journal)
    waiters = []
    for seq in range(20):
        waiters.append(writer.commit(event_row(seq, "intent", 1), power=True))
        await asyncio.sleep(0)
    assert told.count("COMMIT") == 0, "they are collected over many turns"
    await asyncio.gather(*waiters)
    assert told.count("COMMIT") == 1
    thread = next(thread for statement, thread in told.told if statement == "COMMIT")
    assert thread != threading.main_thread().name
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    await writer.commit(event_row(20, "intent", 1))
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (1,)


async def test_a_failing_group_fails_all_its_waiters_and_writes_nothing(
    journal: SQLiteJournal, writer: JournalWriter, failures: list[JournalError]
) -> None:
    await writer.commit(event_row(0, "intent", 1))
    # SQLite then reports a full disk.
    journal._connection.execute("PRAGMA max_page_count=1")
    waiters = [writer.commit((seq, 0, "intent", 1, 1, 0, 0, "x" * 4096, "", "")) for seq in (1, 2)]
    ended = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(each) for each in ended] == [JournalError, JournalError]
    assert intents(journal) == [0]
    assert len(failures) == 1
    with pytest.raises(JournalError, match="full"):
        await writer.commit(event_row(3, "intent", 1))
    with pytest.raises(JournalError):
        await writer.close()
    assert intents(journal) == [0], "a journal with a hole would lie"


async def test_a_power_group_that_fails_fails_its_waiters_too(
    journal: SQLiteJournal, writer: JournalWriter, failures: list[JournalError]
) -> None:
    journal._connection.execute("PRAGMA max_page_count=1")
    with pytest.raises(JournalError):
        await writer.commit((1, 0, "intent", 1, 1, 0, 0, "x" * 9999, "", ""), power=True)
    assert len(failures) == 1


@pytest.mark.parametrize("power", [False, True])
async def test_an_invalid_row_leaves_no_waiter_behind(
    journal: SQLiteJournal, writer: JournalWriter, failures: list[JournalError], power: bool
) -> None:
    writer.add((1, 0, "failed", 1, 1, 0, 400, "half \ud83d", "", ""))
    async with asyncio.timeout(60):
        with pytest.raises(JournalError):
            await writer.commit(event_row(2, "intent", 1), power=power)
        with pytest.raises(JournalError):
            await writer.close()
    assert len(failures) == 1
    assert list(journal.events()) == []


async def test_a_cancelled_waiter_does_not_affect_the_others(
    journal: SQLiteJournal, writer: JournalWriter
) -> None:
    first, second = (writer.commit(event_row(seq, "intent", 1)) for seq in (1, 2))
    first.cancel()
    await second
    assert intents(journal) == [1, 2]


async def test_closing_writes_the_rest_and_shortens_the_log(
    journal: SQLiteJournal, writer: JournalWriter
) -> None:
    writer.add(event_row(1, "applied", 1))
    writer.add(event_row(2, "applied", 1), power=True)
    writer.add_fact("count", "2")
    await writer.close()
    assert [event.seq for event in journal.events()] == [1, 2]
    assert journal.facts() == {"count": "2"}
    assert journal.log_bytes() == 0


async def test_the_log_is_kept_short_while_it_is_written(
    journal: SQLiteJournal, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "CHECKPOINT_ROWS", 200)
    monkeypatch.setattr(journal_writer, "SHORTEN_BYTES", 256 * 1024)
    # The count depends on when the thread runs; the test only requires that it runs repeatedly.
    shortened, before, seq = 0, 0, 0
    while shortened < 3 and seq < 60_000:
        await writer.commit((seq, 0, "intent", 1, 1, 0, 0, "x" * 500, "", ""))
        now = journal.log_bytes()
        shortened += now < before
        before = now
        seq += 1
    assert shortened == 3
    assert intents(journal) == list(range(seq))
