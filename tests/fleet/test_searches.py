"""Searches for what may have been created: read to the end, and compared with what was there."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from enapter_async import Client, RetryPolicy, Timeouts, fleet
from enapter_async.emulator import Drop, Emulator, Hang, Reply, ServerFailure, World
from enapter_async.emulator.state import Site
from enapter_async.errors import AmbiguousOutcomeError
from enapter_async.fleet import JournalOptions, State
from enapter_async.operations.provisioning import ProvisionStandalone, ProvisionUcm, ProvisionVucm
from enapter_async.operations.sites import CreateSite, DeleteSite
from tests.fleet.fleets import device

OLD = 60
"""More than a page of 50 holds; a new object comes after all of them."""
CREATE = CreateSite(name="Barn", timezone="Europe/Rome")


@pytest.fixture
def world() -> World:
    sites = [Site(id=f"0000-{n:02}", name="Barn", timezone="Europe/Rome") for n in range(OLD)]
    devices = [device(n, id=f"0000-{n:02}", site_id=sites[0].id) for n in range(OLD)]
    return World(devices, sites)


@pytest.fixture
def policy() -> RetryPolicy:
    return RetryPolicy(attempts=2, base_delay=0.001)


@pytest.fixture(params=["file", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "run.db")
    return f"{request.getfixturevalue('database')}#sites"


def new_site(emulator: Emulator) -> str:
    (made,) = emulator.world.log.effects(operation="site.create")
    assert made.device_id is not None
    return made.device_id


async def test_only_what_is_new_is_a_candidate_wherever_the_list_shows_it(
    emulator: Emulator, client: Client
) -> None:
    emulator.faults.add(Drop(after_effect=True), method="POST", times=2)
    with pytest.raises(AmbiguousOutcomeError, match="a search found 1 object") as caught:
        await client.execute(CREATE)
    assert [each.id for each in caught.value.candidates] == [new_site(emulator)]
    with pytest.raises(AmbiguousOutcomeError, match="a search found 1 object") as caught:
        await client.execute(ProvisionVucm(name="V", hardware_id="V0", site_id="0000-00"))
    assert [each.name for each in caught.value.candidates] == ["V"]
    emulator.faults.add(Drop(), method="POST", times=1)
    with pytest.raises(AmbiguousOutcomeError, match="a search found 0 objects"):
        await client.execute(CREATE)


async def test_a_job_remembers_what_was_there_before_it_sent(
    emulator: Emulator, client: Client, journal: str
) -> None:
    emulator.faults.add(Drop(after_effect=True), method="POST", times=1)
    emulator.faults.add(
        ServerFailure(status=500),
        when=lambda it: it.method == "GET" and emulator.world.count("site.create") == 1,
        times=None,
    )
    report = await fleet.apply(client, [CREATE], journal=journal, abort=None)
    (unknown,) = report.unknowns
    assert isinstance(unknown.error, AmbiguousOutcomeError)
    assert unknown.error.candidates == ()
    emulator.faults.clear()
    accept = JournalOptions(path=journal, accept_candidates=True)
    async with fleet.Run(client, [CREATE], journal=accept, abort=None) as run:
        (outcome,) = [each async for each in run]
    assert (outcome.state, outcome.result.id) == (State.APPLIED, new_site(emulator))
    assert emulator.world.count("site.create") == 1


async def test_a_new_module_is_taken_but_its_lost_configuration_is_missed(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    creation = ProvisionUcm(name="U", hardware_id="U0", protocol="MQTTS", site_id="0000-00")
    run: dict[str, Any] = {"credentials": tmp_path / "kept.jsonl", "abort": None}
    journal = tmp_path / "run.db"
    emulator.faults.add(Drop(after_effect=True), method="POST", times=1)
    report = await fleet.apply(client, [creation], journal=journal, **run)
    assert report.counts[State.UNKNOWN] == 1
    accept = JournalOptions(path=journal, accept_candidates=True)
    report = await fleet.resume(client, accept, **run)
    (differing,) = report.differing
    (made,) = emulator.world.log.effects(operation="provision")
    assert f"{made.device_id}, has no configuration; generate one" in str(differing.error)
    assert emulator.world.count("generate_config") == 1


async def test_a_single_candidate_that_may_be_older_is_never_taken(
    emulator: Emulator, client: Client, journal: str
) -> None:
    for site in emulator.world.sites[1:]:
        emulator.world.remove_site(site.id)
    emulator.faults.add(ServerFailure(status=500), method="GET", times=4)
    emulator.faults.add(Drop(), method="POST", times=1)
    report = await fleet.apply(client, [CREATE], journal=journal, abort=None)
    emulator.faults.clear()
    accept = JournalOptions(path=journal, accept_candidates=True)
    report = await fleet.resume(client, accept, abort=None)
    (unknown,) = report.unknowns
    assert "a search found 1 object" in str(unknown.error)
    assert "it is unknown which of them existed before" in str(unknown.error)
    assert emulator.world.count("site.create") == 0


async def test_an_object_that_may_have_had_the_key_is_never_taken(
    emulator: Emulator, client: Client, journal: str
) -> None:
    other = device(OLD, slug="pump", name="Pump", site_id="0000-00", type="STANDALONE")
    emulator.world.add(other)
    emulator.faults.add(ServerFailure(status=500), method="GET", times=4)
    emulator.faults.add(Drop(), method="POST", times=1)
    create = ProvisionStandalone(name="Pump", slug="pump", site_id="0000-00")
    report = await fleet.apply(client, [create], journal=journal, abort=None)
    emulator.faults.clear()
    accept = JournalOptions(path=journal, accept_candidates=True)
    report = await fleet.resume(client, accept, abort=None)
    (unknown,) = report.unknowns
    assert "unknown whether an object with its key existed before" in str(unknown.error)
    assert emulator.world.count("provision") == 0


@pytest.mark.parametrize("act", ["stop", "cut"])
async def test_a_deletion_whose_404_is_not_yet_proven_is_not_held(
    emulator: Emulator, act: str
) -> None:
    """A proxy passed it on twice: the first arrival deleted the site, the second met a 404."""
    gone = Reply(status=404, body=b'{"errors": [{"code": "not_found"}]}', after_effect=True)
    emulator.faults.add(gone, method="DELETE")
    emulator.faults.add(Hang(), method="GET", times=None)
    brisk = Timeouts(read=0.3)
    policy = RetryPolicy(attempts=1)
    async with Client(
        emulator.token, base_url=emulator.base_url, retry=policy, timeouts=brisk
    ) as client:
        delete = DeleteSite(site_id="0000-01")
        async with fleet.Run(client, [delete], abort=None) as run:
            async with asyncio.timeout(60):
                while emulator.world.log.count_arrivals("GET") == 0:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
            (run.stop if act == "stop" else run.cut)()
            (outcome,) = [each async for each in run]
    assert emulator.world.count("site.delete") == 1
    assert outcome.state is State.UNKNOWN
