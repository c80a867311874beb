"""A run whose journal is in PostgreSQL, when the database or the process fails."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import traceback
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async import Client, fleet
from enapter_async.converter.operations import operation_to_json
from enapter_async.emulator import Emulator, Latency, TooManyRequests, World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import JournalError, JournalOptions, RunRefusedError, State
from enapter_async.fleet.journal.names import read_journal, store_of
from enapter_async.fleet.journal.options import LEAST_LEASE
from enapter_async.fleet.journal.postgres.address import Address, without_password
from enapter_async.fleet.journal.postgres.connections import connect
from enapter_async.fleet.journal.records import INTENT
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.killed_run import Settings
from tests.support.postgres import PostgresServer

DEVICES = 60
SLOW = Latency(seconds=0.02)
PASSWORD = "s3cr3t%2Fword"


@pytest.fixture
def world() -> World:
    return World.seeded(DEVICES, 1, role="OWNER")


def renames(emulator: Emulator) -> list[UpdateDevice]:
    return [
        UpdateDevice(device_id=each.id, name=f"new {number}")
        for number, each in enumerate(emulator.world)
    ]


def unjournalled(emulator: Emulator, journal: str) -> dict[str, tuple[int, int]]:
    """Return the devices that received more requests than the journal has intents for."""
    with closing(read_journal(journal)) as opened:
        ids = {item.seq: item.operation.target().id for item in opened.items()}
        intents = Counter(ids[each.seq or 0] for each in opened.events() if each.kind == INTENT)
    arrivals = {id_: len(emulator.world.log.arrivals(id_, "PATCH")) for id_ in intents}
    return {
        str(id_): (number, intents[id_])
        for id_, number in arrivals.items()
        if number > intents[id_]
    }


async def test_a_run_survives_a_crash_of_its_database(
    emulator: Emulator, client: Client, database: str, postgres_server: PostgresServer
) -> None:
    journal, away, seen = JournalOptions(path=f"{database}#run", commit_timeout=30.0), (0, 1), 0
    emulator.faults.add(SLOW, times=None)
    async with fleet.Run(client, renames(emulator), journal=journal, concurrency=4) as run:
        async for _ in run:
            seen += 1
            if seen == 5:
                postgres_server.crash()
                before = await settled(emulator)  # operations in flight end
                assert before < DEVICES / 2
                await asyncio.sleep(0.2)  # what is wrongly sent would arrive by then
                away = (before, emulator.world.log.count_arrivals("PATCH"))
                await asyncio.to_thread(postgres_server.start)
    assert away[0] == away[1], "requests were sent while no intent could be written"
    assert run.report.stopped is None
    assert run.report.counts[State.APPLIED] == DEVICES
    assert fleet.status(journal.path).counts[State.APPLIED] == DEVICES
    assert unjournalled(emulator, str(journal.path)) == {}


async def settled(emulator: Emulator) -> int:
    """Wait until no more changes arrive for a while; return how many did."""
    before = -1
    while (arrived := emulator.world.log.count_arrivals("PATCH")) > before:
        before = arrived
        await asyncio.sleep(0.2)
    return before


async def test_a_run_stops_while_its_database_is_unreachable_and_continues_later(
    emulator: Emulator, client: Client, database: str, postgres_server: PostgresServer
) -> None:
    options = JournalOptions(path=f"{database}#run", commit_timeout=0.5, lease=LEAST_LEASE)
    emulator.faults.add(SLOW, times=None)
    seen = 0
    async with fleet.Run(client, renames(emulator), journal=options, concurrency=4) as run:
        async for outcome in run:
            seen += 1
            if seen == 5:
                postgres_server.crash()
            assert outcome.state in (State.HELD, State.APPLIED)
    assert isinstance(run.report.stopped, JournalError)
    assert run.report.counts[State.HELD] > DEVICES / 2
    emulator.faults.clear()
    await asyncio.to_thread(postgres_server.start)
    async with asyncio.timeout(60):
        while store_of(options.path).is_held():  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(0.02)
    report = await fleet.resume(client, options)
    assert report.counts[State.APPLIED] == DEVICES
    assert unjournalled(emulator, str(options.path)) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
async def test_a_process_that_wakes_after_a_take_over_sends_nothing_more(
    emulator: Emulator, client: Client, database: str
) -> None:
    journal = f"{database}#run"
    settings = Settings(
        base_url=emulator.base_url,
        token=emulator.token,
        journal=journal,
        credentials="",
        concurrency=4,
        operations=[operation_to_json(each) for each in renames(emulator)],
    )
    log = emulator.world.log
    # The intents of four operations are written, and they wait to be sent again.
    emulator.faults.add(TooManyRequests(), method="PATCH", times=None)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fleet.killed_run", json.dumps(attrs.asdict(settings))
    )
    try:
        async with asyncio.timeout(60):
            while log.count_arrivals("PATCH") < 4:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.01)
            os.kill(child.pid, signal.SIGSTOP)
            while store_of(journal).is_held():  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0.02)
            emulator.faults.clear()
            log.clear()
            report = await fleet.resume(client, journal)
            assert report.counts[State.APPLIED] == DEVICES
            assert log.count_arrivals("PATCH") == DEVICES
            os.kill(child.pid, signal.SIGCONT)
            assert await child.wait() == 0
    finally:
        if child.returncode is None:
            child.kill()
    assert log.count_arrivals("PATCH") == DEVICES
    assert fleet.status(journal).counts[State.APPLIED] == DEVICES


async def test_another_process_may_ask_the_session_to_stop(
    emulator: Emulator, client: Client, database: str
) -> None:
    options = JournalOptions(path=f"{database}#run", lease=LEAST_LEASE)
    emulator.faults.add(Latency(seconds=0.2), times=None)
    async with fleet.Run(client, renames(emulator), journal=options, concurrency=1) as run:
        held = []
        async for outcome in run:
            if run.report.total == 1:
                await asyncio.to_thread(fleet.request_stop, options.path, "the grid is down")
            if outcome.state is State.HELD:
                held.append(str(outcome.error))
    assert held
    assert set(held) == {"the grid is down"}
    emulator.faults.clear()
    assert (await fleet.resume(client, options)).counts[State.APPLIED] == DEVICES


async def test_what_a_failover_may_have_lost_is_unknown_and_not_done_twice(
    emulator: Emulator, client: Client, database: str, tmp_path: Path
) -> None:
    """As if a replica had taken over, without the last intents of a session that it then ends."""
    leaves = [each.id for each in emulator.world if each.type == "STANDALONE"]
    operations: list[Any] = [GenerateConfig(device_id=each, protocol="MQTT") for each in leaves]
    operations += [each for each in renames(emulator) if each.device_id not in leaves]
    options = JournalOptions(path=f"{database}#run", lease=LEAST_LEASE)
    file = tmp_path / "credentials.jsonl"
    run = fleet.Run(client, operations, journal=options, credentials=file)
    async with run:
        run.stop()
        async for _ in run:
            pass
    with closing(connect(Address.parse(database, with_run=False))) as connection:
        connection.execute(
            "UPDATE enapter_fleet.run SET timeline = '00000000', "
            "lease_until = clock_timestamp() - interval '1 s'"
        )
    for _ in range(2):  # and it stays so
        report = await fleet.resume(client, options)
        assert report.counts[State.UNKNOWN] == len(leaves)
        assert report.counts[State.APPLIED] == DEVICES - len(leaves)
    assert emulator.world.count("generate_config") == 0
    with closing(read_journal(options.path)) as journal:
        said = {
            event.details.get("message") for event in journal.events() if event.kind == "unknown"
        }
    assert said == {"a replica took over the database, and may have lost that it was sent"}
    again = attrs.evolve(options, ambiguous="regenerate")
    assert (await fleet.resume(client, again)).counts[State.UNKNOWN] == 0
    assert emulator.world.count("generate_config") == len(leaves)


async def test_no_message_shows_the_password_of_an_address(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{closed.getsockname()[1]}/ops"
        address = f"postgresql://ops:{PASSWORD}@{place}?sslpassword={PASSWORD}#run"
        texts = [repr(JournalOptions(path=address)), repr(store_of(address))]
        for wrong in (
            address,
            address.replace("#run", ""),
            address.replace("#run", "#a b"),
            address.replace("?ssl", "?nosuch=1&ssl"),
            address.replace(place, "127.0.0.1:none/ops"),
        ):
            with pytest.raises((ConfigurationError, JournalError)) as raised:
                await fleet.resume(client, wrong)
            texts.append("".join(traceback_of(raised.value)))
            with pytest.raises((ConfigurationError, JournalError)) as raised:
                fleet.status(wrong)
            texts.append("".join(traceback_of(raised.value)))
    assert f"postgresql://ops@{place}#run cannot be reached" in texts[2]
    for secret in (PASSWORD, "s3cr3t/word"):
        assert secret not in "".join(texts) + caplog.text


def traceback_of(error: BaseException) -> list[str]:
    return traceback.format_exception(error)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:p@h/d#n", "postgresql://u@h/d#n"),
        ("postgres://:p@h/d?password=x&a=b#n", "postgres://h/d?a=b#n"),
        ("postgresql:///d?host=h&password=x", "postgresql:///d?host=h"),
        ("postgresql://u:p%40@h1,h2/d?password=x#n", "postgresql://u@h1,h2/d#n"),
        ("/a/path:with@signs", "/a/path:with@signs"),
    ],
)
def test_an_address_is_shown_without_its_passwords(address: str, shown: str) -> None:
    assert without_password(address) == shown


async def test_an_address_that_is_a_path_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="pass it as text") as raised:
        fleet.status(Path(f"postgresql://ops:{PASSWORD}@127.0.0.1/ops#run"))
    assert PASSWORD not in str(raised.value)


async def test_a_database_without_tables_or_with_others_is_refused_by_what_to_do(
    client: Client, postgres: str
) -> None:
    for use in (fleet.status, lambda name: fleet.resume(client, name)):
        with pytest.raises(ConfigurationError, match="enapter-async fleet journal prepare"):
            await _called(use, f"{postgres}#run")
    with closing(connect(Address.parse(postgres, with_run=False))) as connection:
        connection.execute("CREATE SCHEMA enapter_fleet")
        connection.execute("CREATE TABLE enapter_fleet.version AS SELECT 99 AS version")
    for use in (fleet.status, lambda name: fleet.resume(client, name)):
        with pytest.raises(RunRefusedError, match="journals of version 99, but this release"):
            await _called(use, f"{postgres}#run")


async def _called(use: Any, name: str) -> None:
    found = use(name)
    if asyncio.iscoroutine(found):
        await found


async def test_without_psycopg_the_message_names_the_extra(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'enapter-async\[postgres\]'"):
        await fleet.resume(client, "postgresql://ops@127.0.0.1/ops#run")
    report = await fleet.apply(client, [], journal=tmp_path / "run.db")
    assert report.complete
