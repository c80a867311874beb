"""Files damaged by a disk or another program are refused with a plain message."""

import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.emulator import fleetfile
from enapter_async.fleet import RunRefusedError
from enapter_async.fleet.credentials import kept_in
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.fleet.reporting.results import result_rows
from enapter_async.operation import Operation
from enapter_async.operations.devices import UpdateDevice
from tests.fleet.callers import ScriptedCaller

OPERATIONS: list[Operation[Any]] = [UpdateDevice(device_id="dev-1", name="One")]


class Known(ScriptedCaller):
    """A caller that a journal recognizes."""

    base_url = "http://127.0.0.1:9"

    def fingerprint(self, salt: bytes) -> str:
        return Client("token").fingerprint(salt)


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    await fleet.apply(Known(), OPERATIONS, journal=path)
    return path


def spoil(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()


def wipe_all_but_the_first_page(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes(len(data) - 4096))


WRONG = {
    "an item that is not an operation": "UPDATE item SET operation = '{}'",
    "an item that is no JSON": "UPDATE item SET operation = '{'",
    "an item far beyond the last": "UPDATE item SET seq = 4611686018427387904",
    "an item that follows itself": "UPDATE item SET follows = seq",
    "an event of no item": "UPDATE event SET seq = 5 WHERE seq = 0",
    "a fact that is not text": "UPDATE run SET value = x'ff' WHERE key = 'base_url'",
    "a fact that is missing": "DELETE FROM run WHERE key = 'base_url'",
    "a salt that is none": "UPDATE run SET value = 'x' WHERE key = 'salt'",
    "a count that is none": "UPDATE run SET value = 'x' WHERE key = 'count'",
    "a rollout that is no JSON": "INSERT INTO run VALUES ('rollout', '{')",
    "a rollout of another version": "INSERT INTO run VALUES ('rollout', '{}')",
    "no facts, and items": "DELETE FROM run",
    "no table of events": "DROP TABLE event",
}


@pytest.mark.parametrize("sql", WRONG.values(), ids=WRONG.keys())
async def test_a_damaged_journal_is_not_resumed(journal: Path, sql: str) -> None:
    spoil(journal, sql)
    caller = Known()
    with pytest.raises(RunRefusedError):
        await fleet.apply(caller, OPERATIONS, journal=journal)
    assert caller.began == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE item SET operation = '['",
        "UPDATE event SET at_ms = 4611686018427387904",
        "UPDATE event SET elapsed_ms = 'x'",
    ],
)
async def test_a_damaged_journal_gives_no_results(journal: Path, sql: str) -> None:
    spoil(journal, sql)
    with (
        closing(read_journal(journal)) as opened,
        pytest.raises(RunRefusedError, match="is corrupt"),
    ):
        list(result_rows(opened))


async def test_a_journal_with_a_lost_page_is_refused(journal: Path) -> None:
    spoil(journal, "PRAGMA journal_mode=DELETE")
    wipe_all_but_the_first_page(journal)
    with pytest.raises(RunRefusedError):
        await fleet.apply(Known(), OPERATIONS, journal=journal)


def test_a_journal_whose_tables_have_damaged_names_is_refused(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET name = CAST(x'80' AS TEXT), sql = 'x'")
        connection.commit()
    with pytest.raises(RunRefusedError, match="is corrupt"):
        SQLiteJournal.open(journal)
    with (
        closing(read_journal(journal)) as opened,
        pytest.raises(RunRefusedError, match="is corrupt"),
    ):
        opened.facts()


def swap_the_last_rows(path: Path, table: str) -> None:
    """Return the rows of a table's only page in an order other than that of their keys."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (page,) = connection.execute(query, (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    start = (page - 1) * size
    assert data[start] == 13, "it is not a leaf"  # from SQLite's file format, 1.6
    last = start + 8 + 2 * (int.from_bytes(data[start + 3 : start + 5]) - 1)
    data[last - 2 : last + 2] = data[last : last + 2] + data[last - 2 : last]
    path.write_bytes(data)


def test_a_journal_with_circular_rows_is_not_read_forever(journal: Path) -> None:
    swap_the_last_rows(journal, "event")
    with (
        closing(read_journal(journal)) as opened,
        pytest.raises(RunRefusedError, match="out of order"),
    ):
        assert len(list(islice(opened.events(), 1000))) < 1000


def test_lines_of_a_credentials_file_that_no_run_wrote_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "credentials.jsonl"
    lines = [
        '{"run":"r","config":{}}',
        '{"run":"r","config":{},"item":[],"intent":1}',
        '{"run":"r","config":{},"item":2,"intent":1}',
        "[" * 3000,
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert kept_in(path, "r") == {(2, 1)}


def test_a_fleet_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    path.write_text("[" * 3000, encoding="utf-8")
    with pytest.raises(fleetfile.FleetFileError):
        fleetfile.read(path)
