"""Files of version 0.1 can still be read.

`version_0_1/` holds files written by that version: of a run that was killed with five operations in
flight, one of which already had its credentials in the file, and of a plan not yet applied. Only
addresses are changed, because a test's server has another port.
"""

import contextlib
import hashlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.fleet import JournalOptions, RunRefusedError, State
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.reporting.results import result_rows
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)
from tests.fleet.fleets import uuid
from tests.support.server import FaultServer

WRITTEN = Path(__file__).parent / "version_0_1"
TOKEN = "tok12345"
OPERATIONS: list[Operation[Any]] = [
    UpdateDevice(device_id=uuid(0), name="\u041d\u0430\u0441\u043e\u0441 0", slug="pump-0"),
    AssignBlueprint(device_id=uuid(1), blueprint_id="bp-2"),
    GenerateConfig(device_id=uuid(2), protocol="MQTTS"),
    DeleteDevice(device_id=uuid(3)),
    UpdateDevice(device_id=uuid(4), slug="pump-0"),  # failed: the slug was not free
    GetDevice(device_id=uuid(5)),
    ListDevices(limit=2),
    # These were in flight.
    UpdateDevice(device_id=uuid(7), name="In flight"),
    AssignBlueprint(device_id=uuid(8), blueprint_id="bp-2"),
    DeleteDevice(device_id=uuid(9)),
    GenerateConfig(device_id=uuid(10), protocol="MQTT"),
    GenerateConfig(device_id=uuid(11), protocol="MQTT"),  # its credentials were kept
    # These had not begun.
    UpdateDevice(device_id=uuid(12), name="Left"),
    AssignBlueprint(device_id=uuid(13), blueprint_id="bp-2"),
    GenerateConfig(device_id=uuid(14), protocol="MQTTS"),
    DeleteDevice(device_id=uuid(15)),
    GetDevice(device_id=uuid(16)),
    ListDevices(site_id="site-1", limit=2),
]


@attrs.frozen
class Old:
    """A server, a client for it, and the files of the old run that used it."""

    server: FaultServer
    client: Client
    journal: Path
    credentials: Path


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[Old]:
    for name in ("run.db", "credentials.jsonl"):
        shutil.copy(WRITTEN / name, tmp_path)
        (tmp_path / name).chmod(0o600)
    journal, credentials = tmp_path / "run.db", tmp_path / "credentials.jsonl"
    async with (
        FaultServer(devices=tuple(uuid(number) for number in range(20))) as server,
        Client(TOKEN, base_url=server.base_url) as client,
    ):
        facts = {"base_url": server.base_url, "credentials": str(credentials)}
        with contextlib.closing(sqlite3.connect(journal)) as database, database:
            for key, value in facts.items():
                database.execute("UPDATE run SET value = ? WHERE key = ?", (value, key))
        yield Old(server, client, journal, credentials)


@pytest.mark.parametrize("operations", [None, OPERATIONS], ids=["the journal's", "given again"])
async def test_an_unfinished_run_is_resumed(
    old: Old, operations: list[Operation[Any]] | None
) -> None:
    options = JournalOptions(path=old.journal)
    if operations is None:
        report = await fleet.resume(old.client, options, abort=None)
    else:
        kept = str(old.credentials)
        report = await fleet.apply(
            old.client, operations, journal=options, credentials=kept, abort=None
        )
    counts = {state: number for state, number in report.counts.items() if number}
    assert counts == {State.APPLIED: 16, State.FAILED: 1, State.UNKNOWN: 1}
    assert report.earlier == 9
    (unknown,) = report.unknowns
    assert unknown.operation == OPERATIONS[10]
    wrote = {arrival.address for arrival in old.server.arrivals if arrival.method != "GET"}
    assert wrote == {uuid(number) for number in (7, 8, 9, 12, 13, 14, 15)}
    devices = [json.loads(line)["device_id"] for line in old.credentials.read_text().splitlines()]
    assert devices == [uuid(2), uuid(11), uuid(14)]


async def test_another_input_is_refused(old: Old) -> None:
    other = [*OPERATIONS[:7], UpdateDevice(device_id=uuid(7), name="Other"), *OPERATIONS[8:]]
    with pytest.raises(RunRefusedError, match=r"operation 7 .UpdateDevice of .* differs"):
        await fleet.apply(old.client, other, journal=old.journal, credentials=str(old.credentials))
    assert old.server.arrivals == []


async def test_an_old_run_is_reported_and_undone(old: Old) -> None:
    with contextlib.closing(read_journal(old.journal)) as journal:
        rows = list(result_rows(journal))
    assert [row["operation"] for row in rows] == [each.kind for each in OPERATIONS]
    assert (rows[4]["state"], rows[4]["code"]) == ("failed", "slug_taken")
    back = await fleet.undo(old.client, old.journal)
    with back.plan as plan:
        assert len(plan) == 0, "it was not planned, so no before-value is known"
    assert {str(why): number for why, number in back.lasting.items() if number} == {
        "deletion": 2,
        "configuration": 3,
        "no before-values": 4,
    }


async def test_a_plan_is_applied(old: Old, tmp_path: Path) -> None:
    header, *items, _ = (WRITTEN / "plan.jsonl").read_bytes().splitlines(keepends=True)
    told = json.loads(header) | {"base_url": old.server.base_url}
    lines = [json.dumps(told).encode() + b"\n", *items]
    seal = {"items": len(items), "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    path = tmp_path / "plan.jsonl"
    path.write_bytes(b"".join(lines) + json.dumps(seal).encode() + b"\n")

    with fleet.read_plan(path) as plan:
        verdicts = {str(verdict): number for verdict, number in plan.counts.items()}
        assert verdicts == {"change": 6, "unchanged": 1, "absent": 1, "merged": 1, "refused": 1}
        assert (plan.deletions, plan.configurations) == (1, 1)
        report = await fleet.apply(
            old.client, plan, journal=tmp_path / "new.db", credentials=str(tmp_path / "new.jsonl")
        )
    assert report.ok
    assert old.server.world.done() == 6
    assert old.server.world.devices[uuid(1)]["slug"] == f"slug-of-{uuid(0)}"


async def test_an_old_failure_that_was_done_differently_is_not_sent_again(old: Old) -> None:
    told = {"error": "ResultDiffersError", "message": "the answer shows another value: slug is 'p'"}
    with contextlib.closing(sqlite3.connect(old.journal)) as database, database:
        database.execute(
            "UPDATE event SET status = NULL, code = NULL, detail = ? WHERE kind = 'failed'",
            (json.dumps(told, separators=(",", ":")),),
        )
    with contextlib.closing(read_journal(old.journal)) as journal:
        assert list(result_rows(journal))[4]["state"] == "differs"
    options = JournalOptions(path=old.journal, retry_failed=True)
    report = await fleet.resume(old.client, options, abort=None)
    assert (report.counts[State.DIFFERS], report.counts[State.FAILED]) == (1, 0)
    assert uuid(4) not in {arrival.address for arrival in old.server.arrivals}
