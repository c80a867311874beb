"""If files are removed during a run, it notices, stops, and loses nothing."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.fleet import JournalError, NoRoomError, Outcome, State
from enapter_async.fleet.credentials import CredentialsFile
from enapter_async.fleet.private_files import open_private
from enapter_async.operations.devices import GenerateConfig
from tests.fleet.fleets import fleet_of, running, uuid

NUMBER = 60
AT = 12
AT_ONCE = 4
IN_FLIGHT = 2 * AT_ONCE
"""The most that may start before the loss is noticed: operations in flight and in the queue."""


def unlinked(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    """Replace it by a copy, as restoring a backup does."""
    copy = path.with_name("copy")
    with os.fdopen(open_private(copy), "wb") as file:
        file.write(path.read_bytes())
    copy.rename(path)


def cut_short(path: Path) -> None:
    os.truncate(path, 10)


async def carried_out(
    folder: Path, at: Callable[[], None]
) -> tuple[fleet.Run[Any], list[Outcome[Any]], int]:
    """Generate configurations, and do something once some of them exist."""
    told: list[Outcome[Any]] = []
    operations = [GenerateConfig(device_id=uuid(each), protocol="MQTT") for each in range(NUMBER)]
    async with running(fleet_of(NUMBER)) as (emulator, client):
        run = fleet.Run(
            client,
            operations,
            journal=folder / "j.db",
            credentials=folder / "c.jsonl",
            concurrency=AT_ONCE,
        )
        async with asyncio.timeout(60), run:
            async for outcome in run:
                told.append(outcome)
                if len(told) == AT:
                    at()
        return run, told, emulator.world.count()


def devices_in(*paths: Path) -> set[str]:
    rows: list[str] = []
    for path in paths:
        if path.exists():
            rows += path.read_text().splitlines()
    return {json.loads(row)["device_id"] for row in rows if row.endswith("}")}


@pytest.mark.parametrize("lose", [unlinked, moved, replaced, cut_short])
async def test_a_removed_credentials_file_stops_the_run_and_loses_nothing(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    path = tmp_path / "c.jsonl"
    run, told, generated = await carried_out(tmp_path, lambda: lose(path))
    assert run.report.stopped is not None
    assert str(path) in str(run.report.stopped)
    assert len(told) == NUMBER
    assert generated <= AT + IN_FLIGHT
    assert generated == NUMBER - run.report.counts[State.HELD]
    kept = devices_in(path, tmp_path / "c.jsonl.rescued")
    applied = {str(each.operation.subject()) for each in told if each.state is State.APPLIED}
    if lose is cut_short:
        assert len(kept) >= generated - AT - AT_ONCE, "only credentials that were cut off are lost"
    else:
        assert applied <= kept
        assert len(kept) == generated
    if lose in (unlinked, moved):
        assert len(applied) == generated
        assert isinstance(run.report.stopped, NoRoomError)
        assert not (tmp_path / "c.jsonl.rescued").exists()
    modes = {each.stat().st_mode & 0o777 for each in tmp_path.glob("c.jsonl*")}  # noqa: ASYNC240 - a test's own folder
    assert modes == {0o600}


async def test_late_credentials_are_kept_even_if_another_file_took_the_place(
    tmp_path: Path,
) -> None:
    path = tmp_path / "c.jsonl"
    operation = GenerateConfig(device_id=uuid(1), protocol="MQTT")
    async with CredentialsFile(path) as file:
        await file.make_room()
        await file.store(operation, {"one": 1})
        replaced(path)
        with pytest.raises(OSError, match=r"c\.jsonl was replaced .* are in .*c\.jsonl\.rescued$"):
            await file.store(operation, {"two": 2})
        with pytest.raises(OSError, match="was replaced by another file"):
            await file.make_room()
    rows = (tmp_path / "c.jsonl.rescued").read_text().splitlines()
    assert [json.loads(row)["config"] for row in rows] == [{"one": 1}, {"two": 2}]


@pytest.mark.parametrize("name", ["j.db", "j.db-wal", "j.db.lock"])
@pytest.mark.parametrize("lose", [unlinked, replaced])
async def test_a_removed_journal_stops_the_run(
    tmp_path: Path, name: str, lose: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    run, told, generated = await carried_out(tmp_path, lambda: lose(path))
    assert isinstance(run.report.stopped, JournalError)
    assert str(path) in str(run.report.stopped)
    assert len(told) == NUMBER
    assert generated <= AT + IN_FLIGHT
    assert generated == NUMBER - run.report.counts[State.HELD]
    assert len(devices_in(tmp_path / "c.jsonl")) == generated
    if name == "j.db":
        assert path.exists() is (lose is replaced), "no empty file takes the place"
