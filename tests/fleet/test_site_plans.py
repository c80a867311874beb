"""Sites in plans and jobs, by the same means as devices: guarded, journalled, and undone."""

from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, World
from enapter_async.errors import AmbiguousOutcomeError
from enapter_async.fleet import GuardMode, State, Verdict
from enapter_async.fleet.planning.rollback import Lasting
from enapter_async.operation import Operation
from enapter_async.operations.sites import CreateSite, DeleteSite, UpdateSite


@pytest.fixture
def world() -> World:
    return World.seeded(200, 1, role="OWNER")


@pytest.fixture
def policy() -> RetryPolicy:
    return RetryPolicy(attempts=2, base_delay=0.001)


async def test_sites_are_planned_changed_guarded_and_undone(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    first, second, third, _ = emulator.world.sites
    place = {"name": "Rome", "latitude": 41.9}
    asked: list[Operation[Any]] = [
        UpdateSite(site_id=first.id, name="New", location=place),
        UpdateSite(site_id=second.id, timezone="Europe/Paris"),
        UpdateSite(site_id=third.id, name=third.name),
        UpdateSite(site_id="nowhere", name="x"),
        DeleteSite(site_id="gone"),
        CreateSite(name="Fresh", timezone="Etc/UTC"),
    ]
    with await fleet.plan(client, asked) as plan:
        told = {item.line: (item.verdict, item.before) for item in plan.items()}
    change, refused = Verdict.CHANGE, Verdict.REFUSED
    assert told == {
        1: (change, {"name": first.name, "location": None}),
        2: (change, {"timezone": second.timezone}),
        3: (Verdict.UNCHANGED, None),
        4: (refused, None),
        5: (Verdict.ABSENT, None),
        6: (change, None),
    }
    with await fleet.plan(client, [*asked[:3], *asked[4:]]) as plan:
        await client.sites.update(second.id, timezone="Asia/Bangkok")
        report = await fleet.apply(client, plan, journal=tmp_path / "run.db", guard=GuardMode.EACH)
    assert report.counts[State.APPLIED] == 2
    assert report.counts[State.HELD] == 1
    assert (report.counts[State.UNCHANGED], report.counts[State.ABSENT]) == (1, 1)
    assert "Fresh" in [site.name for site in emulator.world.sites]
    taken = await fleet.undo(client, tmp_path / "run.db")
    with taken.plan as plan:
        assert taken.lasting[Lasting.EMPTY] == 1, "a location cannot be taken away"
        await fleet.apply(client, plan)
    now = await client.sites.get(first.id)
    assert now.name == first.name
    assert now.location is not None


async def test_a_creation_that_is_uncertain_names_its_candidates_and_is_not_sent_again(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    emulator.faults.add(Drop(after_effect=True), method="POST")
    create = CreateSite(name="Fresh", timezone="Etc/UTC")
    report = await fleet.apply(client, [create], journal=tmp_path / "run.db")
    assert report.counts[State.UNKNOWN] == 1
    (unknown,) = report.unknowns
    assert isinstance(unknown.error, AmbiguousOutcomeError)
    made = [site for site in emulator.world.sites if site.name == "Fresh"]
    assert [each.id for each in unknown.error.candidates] == [each.id for each in made]
    again = await fleet.resume(client, tmp_path / "run.db")
    assert again.counts[State.UNKNOWN] == 1
    assert emulator.world.count("site.create") == len(made) == 1
