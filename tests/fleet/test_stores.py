"""Whole runs with a journal in a file or in PostgreSQL, which must behave the same."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from enapter_async import Client, fleet
from enapter_async.emulator import Emulator, Reply, World
from enapter_async.fleet import JournalOptions, RunBusyError, RunRefusedError, State
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.names import read_journal, store_of
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.journal.postgres.reading import in_order
from enapter_async.fleet.journal.postgres.rows import write_run
from enapter_async.fleet.journal.records import event_row, item_row
from enapter_async.fleet.reporting.results import result_rows
from enapter_async.fleet.reporting.status import StatusReader
from enapter_async.operations.devices import GenerateConfig, UpdateDevice

DEVICES = 30
REFUSED = Reply(status=403, body=b'{"errors": [{"code": "forbidden\\u0000", "message": "no"}]}')


@pytest.fixture
def world() -> World:
    return World.seeded(DEVICES, 1, role="OWNER")


@pytest.fixture(params=["file", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "run.db")
    return f"{request.getfixturevalue('database')}#rename-2026/0007"


def renames(emulator: Emulator) -> list[UpdateDevice]:
    return [
        UpdateDevice(device_id=each.id, name=f"new \\ {number} Ü")
        for number, each in enumerate(emulator.world)
    ]


def generations(emulator: Emulator) -> list[GenerateConfig]:
    return [
        GenerateConfig(device_id=each.id, protocol="MQTT")
        for each in emulator.world
        if each.type == "STANDALONE"
    ]


async def test_a_stopped_run_is_resumed_retried_reported_and_undone(
    journal: str, emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    operations, before = renames(emulator), [each.name for each in emulator.world]
    bad = operations[20].device_id
    emulator.faults.add(
        REFUSED, when=lambda it: it.device_id == bad and it.method == "PATCH", times=None
    )
    waves = fleet.Rollout(waves=(1, "rest"), hold=0)
    options = JournalOptions(path=journal, facts={"source": "x.csv"})
    with await fleet.plan(client, operations) as plan:
        async with fleet.Run(
            client, plan, journal=options, concurrency=4, rollout=waves, abort=None
        ) as run:
            with pytest.raises(RunBusyError, match="another runner is executing"):
                await fleet.resume(client, journal)
            reader = StatusReader(journal)
            assert reader.read().running
            async for _ in run:
                run.stop()
        status = fleet.status(journal)
        assert reader.read() == status
        assert (status.running, status.total, status.facts["source"]) == (False, DEVICES, "x.csv")
        assert 0 < status.done < 10
        report = await fleet.apply(client, plan, journal=journal, abort=None)
    assert report.counts[State.FAILED] == 1
    status, troubles = reader.read_with_troubles(3)
    assert status == fleet.status(journal)
    assert [each.outcome.operation.target().id for each in troubles] == [bad]
    with pytest.raises(RunRefusedError, match="the input differs"):
        await fleet.apply(client, operations[1:], journal=journal)
    with closing(read_journal(journal)) as opened:
        failed = [row for row in result_rows(opened) if row["state"] == "failed"]
    assert [row["status"] for row in failed] == [403]
    emulator.faults.clear()
    again = JournalOptions(path=journal, retry_failed=True)
    report = await fleet.resume(client, again, abort=None)
    assert report.stopped is None
    assert report.counts[State.APPLIED] == DEVICES
    fleet.write_report(journal, tmp_path / "report.html")
    assert "x.csv" in (tmp_path / "report.html").read_text()
    back = await fleet.undo(client, journal)
    with back.plan:
        await fleet.apply(client, back.plan)
    assert [each.name for each in emulator.world] == before
    status = reader.read()
    assert status == fleet.status(journal)
    delete_events(journal)
    assert reader.read() == status, "what was read before was read again"
    assert fleet.status(journal) != status


def delete_events(journal: str) -> None:
    if "#" in journal:
        with closing(connect(Address.parse(journal))) as connection:
            connection.execute("DELETE FROM enapter_fleet.event")
    else:
        with closing(sqlite3.connect(journal, isolation_level=None)) as file:
            file.execute("DELETE FROM event")


async def test_a_streamed_input_is_journalled_as_it_arrives_and_compared_when_it_arrives_again(
    journal: str, emulator: Emulator, client: Client
) -> None:
    operations = renames(emulator)

    async def stream() -> AsyncIterator[UpdateDevice]:
        for each in operations:
            yield each

    async with fleet.Run(client, stream(), journal=journal, concurrency=2) as run:
        async for _ in run:
            run.stop()
    assert not fleet.status(journal).complete
    report = await fleet.apply(client, stream(), journal=journal)
    assert report.counts[State.APPLIED] == DEVICES
    assert fleet.status(journal).complete
    assert emulator.world.count("update") == DEVICES


async def test_generated_credentials_stay_in_this_machines_file(
    journal: str, emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    operations, file = generations(emulator), tmp_path / "credentials.jsonl"
    async with fleet.Run(client, operations, journal=journal) as run:
        run.stop()
        async for _ in run:
            pass
    reader = StatusReader(journal)
    assert reader.read().kept == 0
    report = await fleet.resume(client, journal, credentials=file)
    assert report.counts[State.APPLIED] == len(operations)
    status = fleet.status(journal)
    assert reader.read() == reader.read() == status
    assert (status.credentials, status.kept) == (str(file), len(operations))
    assert status.credentials_elsewhere == ()
    assert (await fleet.resume(client, journal)).counts[State.APPLIED] == len(operations)
    assert emulator.world.count("generate_config") == len(operations)
    if "#" in journal:
        with closing(connect(Address.parse(journal))) as connection:
            tables = ("run", "fact", "item", "event")
            stored = str(
                [connection.execute(f"SELECT * FROM enapter_fleet.{each}").fetchall()
                 for each in tables]
            )  # fmt: skip
        assert emulator.token not in stored
        for line in file.read_text().splitlines():
            assert not any(secret in stored for secret in secrets_of(json.loads(line)))


def secrets_of(row: dict[str, Any]) -> list[str]:
    return [text for text in row["config"].values() if isinstance(text, str) and len(text) > 20]


async def test_a_session_reads_old_rows_as_from_a_file(database: str, tmp_path: Path) -> None:
    """Items and events that use each column and each awkward character."""
    items = [
        WorkItem(seq=0, operation=UpdateDevice(device_id="a", name="\t\\N \n\r 'Ü' {,}")),
        WorkItem(
            seq=3,
            operation=UpdateDevice(device_id="b", name="x"),
            before={"name": "\0\ud800", "slug": None},
            group="\t{site}\\",
            unit=7,
            wave=2,
            after=0,
            unchanged=True,
        ),
    ]
    rows: list[Any] = [
        event_row(0, "intent", 1, attempt=1),
        (0, 0, "failed", 1, 2, 3, 400, "a\0b", 'i"d', '{"message": "\\u0000"}'),
        event_row(None, "wave begun", 4, detail="{}"),
        event_row(3, "acknowledged", 5),
    ]
    found = []
    for name in (str(tmp_path / "run.db"), f"{database}#streamed", f"{database}#begun"):
        hold = await store_of(name).hold()
        streamed = name.endswith("streamed")
        await hold.begin({"\ta": "\\b\n"}, [] if streamed else map(item_row, items))
        writer = hold.writer(lambda error: pytest.fail(str(error)))
        for item in items if streamed else ():
            writer.add_item(item_row(item))
        for row in rows:
            writer.add(row)
        await writer.close()
        await hold.release()
        again = await store_of(name).hold()
        with closing(read_journal(name)) as direct:
            for journal in (direct, again.journal):
                events = [event for event in journal.events() if event.id]
                first = events[0].id
                found.append(
                    {
                        "facts": journal.facts(),
                        "items": list(journal.items()),
                        "digests": list(journal.digests()),
                        "events": [(each.id - first, each.kind, each.detail) for each in events],
                        "ends": [
                            (item, event and event.kind, at) for item, event, at in journal.ends()
                        ],
                        "marks": [mark[1:] for mark in journal.marks(after=first)],
                        "notes": [each.kind for each in journal.notes()],
                        "code": events[1].code in ("a\0b", "a\\0b"),
                        "first": journal.first_intent(0),
                        "last": (journal.last_seq(), journal.last_event() - first),
                    }
                )
        await again.release()
    assert found[0]["items"] == items
    assert all(each == found[0] for each in found)


def test_many_runs_are_written_in_one_transaction(database: str) -> None:
    works = [WorkItem(seq=0, operation=UpdateDevice(device_id="a", name="b"))]
    with closing(connect(Address.parse(database, with_run=False))) as connection:
        connection.execute("BEGIN")
        write_run(connection.cursor(), "job/1", {"a": "b"}, map(item_row, works))
        connection.execute("ROLLBACK")
        assert not store_of(f"{database}#job/1").exists()
        with connection.transaction():
            for number in (1, 2):
                write_run(connection.cursor(), f"job/{number}", {"a": "b"}, map(item_row, works))
    for number in (1, 2):
        with closing(read_journal(f"{database}#job/{number}")) as journal:
            assert (journal.facts(), list(journal.items())) == ({"a": "b"}, works)


def test_the_page_shows_how_an_old_run_is_removed(database: str) -> None:
    page = (Path(__file__).parents[2] / "docs/howto/postgres.md").read_text("utf-8")
    statement = page[page.index("WITH old AS") : page.rindex("```")]
    works = [WorkItem(seq=0, operation=UpdateDevice(device_id="a", name="b"))]
    with closing(connect(Address.parse(database, with_run=False))) as connection:
        for name in ("rename-2026", "other"):
            run = write_run(connection.cursor(), name, {"a": "b"}, map(item_row, works))
            connection.execute(
                "INSERT INTO enapter_fleet.event (run, seq, step, kind, at_ms) "
                "VALUES (%s, 0, 0, 'held', 1)",
                (run,),
            )
        connection.execute(statement)
        for table in ("run", "fact", "item", "event"):
            (left,) = connection.execute(f"SELECT count(*) FROM enapter_fleet.{table}").fetchone()
            assert left == 1


DAMAGE = (
    ("UPDATE enapter_fleet.item SET operation = '{' WHERE seq = 3", "report, resume"),
    ("UPDATE enapter_fleet.item SET follows = 7 WHERE seq = 3", "report, resume"),
    ("UPDATE enapter_fleet.event SET seq = 400 WHERE seq = 0", "report, resume"),
    ("UPDATE enapter_fleet.event SET at_ms = -1 WHERE seq = 0", "report"),
    ("DELETE FROM enapter_fleet.fact WHERE key = 'salt'", "resume"),
)
"""Rows that no run wrote, and who notices."""


async def test_damaged_rows_are_refused_and_nothing_is_sent(
    emulator: Emulator, client: Client, database: str, tmp_path: Path
) -> None:
    for number, (damage, noticed) in enumerate(DAMAGE):
        journal = f"{database}#run-{number}"
        async with fleet.Run(client, renames(emulator), journal=journal, concurrency=1) as run:
            async for _ in run:
                run.stop()
        with closing(connect(Address.parse(journal))) as connection:
            this = f"run = (SELECT id FROM enapter_fleet.run WHERE name = 'run-{number}')"
            connection.execute(f"{damage} AND {this}")
        emulator.world.log.clear()
        if "report" in noticed:
            with pytest.raises(RunRefusedError, match=rf"#run-{number} is corrupt"):
                fleet.write_report(journal, tmp_path / "report.html")
        if "resume" in noticed:
            with pytest.raises(RunRefusedError, match=rf"#run-{number} is corrupt"):
                await fleet.resume(client, journal)
        assert emulator.world.log.count_arrivals("PATCH") == 0
        assert not store_of(journal).is_held()


def test_a_page_is_read_by_its_index_although_the_server_has_no_statistics(database: str) -> None:
    with closing(connect(Address.parse(database, with_run=False))) as connection:
        write_run(connection.cursor(), "run", {"a": "b"}, [])
        connection.execute(
            "INSERT INTO enapter_fleet.event (run, seq, step, kind, at_ms) "
            "SELECT run.id, number, 0, 'held', 1 "
            "FROM enapter_fleet.run, generate_series(1, 20000) AS number"
        )
        with closing(read_journal(f"{database}#run")) as journal:
            dialect = journal._dialect
        cursor = psycopg.ClientCursor(connection)
        cursor.execute(in_order("EXPLAIN " + dialect.events("*", "seq IS NOT NULL AND ")), (9, 500))
        while cursor.nextset():
            pass
        plan = "\n".join(line for (line,) in cursor.fetchall())
    # It would sort the whole run for each page, as it does without what `in_order` adds.
    assert "Index Scan using event_pkey" in plan
    assert "Sort" not in plan
