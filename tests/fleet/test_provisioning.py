"""New devices from a file: each row is carried out in order, once, and its credentials are kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, Provisioning, Reply, ServerFailure, World
from enapter_async.emulator.state import Site
from enapter_async.errors import AmbiguousOutcomeError
from enapter_async.fleet import JournalOptions, State, Verdict
from enapter_async.fleet.errors import InputError
from enapter_async.fleet.inputs import Input
from enapter_async.fleet.operation_files import parse_operations
from enapter_async.fleet.rollout.waves import Waves
from enapter_async.operation import Operation, Repeat
from enapter_async.operations.devices import AssignBlueprint, GenerateConfig
from enapter_async.operations.provisioning import ProvisionStandalone

SITE = "site-1"


@pytest.fixture
def world() -> World:
    return World.from_json([{"id": "dev-1", "slug": "taken", "name": "Old", "site_id": SITE}])


@pytest.fixture
def policy() -> RetryPolicy:
    return RetryPolicy(attempts=2, base_delay=0.01)


def file_of(*slugs: str, blueprint: str = "bp-1", protocol: str = "MQTTS") -> bytes:
    header = "operation,name,slug,site_id,blueprint_id,protocol"
    rows = [f"provision,Pump {slug},{slug},{SITE},{blueprint},{protocol}" for slug in slugs]
    return "\n".join([header, *rows, ""]).encode()


def rows_of(*slugs: str, **cells: str) -> list[Any]:
    return list(parse_operations(file_of(*slugs, **cells), source="devices.csv"))


def test_a_row_is_a_unit_of_operations_that_address_the_slug() -> None:
    assert rows_of("p1") == [
        ProvisionStandalone(name="Pump p1", slug="p1", site_id=SITE),
        AssignBlueprint(device_id="p1", site_id=SITE, blueprint_id="bp-1"),
        GenerateConfig(device_id="p1", site_id=SITE, protocol="MQTTS"),
    ]
    assert len(rows_of("p1", blueprint="", protocol="")) == 1
    wrong = b"operation,name,site_id\nprovision,Pump,site-1\nprovide,Pump,site-1\n"
    with pytest.raises(InputError) as error:
        parse_operations(wrong, source="devices.csv")
    messages = [problem.message for problem in error.value.problems]
    assert messages[0] == "provision needs slug, which is missing"
    assert messages[1] == "there is no operation 'provide'; did you mean provision?"


async def test_a_hundred_devices_are_created_once_and_their_credentials_kept(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    slugs = [f"pump-{number}" for number in range(100)]
    kept = tmp_path / "kept.jsonl"
    with await fleet.plan(client, rows_of(*slugs)) as plan:
        assert plan.counts[Verdict.CHANGE] == 300
        assert (plan.configurations, plan.once) == (100, 100)
        plan.write(tmp_path / "plan")
        emulator.faults.add(Drop(after_effect=True), method="POST", times=1)
        report = await fleet.apply(
            client, plan, credentials=kept, journal=tmp_path / "j.db", abort=None
        )
    unknown = report.counts[State.UNKNOWN]
    assert report.counts[State.APPLIED] == 300 - unknown - report.counts[State.HELD]
    assert emulator.world.count("provision") == 100
    lines = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    assert len({line["device_id"] for line in lines}) == len(lines) >= 99
    for slug in slugs:
        device = emulator.world.device(slug)
        assert (device.name, device.site_id) == (f"Pump {slug}", SITE)
    with await fleet.plan(client, rows_of(*slugs)) as again:
        verdicts = [item.verdict for item in again.items()]
    assert verdicts.count(Verdict.CHANGE) == 100, "only new configurations are left to do"
    assert verdicts.count(Verdict.REFUSED) == 0


def test_a_class_without_attrs_does_not_stop_a_file_from_being_read() -> None:
    made = type("Made", (Operation,), {"kind": "shelf.make", "repeat": Repeat.ONCE})
    assert len(rows_of("p1")) == 3
    del made


def test_no_wave_divides_what_is_done_to_a_new_device() -> None:
    waved = Waves(Input(rows_of("p1", "p2", "p3", "p4")), fleet.Rollout(waves=(4, "rest")))
    waves = [(item.operation.target().name, item.wave) for item in waved.items()]
    assert sorted(waves) == sorted([("p1", 0), ("p2", 0), ("p3", 1), ("p4", 1)] * 3)


async def test_what_follows_a_device_that_was_not_created_is_held(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    journal = JournalOptions(path=tmp_path / "j.db")
    emulator.faults.add(Reply(status=422, body=b"{}"), method="POST", times=1)
    report = await fleet.apply(
        client,
        rows_of("p1", "p2"),
        credentials=tmp_path / "kept.jsonl",
        journal=journal,
        concurrency=1,
        abort=None,
    )
    assert report.counts[State.FAILED] == 1
    assert report.counts[State.HELD] == 2
    again = await fleet.resume(
        client, JournalOptions(path=journal.path, retry_failed=True), abort=None
    )
    assert again.ok
    assert emulator.world.count("provision") == 2
    back = await fleet.undo(client, journal.path)
    back.plan.close()
    assert {str(why): number for why, number in back.lasting.items() if number} == {
        "created": 2,  # the blueprint of each, which had none before
        "configuration": 2,
        "no way back": 2,
    }


async def test_a_plan_refuses_a_slug_that_another_device_has(client: Client) -> None:
    with await fleet.plan(client, rows_of("taken", "free")) as plan:
        refused = [item for item in plan.items() if item.verdict is Verdict.REFUSED]
        assert {item.device for item in refused} == {"dev-1"}
        assert "another device already has its key" in refused[0].why
        assert plan.counts[Verdict.CHANGE] == 3


async def test_one_slug_at_two_sites_is_two_devices_with_credentials_of_their_own(
    tmp_path: Path,
) -> None:
    world = World(sites=[Site(id=site, name=site) for site in ("s1", "s2")], unique_slugs="site")
    header = "operation,name,slug,site_id,blueprint_id,protocol"
    rows = [f"provision,Pump,pump,{site},bp-1,MQTTS" for site in ("s1", "s2")]
    file = "\n".join([header, *rows, ""]).encode()
    kept = tmp_path / "kept.jsonl"
    async with (
        Emulator(world=world) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
    ):
        with await fleet.plan(client, list(parse_operations(file, source="x.csv"))) as plan:
            assert (await fleet.apply(client, plan, credentials=kept)).ok
    assert sorted(device.site_id for device in world) == ["s1", "s2"]
    lines = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    named = sorted((line["site_id"], line["device_id"]) for line in lines)
    assert named == [("s1", "pump"), ("s2", "pump")]


async def test_another_slug_than_requested_differs_and_holds_the_rest(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    emulator.noun(Provisioning).slug_policy = "suffix"
    report = await fleet.apply(client, rows_of("taken"), credentials=tmp_path / "c", abort=None)
    assert report.counts[State.DIFFERS] == 1
    assert report.counts[State.HELD] == 2
    assert emulator.world.device("taken").id == "dev-1"
    assert emulator.world.effects_of("dev-1") == ()


async def test_what_may_have_been_created_is_taken_by_its_slug_if_that_is_allowed(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "j.db"
    emulator.faults.add(Drop(after_effect=True), method="POST", times=1)
    failing = ServerFailure(status=500)
    emulator.faults.add(failing, when=lambda it: it.method == "GET" and "p1" in emulator.world)
    brisk = client.with_options(retry=RetryPolicy(attempts=1))
    report = await fleet.apply(
        brisk, rows_of("p1"), credentials=tmp_path / "kept.jsonl", journal=path, abort=None
    )
    (unknown,) = report.unknowns
    assert isinstance(unknown.error, AmbiguousOutcomeError)
    assert report.counts[State.HELD] == 2
    emulator.faults.clear()
    assert "--accept-candidates" in [option for _, option in fleet.status(path).ways_on()]
    again = await fleet.resume(
        client, JournalOptions(path=path, accept_candidates=True), abort=None
    )
    assert again.ok
    assert emulator.world.count("provision") == 1
