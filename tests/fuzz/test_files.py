"""Whatever a file contains, it is read or refused with one of our errors, quickly."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import fleet
from enapter_async.cli.app import run as command_line
from enapter_async.client import Client
from enapter_async.emulator import fleetfile
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.fleet.credentials import count_in, kept_in
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.replay import Replay
from enapter_async.fleet.operation_files import parse_operations
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.plan import read_plan
from enapter_async.fleet.planning.plan_file import (
    PlanHeader,
    PlanItem,
    is_plan,
    plan_lines,
    read_header,
)
from enapter_async.fleet.reporting.results import result_rows
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, UpdateDevice
from tests.fleet.callers import ScriptedCaller
from tests.fuzz.damage import damaged, edits
from tests.support.budget import IN_TIME, examples
from tests.support.oracle import run_on

pytestmark = IN_TIME

SOON = 30.0
"""Seconds for one file."""
NOW = datetime(2025, 1, 1, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9"
OPERATIONS: list[Operation[Any]] = [
    UpdateDevice(device_id="dev-1", name="One"),
    DeleteDevice(device_id="dev-2"),
    GenerateConfig(device_id="dev-3", protocol="MQTTS"),
    UpdateDevice(device_id="dev-4", slug="four"),
]

CSV = (
    b"operation,device_id,name,slug,blueprint_id,protocol\r\n"
    b'update,dev-1,"A ""name""",,,\r\n'
    b"delete,dev-2,,,,\r\n"
    b"generate-config,dev-3,,,,MQTT\r\n"
    b"assign_blueprint,dev-4,,,bp-1,\r\n"
)
JSON_LINES = b"".join(
    json.dumps(row).encode() + b"\n"
    for row in (
        {"operation": "update", "device_id": "dev-1", "name": "Имя"},
        {"operation": "generate_config", "device_id": "dev-3", "protocol": "MQTTS"},
    )
)
PLAN = b"".join(
    plan_lines(
        PlanHeader(base_url=NOWHERE, created_at="2025-01-01T00:00:00Z"),
        [
            PlanItem(
                line=number,
                verdict=Verdict.CHANGE,
                device=f"dev-{number}",
                seq=number - 1,
                operation=UpdateDevice(device_id=f"dev-{number}", name=f"Name {number}"),
                before={"name": "Old"},
            )
            for number in (1, 2, 3)
        ],
    )
)
FLEET = json.dumps(
    {
        "sites": [{"id": "site-1", "name": "Site", "timezone": "Etc/UTC"}],
        "devices": [
            {
                "id": "dev-1",
                "name": "One",
                "site_id": "site-1",
                "type": "LUA",
                "updated_at": 1735689600,
                "communication": {"type": "UCM_LUA", "upstream_id": "dev-2"},
                "connectivity": {"status": "ONLINE"},
                "properties": {"a": [1, None]},
                "raised_alert_names": ["x"],
            },
            {"id": "dev-2", "updated_at": "2025-01-01T00:00:00Z"},
        ],
    }
).encode()
KEPT = b"".join(
    json.dumps(
        {"device_id": "dev-1", "run": "r", "item": number, "intent": 1, "config": {}}
    ).encode()
    + b"\n"
    for number in range(3)
)


@contextmanager
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file"


def put(place: Path, data: bytes) -> Path:
    for path in place.parent.glob("file*"):
        path.unlink()
    place.touch(mode=0o600)
    place.write_bytes(data)
    return place


noise = st.binary(max_size=200)


@given(data=damaged(CSV, JSON_LINES) | noise)
@examples(150)
def test_a_file_of_operations(data: bytes) -> None:
    with soon():
        try:
            operations = parse_operations(data, source="input")
        except ConfigurationError:
            return
        assert all(isinstance(each, Operation) for each in operations)


@given(data=damaged(PLAN) | noise)
@examples(100)
def test_a_plan(place: Path, data: bytes) -> None:
    path = put(place, data)
    with soon():
        is_plan(path)
        for read in (read_header, lambda path: [list(one) for one in [read_plan(path)]]):
            try:
                read(path)
            except ConfigurationError:
                continue


@given(rows=st.lists(st.sampled_from([*PLAN.splitlines(), b'{"items":1,"sha256":1}']), max_size=5))
@examples(30)
def test_a_plan_of_other_lines(place: Path, rows: list[bytes]) -> None:
    path = put(place, b"\n".join(rows))
    with soon(), suppress(ConfigurationError):
        for work in read_plan(path):
            assert work.seq >= 0


@given(data=damaged(FLEET) | noise)
@examples(150)
def test_a_fleet_of_the_emulator(place: Path, data: bytes) -> None:
    path = put(place, data)
    with soon(), suppress(fleetfile.FleetFileError):
        fleetfile.fleet(fleetfile.read(path), now=NOW)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*json.loads(FLEET)["devices"][0], "devices"]), inner)
    ),
    max_leaves=8,
)


@given(values=st.lists(JSON_VALUES, max_size=3))
@examples(100)
def test_a_fleet_of_any_json(values: list[Any]) -> None:
    with soon(), suppress(fleetfile.FleetFileError):
        fleetfile.fleet(values, now=NOW)


@given(data=damaged(KEPT) | noise)
@examples(100)
def test_a_file_of_credentials(place: Path, data: bytes) -> None:
    path = put(place, data)
    with soon():
        kept_in(path, "r")
        count_in(path)


# Journals


def client(base_url: str = NOWHERE) -> Client:
    return Client("token", base_url=base_url)


class Known(ScriptedCaller):
    """A caller that a journal recognizes."""

    base_url = NOWHERE

    def fingerprint(self, salt: bytes) -> str:
        return client().fingerprint(salt)


async def journalled(path: Path) -> None:
    """Run a job in which one operation failed and one was left."""

    async def answer(operation: Operation[Any]) -> None:
        if operation == OPERATIONS[3]:
            raise EnapterError("no")

    async with fleet.Run(Known(answer), OPERATIONS, journal=path, abort=None) as run:
        async for _ in run:
            pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid journal."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    run_on("asyncio", journalled(path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    return path


def look(path: Path) -> None:
    """Read a journal in every possible way."""
    with closing(read_journal(path)) as journal:
        ways: list[Callable[[], Any]] = [
            journal.facts,
            lambda: list(journal.digests()),
            lambda: list(journal.items()),
            lambda: [event.details for event in journal.events()],
            lambda: list(result_rows(journal)),
            lambda: Replay(journal).counts(),
        ]
        for way in ways:
            try:
                way()
            except EnapterError:
                continue


async def go_on(path: Path, operations: list[Operation[Any]] | None) -> None:
    options = JournalOptions(path=path, retry_failed=True, ambiguous="regenerate")
    with suppress(EnapterError):
        async with (
            asyncio.timeout(SOON),
            fleet.Run(Known(), operations, journal=options, abort=None) as run,
        ):
            async for outcome in run:
                assert outcome.state


def use(path: Path) -> None:
    with suppress(EnapterError):
        look(path)
    run_on("asyncio", go_on(path, None))
    run_on("asyncio", go_on(path, OPERATIONS))


@given(changes=st.lists(edits, min_size=1, max_size=3))
@examples(60)
def test_a_journal_of_damaged_bytes(place: Path, whole: Path, changes: list[Any]) -> None:
    data = whole.read_bytes()
    for change in changes:
        data = change(data)
    path = put(place, data)
    with soon():
        use(path)


LARGE = {"<deep>": "[" * 3000, "<digits>": "9" * 5000}
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(-1, 0, 1, 3, 2**62, 1.5, "", "x", "{}", "[]", "null", '{"a":', b"", b"\xff", *LARGE),
        *("intent", "applied", "held", "unknown", "failed", "witness", "acknowledged"),
        *('{"operation":"update"}', '{"operation":"get","device_id":"dev-1"}'),
    ]
)
COLUMNS = {
    "run": ["key", "value"],
    "item": [
        "seq", "digest", "operation", "before", "grp", "unit", "wave", "follows", "unchanged",
    ],
    "event": [
        "seq", "step", "kind", "attempt", "at_ms", "elapsed_ms", "status", "code", "request_id",
        "detail",
    ],
}  # fmt: skip
KEYS = {"run": "key", "item": "seq", "event": "id"}
places_in_rows = st.sampled_from([(table, each) for table in COLUMNS for each in COLUMNS[table]])


@given(
    wrongs=st.lists(st.tuples(places_in_rows, VALUES, st.integers(0, 9)), min_size=1, max_size=3)
)
@examples(60)
def test_a_journal_of_wrong_rows(
    place: Path, whole: Path, wrongs: list[tuple[tuple[str, str], Any, int]]
) -> None:
    path = put(place, whole.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        for (table, column), value, offset in wrongs:
            try:
                rows = connection.execute(f"SELECT {KEYS[table]} FROM {table}").fetchall()
                key = rows[offset % len(rows)][0]
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {KEYS[table]} = ?",
                    (LARGE.get(value, value), key),
                )
            except sqlite3.IntegrityError:
                continue
        connection.commit()
    with soon():
        use(path)


# The command line


@given(data=damaged(CSV, JSON_LINES, PLAN))
@examples(15)
def test_the_command_line_says_what_is_wrong_and_shows_no_traceback(
    place: Path, data: bytes
) -> None:
    path = str(put(place, data))
    with soon():
        # Nothing listens on that port, so a file that happens to be valid is not carried out.
        assert command_line(["--base-url", NOWHERE, "fleet", "plan", path]) in range(7)
        assert command_line(["fleet", "status", path]) in range(1, 7)
