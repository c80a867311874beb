"""The rows of the fault table that are about jobs: what stops one, and what it reports then.

tests/fleet tests more of each against the emulator; tests/cli/test_interrupts.py and
tests/fleet/test_kills.py test rows 45 to 47 with real signals.
"""

import asyncio
import errno
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.errors import (
    AmbiguousOutcomeError,
    AuthenticationError,
    PermissionDeniedError,
    TLSError,
)
from enapter_async.fleet import JournalError, JournalOptions, Outcome, RunRefusedError, State
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.replay import Replay
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.support.kinds import each
from tests.support.replies import awaiting, errors, good, hang, html, message, raw
from tests.support.rig import Rig, TransportKind, open_rig
from tests.support.server import FaultServer, applied, ignored
from tests.support.tls import Certificates
from tests.support.world import JSON_TYPE

if sys.platform != "win32":
    import resource

NAMES = tuple(f"dev-{number}" for number in range(100))


def rename(name: str) -> UpdateDevice:
    return UpdateDevice(device_id=name, name="New name")


def mint(name: str) -> GenerateConfig:
    return GenerateConfig(device_id=name, protocol="MQTT")


async def outcomes_of(
    rig: Rig, operations: Sequence[Operation[Any]], **options: Any
) -> tuple[list[Outcome[Any]], fleet.Report]:
    async with fleet.Run(rig.client, operations, **options) as run:
        told = [outcome async for outcome in run]
    return told, run.report


def states(outcomes: list[Outcome[Any]]) -> dict[str, State]:
    return {str(outcome.operation.subject()): outcome.state for outcome in outcomes}


@pytest.mark.parametrize("before", [0, 50], ids=["row35-first-item", "row35-item-51"])
async def test_a_401_stops_a_job(transport: TransportKind, before: int) -> None:
    async with FaultServer(devices=NAMES) as server:
        server.script(*[applied(good())] * before)
        server.always(ignored(errors(401)))
        async with open_rig(transport, server) as rig:
            told, report = await outcomes_of(rig, [rename(name) for name in NAMES], concurrency=8)
        assert isinstance(report.stopped, AuthenticationError)
        assert before + 1 <= len(server.arrivals) <= before + 8
        assert report.counts[State.APPLIED] == server.world.done("update") == before
        assert report.counts[State.HELD] == len(NAMES) - len(server.arrivals)
        assert len(told) == len(NAMES)


async def test_row35_a_failure_not_retried_because_of_a_401_is_left_pending(
    transport: TransportKind, server: FaultServer, tmp_path: Path
) -> None:
    operations = [rename("dev-1"), rename("dev-2")]
    options: dict[str, Any] = {"concurrency": 1, "journal": tmp_path / "run.db"}
    again = JournalOptions(path=options["journal"], retry_failed=True)
    server.script(ignored(errors(403)), ignored(errors(403)), ignored(errors(401)))
    async with open_rig(transport, server) as rig:
        _, first = await outcomes_of(rig, operations, **{**options, "abort": None})
        _, second = await outcomes_of(rig, operations, **{**options, "journal": again})
        with closing(read_journal(options["journal"])) as journal:
            standing = Replay(journal).counts()
        _, third = await outcomes_of(rig, operations, **options)
    assert first.counts[State.FAILED] == 2
    assert (second.counts[State.FAILED], second.counts[State.HELD]) == (1, 1)
    assert standing == second.counts
    assert (third.counts[State.FAILED], third.counts[State.APPLIED]) == (1, 1)


async def test_row36_a_403_is_one_items_failure(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(good()), ignored(errors(403)))
    async with open_rig(transport, server) as rig:
        told, report = await outcomes_of(
            rig, [rename(f"dev-{number}") for number in (1, 2, 3)], concurrency=1
        )
    assert list(states(told).values()) == [State.APPLIED, State.FAILED, State.APPLIED]
    assert [type(outcome.error) for outcome in report.failures] == [PermissionDeniedError]
    assert report.stopped is None
    assert server.world.done("update") == 2


async def test_row05_a_certificate_that_is_refused_stops_a_job_at_its_first_item(
    transport: TransportKind, certificates: Certificates
) -> None:
    async with FaultServer(ssl_context=certificates.server(authority="other")) as server:
        context = certificates.trusting()
        async with open_rig(transport, server, ssl_context=context) as rig:
            _, report = await outcomes_of(rig, [rename(name) for name in NAMES], concurrency=1)
        assert isinstance(report.stopped, TLSError)
        assert report.counts[State.HELD] >= len(NAMES) - 1
        assert server.arrivals == []


async def test_row34_a_portal_stops_a_job_early(
    transport: TransportKind,
) -> None:
    async with FaultServer(devices=NAMES) as server:
        server.always(ignored(html(200, text="Please log in")))
        async with open_rig(transport, server) as rig:
            told, report = await outcomes_of(rig, [rename(name) for name in NAMES], concurrency=2)
        assert report.stopped is not None
        assert set(states(told).values()) == {State.UNKNOWN, State.HELD}
        assert report.counts[State.HELD] > 90
        assert server.world.effects == []


async def test_row17_a_pause_of_an_hour_stops_a_job_and_fails_nothing(
    transport: TransportKind,
) -> None:
    async with FaultServer(devices=NAMES) as server:
        server.always(ignored(errors(429, ("Retry-After", "3600"))))
        async with open_rig(transport, server) as rig:
            _, report = await outcomes_of(rig, [rename(name) for name in NAMES], concurrency=4)
        assert report.stopped is not None
        assert report.counts[State.FAILED] == 0
        assert report.counts[State.UNKNOWN] == 0
        assert len(server.arrivals) <= 4


async def test_row41_a_long_input_is_pulled_as_items_finish(transport: TransportKind) -> None:
    pulled = 0
    most_ahead = most_tasks = 0
    async with FaultServer(devices=("dev-1",)) as server:

        def endless() -> Iterator[UpdateDevice]:
            nonlocal pulled, most_ahead, most_tasks
            for number in range(1000):
                pulled += 1
                most_ahead = max(most_ahead, pulled - len(server.arrivals))
                most_tasks = max(most_tasks, len(asyncio.all_tasks()))
                yield UpdateDevice(device_id="dev-1", name=f"Name {number}")

        async with open_rig(transport, server) as rig:
            report = await fleet.apply(rig.client, endless(), concurrency=4)
        assert report.counts[State.APPLIED] == server.world.done("update") == 1000
        assert most_ahead <= 2 * 4 + 4
        assert most_tasks <= 40


async def test_row42_two_operations_on_one_device_keep_their_order(
    transport: TransportKind, server: FaultServer
) -> None:
    operations = [UpdateDevice(device_id="dev-1", name=f"Name {number}") for number in range(20)]
    async with open_rig(transport, server) as rig:
        report = await fleet.apply(rig.client, iter(operations), concurrency=8)
    assert report.counts[State.APPLIED] == 20
    assert server.peak("dev-1") == 1
    named = [effect.change["name"] for effect in server.world.effects]
    assert named == [f"Name {number}" for number in range(20)]


async def test_row45_a_stop_lets_operations_in_flight_end_and_the_rest_resumes_later(
    transport: TransportKind, tmp_path: Path
) -> None:
    async with FaultServer(devices=NAMES) as server:
        hold = asyncio.Event()
        server.script(*[applied(awaiting(hold))] * 4)
        operations = [rename(name) for name in NAMES]
        journal = tmp_path / "run.db"
        async with open_rig(transport, server) as rig:
            async with fleet.Run(rig.client, operations, concurrency=4, journal=journal) as run:
                await server.arrived(4)
                run.stop()
                hold.set()
                told = [outcome async for outcome in run]
            assert run.report.counts[State.APPLIED] == server.world.done("update") == 4
            assert run.report.counts[State.HELD] == 96
            assert len(told) == 100
            again = await fleet.apply(rig.client, operations, journal=journal)
            assert again.counts[State.APPLIED] == 100
        assert server.world.done("update") == len(server.arrivals) == 100


async def test_row46_a_cut_reports_operations_in_flight_as_unknown(
    transport: TransportKind, tmp_path: Path
) -> None:
    async with FaultServer(devices=NAMES) as server:
        server.always(applied(hang()))
        journal, kept = tmp_path / "run.db", tmp_path / "credentials.jsonl"
        operations = [mint(name) for name in NAMES]
        options: dict[str, Any] = {"concurrency": 4, "journal": journal, "credentials": kept}
        async with open_rig(transport, server) as rig:
            async with fleet.Run(rig.client, operations, **options) as run:
                await server.arrived(4)
                run.cut()
                told = [outcome async for outcome in run]
            unknown = [outcome for outcome in told if outcome.state is State.UNKNOWN]
            assert len(unknown) == server.world.done("generate_config") == 4
            assert {type(outcome.error) for outcome in unknown} == {AmbiguousOutcomeError}
            assert run.report.counts[State.HELD] == 96
            server.clear()
            again = await fleet.apply(
                rig.client, operations, journal=journal, credentials=kept, abort=None
            )
        assert again.counts[State.UNKNOWN] == 4, "an uncertain mint is not sent again"
        assert again.counts[State.APPLIED] == 96, again.stopped
        assert server.world.done("generate_config") == 100


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot limit file sizes")
async def test_row48_a_full_disk_stops_a_job_before_its_next_request(
    transport: TransportKind, tmp_path: Path
) -> None:
    """The journal cannot grow, as on a full disk; when it can, the job is resumed."""
    journal, credentials = tmp_path / "run.db", tmp_path / "credentials.jsonl"
    files: dict[str, Any] = {"journal": journal, "credentials": credentials, "concurrency": 4}
    operations = [mint(name) for name in NAMES]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = []
    async with FaultServer(devices=NAMES) as server, open_rig(transport, server) as rig:
        try:
            async with fleet.Run(rig.client, operations, **files) as run:
                async for outcome in run:
                    told.append(outcome)
                    if len(told) == 5:
                        written = Path(f"{journal}-wal").stat().st_size  # noqa: ASYNC240 - no time passes
                        resource.setrlimit(resource.RLIMIT_FSIZE, (written + 9000, hard))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert isinstance(run.report.stopped, JournalError)
        generated = server.world.done("generate_config")
        assert len(server.arrivals) == generated < len(NAMES)
        assert Counter(each.state for each in told)[State.APPLIED] == generated
        with closing(sqlite3.connect(journal)) as connection:
            query = "SELECT count(*) FROM event WHERE kind = 'intent'"
            (intents,) = connection.execute(query).fetchone()
        assert generated <= intents < len(NAMES)
        again = await fleet.apply(rig.client, operations, **files, abort=None)
        # An intent that was written last may not have been followed by its request.
        assert again.counts[State.UNKNOWN] <= intents - generated
        assert again.counts[State.APPLIED] + again.counts[State.UNKNOWN] == len(NAMES)
        assert again.counts[State.APPLIED] == server.world.done("generate_config")
    rows = [json.loads(line) for line in credentials.read_text().splitlines()]
    assert len({row["device_id"] for row in rows}) == len(rows) == again.counts[State.APPLIED]


async def test_row48_credentials_that_cannot_be_stored_are_not_a_success(
    transport: TransportKind,
) -> None:
    async def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with FaultServer(devices=NAMES) as server:
        async with open_rig(transport, server) as rig:
            _, report = await outcomes_of(
                rig, [mint(name) for name in NAMES], concurrency=1, credentials=full
            )
        assert report.counts[State.APPLIED] == 0
        assert report.counts[State.UNKNOWN] == server.world.done("generate_config") == 1
        assert report.stopped is not None


BROKEN_JOURNALS = {
    "row49-garbage": b"this is no journal\n" * 100,
    "row49-torn": b"SQLite format 3\0" + b"\0" * 50,
    "row49-json-lines": b'{"schema":1,"job_id":"x"}\n{"intent":{"seq":1',
}


@each("content", BROKEN_JOURNALS)
async def test_a_file_that_is_not_a_journal_is_refused_and_unchanged(
    transport: TransportKind, content: bytes, server: FaultServer, tmp_path: Path
) -> None:
    journal = tmp_path / "run.db"
    journal.write_bytes(content)
    journal.chmod(0o600)
    async with open_rig(transport, server) as rig:
        with pytest.raises(RunRefusedError):
            await fleet.apply(rig.client, [rename("dev-1")], journal=journal)
    assert journal.read_bytes() == content
    assert server.connections == []


async def test_row49_a_second_runner_is_refused(
    transport: TransportKind, server: FaultServer, tmp_path: Path
) -> None:
    hold = asyncio.Event()
    server.always(applied(awaiting(hold)))
    operations = [rename("dev-1"), rename("dev-2")]
    journal = tmp_path / "run.db"
    async with (
        open_rig(transport, server) as rig,
        fleet.Run(rig.client, operations, journal=journal) as run,
    ):
        await server.arrived(2)
        with pytest.raises(RunRefusedError):
            await fleet.apply(rig.client, operations, journal=journal)
        hold.set()
        assert [outcome.state async for outcome in run] == [State.APPLIED] * 2
    assert len(server.arrivals) == 2


async def test_row49_another_job_is_refused(
    transport: TransportKind, server: FaultServer, tmp_path: Path
) -> None:
    journal = tmp_path / "run.db"
    async with open_rig(transport, server) as rig:
        await fleet.apply(rig.client, [rename("dev-1")], journal=journal)
        with pytest.raises(RunRefusedError):
            await fleet.apply(rig.client, [rename("dev-2")], journal=journal)
    assert server.seen == ["PATCH"]


async def test_text_that_is_not_utf8_in_a_refusal_is_journalled(
    transport: TransportKind, tmp_path: Path
) -> None:
    said = b'{"errors":[{"code":"c\\ud83d","message":"half a sign: \\ud83d"}]}'
    refusal = message(400, said, ("X-Request-Id", "req-\xff"), media_type=JSON_TYPE)
    path = tmp_path / "run.db"
    async with FaultServer(devices=NAMES) as server:
        server.script(ignored(raw(refusal)))
        async with open_rig(transport, server) as rig, asyncio.timeout(60):
            works = [rename(name) for name in NAMES[:20]]
            _, report = await outcomes_of(rig, works, journal=path, abort=None)
        assert len(server.arrivals) == 20
    assert (report.counts[State.FAILED], report.counts[State.APPLIED]) == (1, 19)
    assert report.stopped is None
    with closing(read_journal(path)) as journal:
        ends = [event.kind for event in journal.events() if event.kind in ("failed", "applied")]
    assert sorted(ends) == ["applied"] * 19 + ["failed"]
