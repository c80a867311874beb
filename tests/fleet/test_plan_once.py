"""A plan that generates configurations is carried out once, from whichever file it is read."""

import asyncio
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.emulator import Reply
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import Plan, PlanCarriedOutError, Rollout, State, plan, read_plan
from enapter_async.integrations.jobs import Jobs
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.fleets import fleet_of, running, uuid

NUMBER = 6


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENAPTER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


async def planned(client: Client) -> Plan:
    operations = [GenerateConfig(device_id=uuid(each), protocol="MQTT") for each in range(NUMBER)]
    return await plan(client, [*operations, UpdateDevice(device_id=uuid(NUMBER), name="New")])


async def test_no_file_folder_or_list_carries_it_out_twice(tmp_path: Path) -> None:
    async with running(fleet_of(NUMBER + 1)) as (emulator, client):
        with await planned(client) as made:
            made.write(tmp_path / "plan.jsonl")
            shutil.copy(tmp_path / "plan.jsonl", tmp_path / "copy.jsonl")
            report = await fleet.apply(client, made, credentials=tmp_path / "c.jsonl")
            assert report.counts[State.APPLIED] == emulator.world.count() == NUMBER + 1
            again: list[Any] = [made, list(made), tuple(read_plan(tmp_path / "plan.jsonl"))]
            again.append(read_plan(tmp_path / "copy.jsonl"))
            for each in again:
                for options in ({}, {"rollout": Rollout()}, {"journal": tmp_path / "j.db"}):
                    with pytest.raises(
                        PlanCarriedOutError, match="a run without a journal claimed"
                    ):
                        await fleet.apply(client, each, credentials=tmp_path / "c.jsonl", **options)
                    assert not (tmp_path / "j.db").exists()
            async with Jobs(client, tmp_path / "jobs") as jobs:
                with pytest.raises(PlanCarriedOutError):
                    await jobs.start(made)
        assert emulator.world.count() == NUMBER + 1


async def test_it_is_repeated_on_request(tmp_path: Path) -> None:
    async with running(fleet_of(NUMBER + 1)) as (emulator, client):
        with await planned(client) as made:
            for _ in range(2):
                await fleet.apply(client, made, credentials=tmp_path / "c.jsonl", again=True)
        assert emulator.world.log.count("generate_config") == 2 * NUMBER


async def test_a_new_plan_and_one_without_configurations_are_not_claimed(tmp_path: Path) -> None:
    renames = [UpdateDevice(device_id=uuid(1), name="New")]
    async with running(fleet_of(NUMBER + 1)) as (emulator, client):
        for _ in range(2):
            with await planned(client) as made:
                await fleet.apply(client, made, credentials=tmp_path / "c.jsonl")
        with await plan(client, renames) as made:
            for _ in range(2):
                await fleet.apply(client, made)
        assert emulator.world.log.count("generate_config") == 2 * NUMBER


async def test_two_runs_at_once_share_no_plan(tmp_path: Path) -> None:
    async with running(fleet_of(NUMBER + 1)) as (emulator, client):
        with await planned(client) as made:
            ended = await asyncio.gather(
                *(
                    fleet.apply(client, made, credentials=tmp_path / f"{each}.jsonl")
                    for each in range(3)
                ),
                return_exceptions=True,
            )
        assert [isinstance(each, PlanCarriedOutError) for each in ended].count(True) == 2
        assert emulator.world.log.count("generate_config") == NUMBER


async def test_a_run_that_sent_nothing_releases_the_plan(tmp_path: Path) -> None:
    async with running(fleet_of(NUMBER + 1)) as (emulator, client):
        with await planned(client) as made:
            options: dict[str, Any] = {"credentials": tmp_path / "c.jsonl", "concurrency": 1}
            emulator.faults.add(Reply(status=401), path="*/generate_config")
            report = await fleet.apply(client, made, journal=tmp_path / "first.db", **options)
            assert (report.counts[State.FAILED], report.counts[State.HELD]) == (1, NUMBER)
            await fleet.apply(client, made, journal=tmp_path / "second.db", **options)
            with pytest.raises(PlanCarriedOutError, match=r"the run of .*second\.db claimed"):
                await fleet.resume(client, tmp_path / "first.db")
        assert emulator.world.log.count("generate_config") == NUMBER


async def test_a_stopped_run_continues_only_from_its_journal(tmp_path: Path) -> None:
    options: dict[str, Any] = {"credentials": tmp_path / "c.jsonl", "concurrency": 1}
    async with running(fleet_of(NUMBER + 1)) as (emulator, client):
        with await planned(client) as made:
            async with fleet.Run(client, made, journal=tmp_path / "j.db", **options) as run:
                async for _ in run:
                    run.stop()
            with pytest.raises(
                PlanCarriedOutError, match=r"the run of .*j\.db claimed .*: resume that run to do"
            ):
                await fleet.apply(client, made, **options)
            report = await fleet.apply(client, made, journal=tmp_path / "j.db", **options)
        assert report.counts[State.APPLIED] == NUMBER + 1
        assert emulator.world.log.count("generate_config") == NUMBER


async def test_an_unwritable_state_folder_is_reported_before_anything_is_sent(
    tmp_path: Path, state: Path
) -> None:
    state.write_text("a file")  # noqa: ASYNC240 - a test's own file
    async with running(fleet_of(NUMBER + 1)) as (emulator, client):
        with await planned(client) as made, pytest.raises(ConfigurationError, match="again=True"):
            await fleet.apply(client, made, credentials=tmp_path / "c.jsonl")
        assert emulator.world.count() == 0


async def test_a_dangling_link_is_not_a_claim(tmp_path: Path, state: Path) -> None:
    async with running(fleet_of(NUMBER + 1)) as (_, client):
        with await planned(client) as made:
            (state / "plans").mkdir(parents=True)
            (state / "plans" / made.header.id).symlink_to(tmp_path / "nowhere")
            with pytest.raises(ConfigurationError, match="already exists") as refused:
                await fleet.apply(client, made, credentials=tmp_path / "c.jsonl")
    assert not isinstance(refused.value, PlanCarriedOutError)


async def test_an_empty_claim_is_a_claim(tmp_path: Path, state: Path) -> None:
    async with running(fleet_of(NUMBER + 1)) as (_, client):
        with await planned(client) as made:
            claim = state / "plans" / made.header.id
            claim.parent.mkdir(parents=True)
            claim.write_bytes(b"")
            with pytest.raises(PlanCarriedOutError, match="does not name the run"):
                await fleet.apply(client, made, credentials=tmp_path / "c.jsonl")


async def test_a_plan_of_version_0_1_is_known_by_its_content(tmp_path: Path) -> None:
    async with running(fleet_of(NUMBER + 1)) as (_, client):
        with await planned(client) as made:
            lines = list(made.lines())
    header = {key: value for key, value in json.loads(lines[0]).items() if key != "id"}
    lines[0] = json.dumps(header).encode() + b"\n"
    checksum = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    lines[-1] = json.dumps({"items": NUMBER + 1, "sha256": checksum}).encode() + b"\n"
    for name in ("old.jsonl", "copy.jsonl"):
        (tmp_path / name).write_bytes(b"".join(lines))
    first, copy = (read_plan(tmp_path / name).header.id for name in ("old.jsonl", "copy.jsonl"))
    assert first == copy
    assert len(first) == 64
