"""The work of every noun, carried out by two workers over a folder and over PostgreSQL.

Each row prepares an emulator, returns what is to be done, and checks the emulator afterwards; its
first request that writes is answered with 429, so that something is repeated.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async import fleet
from enapter_async.emulator import Drop, Emulator, TooManyRequests, World
from enapter_async.emulator.commands import Behaviour, Commands
from enapter_async.emulator.configuration import Configuration
from enapter_async.emulator.state import Site
from enapter_async.fleet import State, Verdict
from enapter_async.fleet.operation_files import parse_operations
from enapter_async.operation import Operation
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.configuration import ResetConfiguration, UpdateConfiguration
from enapter_async.operations.devices import UpdateDevice
from enapter_async.operations.sites import CreateSite, DeleteSite, UpdateSite
from tests.distributed.jobs import client_for, submitted, worker
from tests.fleet.fleets import fleet_of, uuid

DEVICES = 12
SITES = 6


@attrs.frozen
class Work:
    """What is to be done, whether it can be undone, and what is then on the emulator."""

    prepare: Callable[[Emulator], list[Operation[Any]]]
    check: Callable[[Emulator], None]
    undone: Callable[[Emulator], None] | None = None


def network(emulator: Emulator) -> list[dict[str, Any]]:
    noun = emulator.noun(Configuration)
    return [noun.values(device, "network") for device in emulator.world]


def set_up(emulator: Emulator) -> None:
    for device in emulator.world:
        emulator.noun(Configuration).prepare(device.id, "network", {"port": 1, "host": "old"})


def setting(emulator: Emulator) -> list[Operation[Any]]:
    set_up(emulator)
    return [
        UpdateConfiguration(device_id=each.id, group="network", set={"port": 8502}, reset=["host"])
        for each in emulator.world
    ]


def is_set(emulator: Emulator) -> None:
    assert network(emulator) == [{"port": 8502}] * DEVICES


def is_as_before(emulator: Emulator) -> None:
    assert network(emulator) == [{"port": 1, "host": "old"}] * DEVICES


def resetting(emulator: Emulator) -> list[Operation[Any]]:
    set_up(emulator)
    return [ResetConfiguration(device_id=each.id, group="network") for each in emulator.world]


def is_reset(emulator: Emulator) -> None:
    assert network(emulator) == [{"port": 502}] * DEVICES


def on_sites(emulator: Emulator) -> list[Operation[Any]]:
    for number in range(SITES):
        emulator.world.put_site(Site(id=f"old-{number}", name="Old", timezone="UTC"))
    half = SITES // 2
    return [
        *(CreateSite(name=f"New {number}", timezone="UTC") for number in range(SITES)),
        *(UpdateSite(site_id=f"old-{number}", name="Renamed") for number in range(half)),
        *(DeleteSite(site_id=f"old-{number}") for number in range(half, SITES)),
    ]


def sites_are_there(emulator: Emulator) -> None:
    names = Counter(site.name for site in emulator.world.sites)
    assert (names["Renamed"], names["Old"]) == (SITES // 2, 0)
    assert [names[f"New {number}"] for number in range(SITES)] == [1] * SITES


def rebooting(emulator: Emulator) -> list[Operation[Any]]:
    emulator.noun(Commands).behave("reboot", Behaviour(latency=0.2))
    for each in emulator.world:
        emulator.world.change(each.id, connectivity="ONLINE")  # one that is not would time out
    return [CreateExecution(device_id=each.id, name="reboot") for each in emulator.world]


def all_ran(emulator: Emulator) -> None:
    assert Counter(each.device_id for each in emulator.world.log.effects(operation="ran")) == {
        each.id: 1 for each in emulator.world
    }


def provisioning(emulator: Emulator) -> list[Operation[Any]]:
    site = emulator.world.sites[0].id
    rows = [f"provision,Pump {n},pump-{n},{site},bp-1,MQTTS" for n in range(DEVICES)]
    header = "operation,name,slug,site_id,blueprint_id,protocol"
    return list(parse_operations("\n".join([header, *rows, ""]).encode(), source="devices.csv"))


def all_provisioned(emulator: Emulator) -> None:
    for number in range(DEVICES):
        device = emulator.world.device(f"pump-{number}")
        assert (device.name, device.blueprint_id) == (f"Pump {number}", "bp-1")
        operations = [each.operation for each in emulator.world.effects_of(device.id)]
        assert operations == ["provision", "assign_blueprint", "generate_config"]


def circles(_: Emulator) -> list[Operation[Any]]:
    return [
        UpdateDevice(device_id=uuid(first + place), slug=f"device-{first + (place + 1) % 3}")
        for first in range(0, DEVICES, 3)
        for place in range(3)
    ]


def has_turned(emulator: Emulator) -> None:
    for each in circles(emulator):
        assert isinstance(each, UpdateDevice)
        assert emulator.world.device(each.device_id).slug == each.slug


def has_turned_back(emulator: Emulator) -> None:
    slugs = [emulator.world.device(uuid(number)).slug for number in range(DEVICES)]
    assert slugs == [f"device-{number}" for number in range(DEVICES)]


WORKS = {
    "configuration.update": Work(setting, is_set, is_as_before),
    "configuration.reset": Work(resetting, is_reset, is_as_before),
    "sites": Work(on_sites, sites_are_there),
    "commands": Work(rebooting, all_ran),
    "provisioning": Work(provisioning, all_provisioned),
    "circles of slugs": Work(circles, has_turned, has_turned_back),
}


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    plain = "circles" in request.node.name
    return World(fleet_of(DEVICES)) if plain else World.seeded(DEVICES, 1, role="OWNER")


@pytest.fixture(params=["folder", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "job")
    return f"{request.getfixturevalue('database')}#work"


async def carried_out(
    emulator: Emulator, job: fleet.Job, kept: Path, seen: set[str] | None = None
) -> fleet.JobStatus:
    """Let two workers carry a job out, one partition at a time; `seen` gets those at work."""
    workers = set[str]() if seen is None else seen
    both = [
        worker(emulator, job.address, name=name, slots=1, credentials=kept)
        for name in ("one", "two")
    ]
    async with both[0], both[1]:
        return await job.wait(lambda status: workers.update(status.workers))


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS.keys())
async def test_two_workers_do_the_work_of_every_noun(
    work: Work, emulator: Emulator, place: str, tmp_path: Path
) -> None:
    operations = work.prepare(emulator)
    async with client_for(emulator)() as client:
        with await fleet.plan(client, operations) as plan:
            assert plan.counts[Verdict.REFUSED] == 0
            emulator.faults.add(TooManyRequests(retry_after=0), when=_writes)
            job = await submitted(emulator, place, plan, by=3, wait=10.0)
        status = await carried_out(emulator, job, tmp_path / "kept")
        assert status.ok, await job.report()
        assert status.partitions > 1
        work.check(emulator)
        if work.undone is None:
            return
        undo = await fleet.undo(client, job)
        with undo.plan as back:
            other = place.replace("work", "back").replace("job", "back")
            again = await submitted(emulator, other, back, by=3)
        assert (await carried_out(emulator, again, tmp_path / "kept")).ok
        work.undone(emulator)


def _writes(target: Any) -> bool:
    return bool(target.method != "GET")


async def test_workers_follow_and_accept_what_may_have_been_created(
    emulator: Emulator, place: str, tmp_path: Path
) -> None:
    """Pending commands are followed; a site and commands with lost answers are searched for."""
    operations = [*rebooting(emulator), CreateSite(name="Lost", timezone="UTC")]
    emulator.faults.add(Drop(after_effect=True), when=_writes, times=1)
    emulator.faults.add(Drop(after_effect=True), method="POST", path="/v3/sites", times=1)
    emulator.noun(Commands).behave("reboot", Behaviour(latency=1.5))
    job = await submitted(emulator, place, operations, by=3, wait=0.5)
    seen: set[str] = set()
    status = await carried_out(emulator, job, tmp_path / "kept", seen)
    assert seen == {"one", "two"}
    assert (status.counts[State.PENDING], status.counts[State.UNKNOWN]) == (DEVICES - 1, 2)
    emulator.noun(Commands).behave("reboot", Behaviour())
    await job.resume(accept_candidates=True)
    status = await carried_out(emulator, job, tmp_path / "kept")
    assert status.counts[State.UNKNOWN] == 0, await job.report()
    all_ran(emulator)
    assert emulator.world.count("site.create") == 1
