"""The state of a run, read from its journal during and after the run."""

from pathlib import Path
from typing import Any

import pytest

from enapter_async import DeleteDevice, UpdateDevice, fleet
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import State
from enapter_async.operation import Operation
from tests.fleet.fleets import fleet_of, running


async def test_status_agrees_with_the_report(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with running(fleet_of(3)) as (emulator, client):
        ids = [device.id for device in emulator.world]
        renaming = UpdateDevice(device_id=ids[0], name="new")
        operations: list[Operation[Any]] = [
            renaming,
            renaming,
            UpdateDevice(device_id=ids[1], name="other"),
            DeleteDevice(device_id="gone"),
            UpdateDevice(device_id="nobody", name="x"),
        ]
        seen: list[fleet.RunStatus] = []
        options = fleet.RunOptions(abort=None, concurrency=1)
        report = await fleet.apply(
            client,
            operations,
            options,
            journal=path,
            on_outcome=lambda _: seen.append(fleet.status(path)),
        )
    assert seen[0].running
    assert (seen[0].waiting, seen[0].counts[State.HELD]) == (3, 0)
    ended = fleet.status(path)
    assert not ended.running
    assert ended.complete
    assert ended.counts == report.counts
    assert (ended.total, ended.done, ended.intents) == (4, 3, 4)
    assert list(ended.ways_on()) == [("to retry failed operations", "--retry-failed")]


def test_a_non_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_text("no journal")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"run\.db"):
        fleet.status(path)


async def test_a_mistyped_journal_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    async with running(fleet_of(1)) as (emulator, client):
        with pytest.raises(fleet.RunRefusedError, match=r"there is no journal at .*rum\.db"):
            await fleet.resume(client, tmp_path / "rum.db")
        with pytest.raises(ConfigurationError, match="its folder does not exist"):
            await fleet.apply(client, [], journal=tmp_path / "none" / "run.db")
        assert emulator.world.log.count_arrivals() == 0
    assert names_in(tmp_path) == []


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]
