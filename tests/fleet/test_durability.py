"""Files that must survive a power loss are on the disk, with their names, before they are needed.

`test_kills.py` tests that an intent is on the disk before its request; here the package itself
syncs the files, and the tests observe these syncs.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async.emulator import Drop, Reply
from enapter_async.fleet import State, apply, plan, resume
from enapter_async.fleet.credentials import CredentialsFile
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.planning.carried_out import PlanClaim
from enapter_async.fleet.private_files import open_private, written_whole
from enapter_async.integrations.job_files import JobFile
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.fleets import device, running, uuid


@attrs.frozen
class Syncs:
    """The contents of the disk after each sync: a file's bytes, or a folder's names."""

    of: dict[str, Any] = attrs.field(factory=dict)

    def take(self, descriptor: int) -> None:
        kept = Path(f"/proc/self/fd/{descriptor}").readlink()
        names = {each.name for each in kept.iterdir()} if kept.is_dir() else None
        self.of[str(kept)] = kept.read_bytes() if names is None else names


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Observe syncs, which are still carried out."""
    syncs = Syncs()

    def listening(sync: Callable[[int], None]) -> Callable[[int], None]:
        def listened(descriptor: int) -> None:
            sync(descriptor)
            syncs.take(descriptor)

        return listened

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, listening(getattr(os, name)))
    return syncs.of


async def test_credentials_are_on_the_disk_when_they_are_reported_as_stored(
    tmp_path: Path, synced: dict[str, Any]
) -> None:
    path = tmp_path / "c.jsonl"
    async with CredentialsFile(path) as file:
        assert synced[str(tmp_path)] == {"c.jsonl"}
        for number in range(2):
            await file.store(GenerateConfig(device_id="d", protocol="MQTT"), {"number": number})
            assert synced[str(path)] == path.read_bytes()
            assert synced[str(path)].count(b"\n") == number + 1


def test_the_name_of_a_new_private_file_is_durable(tmp_path: Path, synced: dict[str, Any]) -> None:
    os.close(open_private(tmp_path / "new"))
    assert synced[str(tmp_path)] == {"new"}


def test_the_name_of_a_runs_folder_is_durable(tmp_path: Path, synced: dict[str, Any]) -> None:
    folder = RunFolder.create(tmp_path / "state" / "runs", now=0.0)
    assert synced[str(tmp_path / "state" / "runs")] == {folder.id}
    assert synced[str(tmp_path / "state")] == {"runs"}


def test_a_backends_job_file_is_durable(tmp_path: Path, synced: dict[str, Any]) -> None:
    for wanted in ("running", "stopped"):
        JobFile(wanted=wanted).write(RunFolder(tmp_path))
        assert synced[str(tmp_path)] == {"job.json"}
        assert (tmp_path / "job.json").read_bytes() in synced.values()


@pytest.mark.parametrize("new", [False, True])
def test_an_atomically_written_file_is_durable(
    tmp_path: Path, synced: dict[str, Any], new: bool
) -> None:
    with written_whole(tmp_path / "page", new=new) as file:
        file.write("all of it")
    assert b"all of it" in synced.values()
    assert "page" in synced[str(tmp_path)]


def test_a_plan_claim_is_durable(
    tmp_path: Path, synced: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENAPTER_STATE_DIR", str(tmp_path / "state"))
    before = len([*Path("/proc/self/fd").iterdir()])
    claim = PlanClaim.take("a" * 64, now=0.0)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert claim.path.parent.stat().st_mode & 0o777 == 0o700
    assert synced[str(claim.path)] == claim.path.read_bytes() != b""
    assert synced[str(tmp_path / "state" / "plans")] == {"a" * 64}
    assert synced[str(tmp_path / "state")] == {"plans"}
    for _ in range(2):
        claim.release()
    assert not claim.path.exists()


# Names that could be confused: credentials of another run, addresses of two devices.


async def test_credentials_of_another_run_in_the_same_file_do_not_count(
    tmp_path: Path,
) -> None:
    credentials = tmp_path / "both.jsonl"
    async with running([device(each) for each in range(2)]) as (emulator, client):

        def generate(number: int) -> list[GenerateConfig]:
            return [GenerateConfig(device_id=uuid(number), protocol="MQTT")]

        await apply(client, generate(0), journal=tmp_path / "a.db", credentials=credentials)
        emulator.faults.add(Drop(after_effect=True))
        lost = await apply(client, generate(1), journal=tmp_path / "b.db", credentials=credentials)
        assert lost.counts[State.UNKNOWN] == 1
        report = await resume(client, tmp_path / "b.db")
    assert (report.counts[State.UNKNOWN], report.counts[State.APPLIED]) == (1, 0)


@pytest.mark.parametrize("turned", [False, True])
async def test_an_ambiguous_address_is_a_problem_and_selects_no_device(turned: bool) -> None:
    devices = [device(0), device(1), device(2)]
    shown = [each.to_json() for each in devices]
    shown[1]["slug"] = uuid(0)
    page = {"devices": shown[::-1] if turned else shown, "total_count": 3}
    async with running(devices) as (emulator, client):
        reply = Reply(body=json.dumps(page).encode(), content_type="application/json")
        emulator.faults.add(reply, path="*/devices", times=None)
        operations = [UpdateDevice(device_id=uuid(each), name="New") for each in (0, 2)]
        with await plan(client, operations) as made:
            items = {item.line: item for item in made.items()}
    assert [str(items[line].verdict) for line in (1, 2)] == ["refused", "change"]
    assert "more than one device" in items[1].why
