"""Reads for a job's decisions ask the server, and an old state decides nothing."""

from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.errors import CachedAnswerError
from enapter_async.fleet import Outcome, State
from enapter_async.fleet.errors import StaleError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.planning.drift import GuardMode
from enapter_async.operations.devices import DeleteDevice
from tests.fleet.test_resume import forget_the_outcome
from tests.support.clock import FakeClock
from tests.support.replies import answer, close, errors, good
from tests.support.rig import DELETE, UPDATE, Rig, attempts, open_rig
from tests.support.server import Exchange, FaultServer, Reply, applied, ignored

CACHED = good(("Age", "30"))


@pytest.fixture
async def rig(server: FaultServer, clock: FakeClock) -> AsyncIterator[Rig]:
    async with open_rig("direct", server, clock, retry=attempts(1)) as opened:
        yield opened


def changed(clock: FakeClock, age: float) -> Reply:
    """Answer with a device that was changed once, that many seconds ago."""
    then = int(clock.wall() - age)

    async def reply(exchange: Exchange) -> bool:
        told = exchange.good.json()
        told["device"]["updated_at"] = then
        date = formatdate(clock.wall(), usegmt=True)
        return await answer(200, told, ("Date", date))(exchange)

    return reply


async def only(run: fleet.Run[Any]) -> Outcome[Any]:
    async with run:
        (outcome,) = [outcome async for outcome in run]
    return outcome


async def test_plan_guard_check_and_wave_request_fresh_answers(
    rig: Rig, server: FaultServer
) -> None:
    gone = DeleteDevice(device_id="no-such-device")
    with await fleet.plan(rig.client, [UPDATE, gone]) as made:
        await fleet.apply(rig.client, made, guard=GuardMode.EACH)
    await fleet.apply(rig.client, [UPDATE], check=True)
    await fleet.apply(rig.client, [DELETE], rollout=fleet.Rollout(waves=("rest",)))
    asked = {(each.method, each.header("Cache-Control")) for each in server.arrivals}
    assert asked == {("GET", "no-cache"), ("PATCH", None), ("DELETE", None)}


async def test_a_cached_answer_decides_nothing(rig: Rig, server: FaultServer) -> None:
    server.always(applied(CACHED), method="GET")
    checked = await only(fleet.Run(rig.client, [UPDATE], check=True))
    assert checked.state is State.FAILED
    assert isinstance(checked.error, CachedAnswerError)
    item = WorkItem(seq=0, operation=DELETE, before={"name": "Name of dev-1"})
    guarded = await only(fleet.Run(rig.client, [item], guard=GuardMode.EACH))
    assert guarded.state is State.HELD
    assert isinstance(guarded.error, StaleError)
    with pytest.raises(CachedAnswerError):
        await fleet.plan(rig.client, [DELETE])
    assert set(server.seen) == {"GET"}


@pytest.mark.parametrize("mode", [GuardMode.EACH, GuardMode.NONE])
async def test_a_state_seen_by_the_guard_settles_a_lost_answer(
    rig: Rig, server: FaultServer, mode: GuardMode
) -> None:
    server.world.meddle("dev-1", name="New name")
    server.script(ignored(close()), method="PATCH")
    server.always(applied(changed(rig.clock, 3600.0)), method="GET")
    item = WorkItem(seq=0, operation=UPDATE, before={"name": "Name of dev-1"})
    outcome = await only(fleet.Run(rig.client, [item], guard=mode))
    seen = mode is GuardMode.EACH
    assert outcome.state is (State.APPLIED if seen else State.UNKNOWN)
    assert outcome.settled is seen


@pytest.mark.parametrize(("age", "state"), [(100.0, State.APPLIED), (3600.0, State.UNKNOWN)])
async def test_a_request_of_an_earlier_session_is_settled_by_a_newer_state(
    rig: Rig, server: FaultServer, tmp_path: Path, age: float, state: State
) -> None:
    path = tmp_path / "run.db"
    await fleet.apply(rig.client, [UPDATE], journal=path)
    forget_the_outcome(path, 0, "applied")
    rig.clock.skipped += 100.0
    server.script(ignored(errors(409)), method="PATCH")
    server.script(applied(changed(rig.clock, age)), method="GET")
    report = await fleet.apply(rig.client, [UPDATE], journal=path)
    assert report.counts[state] == 1
