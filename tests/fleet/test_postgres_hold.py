"""A run held in PostgreSQL: one session writes, and a session that lost its hold writes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from enapter_async.fleet import JournalError, RunBusyError, RunRefusedError
from enapter_async.fleet.errors import TakenOverError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.lease import HoldTerms
from enapter_async.fleet.journal.names import read_journal, store_of
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.journal.postgres.hold import PostgresHold
from enapter_async.fleet.journal.postgres.writer import PostgresWriter
from enapter_async.fleet.journal.records import event_row, item_row
from enapter_async.operations.devices import UpdateDevice
from tests.support.cutter import Cutter
from tests.support.postgres import PostgresServer

TERMS = HoldTerms(lease=30.0, commit_timeout=20.0)
"""Renewed only every five seconds, so that a test sees only the effects of its own actions."""


@pytest.fixture
def name(database: str) -> str:
    return f"{database}#run"


@pytest.fixture
def sql(database: str) -> Iterator[Callable[[str], Any]]:
    """Executes a statement independently of all holds, and returns its rows, if any."""
    with closing(connect(Address.parse(database, with_run=False))) as connection:

        def execute(statement: str) -> Any:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

        yield execute


@asynccontextmanager
async def held(
    name: str, terms: HoldTerms = TERMS, **settings: Any
) -> AsyncIterator[tuple[PostgresHold, PostgresWriter, list[JournalError]]]:
    failures: list[JournalError] = []
    hold = await PostgresHold.take(Address.parse(name), terms, **settings)
    try:
        yield hold, hold.writer(failures.append), failures
    finally:
        await hold.release()


def intent(seq: int) -> Any:
    return event_row(seq, "intent", 1, attempt=1)


def intents(name: str) -> list[int | None]:
    with closing(read_journal(name)) as journal:
        return [event.seq for event in journal.events()]


def let_lapse(sql: Callable[[str], Any]) -> None:
    sql("UPDATE enapter_fleet.run SET lease_until = clock_timestamp() - interval '1 s'")


async def test_a_second_session_is_refused_by_the_name_of_the_first(name: str) -> None:
    async with held(name) as (first, _, _):
        assert store_of(name).is_held()
        with pytest.raises(RunBusyError, match=r"executing .*#run \(.*, process \d+"):
            await PostgresHold.take(Address.parse(name), TERMS)
        await first.begin({"a": "b"})
    assert not store_of(name).is_held()
    async with held(name) as (second, _, _):
        assert second.journal.facts() == {"a": "b"}


async def test_a_session_that_lost_its_hold_writes_no_intent(
    name: str, sql: Callable[[str], Any]
) -> None:
    async with held(name) as (old, old_writer, failures):
        await old.begin({"a": "b"})
        await old_writer.commit(intent(0))
        let_lapse(sql)
        async with held(name) as (_, new_writer, _):
            await new_writer.commit(intent(1))
            with pytest.raises(TakenOverError, match="taken over by another session"):
                await old_writer.commit(intent(2))
            with pytest.raises(TakenOverError):
                await old.put({"a": "c"})
            with pytest.raises(TakenOverError):
                await old.lease.until_certain()
            assert not old.lease.is_certain()
            assert [type(each) for each in failures] == [TakenOverError]
            assert intents(name) == [0, 1]
        with closing(read_journal(name)) as journal:
            assert journal.facts() == {"a": "b"}


async def test_a_take_over_waits_for_the_commit_that_it_would_overlap(
    name: str, database: str
) -> None:
    async with held(name) as (old, _, _):
        await old.begin({"a": "b"})
    with closing(connect(Address.parse(database, with_run=False))) as other:
        other.execute("BEGIN")
        other.execute("SELECT 1 FROM enapter_fleet.run FOR SHARE")
        taking = asyncio.create_task(PostgresHold.take(Address.parse(name), TERMS))
        done, _ = await asyncio.wait({taking}, timeout=0.2)
        assert not done
        other.execute("COMMIT")
        await (await taking).release()


@pytest.mark.parametrize("way", ["request", "answer"])
async def test_a_commit_in_doubt_is_made_once(name: str, way: Any) -> None:
    async with Cutter(name) as cutter, held(cutter.address) as (hold, writer, failures):
        await hold.begin({"a": "b"}, [])
        await writer.commit(intent(0))
        cutter.cut_at = way
        writer.add_item(item_row(WorkItem(seq=7, operation=UpdateDevice(device_id="a", name="b"))))
        await writer.commit(intent(1))
        assert cutter.cuts == 1
        await writer.commit(intent(2))
        await hold.put({"a": "c"})
        assert intents(name) == [0, 1, 2]
        assert failures == []
        with closing(read_journal(name)) as journal:
            assert [item.seq for item in journal.items()] == [7]


async def test_a_session_outlives_a_crash_of_the_database(
    name: str, postgres_server: PostgresServer
) -> None:
    async with held(name) as (hold, writer, failures):
        await hold.begin({"a": "b"})
        await writer.commit(intent(0))
        postgres_server.crash()
        waiting = writer.commit(intent(1))
        await asyncio.to_thread(postgres_server.start)
        await waiting
        assert intents(name) == [0, 1]
        assert failures == []


async def test_a_database_that_answers_nothing_stops_a_session_and_not_its_event_loop(
    name: str, postgres_server: PostgresServer
) -> None:
    async with held(name, HoldTerms(lease=30.0, commit_timeout=0.4)) as (hold, writer, failures):
        await hold.begin({"a": "b"})
        postgres_server.freeze()
        try:
            waiting = writer.commit(intent(0))
            turns = 0
            async with asyncio.timeout(60):
                while not waiting.done():
                    await asyncio.sleep(0.01)
                    turns += 1
            assert turns > 2
            with pytest.raises(
                JournalError, match=r"did not answer within|no server answers within 0.4 s"
            ):
                await waiting
            with pytest.raises(JournalError):
                await writer.commit(intent(1))
            assert len(failures) == 1
        finally:
            postgres_server.thaw()


async def test_a_lease_that_was_not_renewed_in_time_is_not_certain(name: str) -> None:
    now = 0.0
    terms = HoldTerms(lease=1.2)  # renewed every 0.2 s
    async with held(name, terms, now=lambda: now) as (hold, _, _):
        await hold.begin({"a": "b"})
        now = 0.89
        assert hold.lease.is_certain()
        now = 0.91  # the last quarter of the lease
        assert not hold.lease.is_certain()
        await hold.lease.until_certain()
        assert hold.lease.is_certain()


async def test_a_stop_reaches_the_session_that_asks_for_it(name: str) -> None:
    store = store_of(name)
    stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with held(name, HoldTerms(lease=0.6)) as (hold, _, _):
        await hold.begin({"a": "b"})
        hold.lease.watch_stop(stopped.set_result)
        store.request_stop("the grid is down")
        async with asyncio.timeout(60):
            assert await stopped == "the grid is down"
    with pytest.raises(RunRefusedError, match="asked to stop: the grid is down"):
        await store.hold(HoldTerms(heed_stop=True))
    async with held(name):
        pass
    await (await store.hold(HoldTerms(heed_stop=True))).release()


async def test_a_new_run_exists_completely_or_not_at_all(name: str) -> None:
    def rows() -> Iterator[Any]:
        for seq in range(700):
            yield item_row(WorkItem(seq=seq, operation=UpdateDevice(device_id="a", name="b")))
        raise ValueError("the input is broken")

    async with held(name) as (hold, _, _):
        with pytest.raises(ValueError, match="the input is broken"):
            await hold.begin({"a": "b"}, rows())
    assert not store_of(name).exists()
    with pytest.raises(RunRefusedError, match="there is no run 'run' in"):
        read_journal(name)
    async with held(name) as (hold, _, _):
        assert hold.journal.last_seq() == -1


async def test_a_cancelled_release_still_releases_the_run(name: str) -> None:
    hold = await PostgresHold.take(Address.parse(name), TERMS)
    await hold.begin({"a": "b"})
    releasing = asyncio.create_task(hold.release())
    await asyncio.sleep(0)
    releasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await releasing
    assert not store_of(name).is_held()


async def test_a_write_whose_caller_was_cancelled_still_ends_before_the_next(
    name: str, database: str
) -> None:
    long = "d" * 20_000_000  # more than a socket takes at once
    async with held(name) as (hold, _, failures):
        await hold.begin({"a": "b"})
        with closing(connect(Address.parse(database, with_run=False))) as other:
            other.execute("BEGIN")
            other.execute("SELECT 1 FROM enapter_fleet.run FOR UPDATE")
            cancelled = asyncio.create_task(hold.put({"a": "c"}))
            done, _ = await asyncio.wait({cancelled}, timeout=0.2)
            assert not done
            cancelled.cancel()
            await asyncio.wait({cancelled})
            following = asyncio.create_task(hold.put({"long": long}))
            other.execute("COMMIT")
            await following
            # No connection was lost: each new one raises the epoch.
            assert other.execute("SELECT epoch FROM enapter_fleet.run").fetchall() == [(1,)]
        assert failures == []
    with closing(read_journal(name)) as journal:
        assert journal.facts() == {"a": "c", "long": long}
