"""A plan looks once for each object that operations need, such as a blueprint."""

from collections import Counter
from typing import Any

import pytest

from enapter_async.emulator.faults import Fault, Reply
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.planner import plan
from enapter_async.operation import Operation
from enapter_async.operations.devices import AssignBlueprint
from enapter_async.operations.provisioning import (
    ProvisionLuaDevice,
    ProvisionStandalone,
    ProvisionVucm,
)
from enapter_async.operations.rules import CreateRule
from tests.fleet.fleets import fleet_of, running, uuid


async def test_a_missing_blueprint_site_or_runtime_refuses_what_needs_it() -> None:
    def lua(number: int, **fields: Any) -> ProvisionLuaDevice:
        asked = {"blueprint_id": "bp-2", "runtime_id": uuid(0), **fields}
        return ProvisionLuaDevice(name=f"L{number}", slug=f"lua-{number}", **asked)

    asked: list[tuple[Operation[Any], str]] = [
        (AssignBlueprint(device_id=uuid(0), blueprint_id="bp-2"), ""),
        *(
            (AssignBlueprint(device_id=uuid(n), blueprint_id="nope"), "blueprint nope")
            for n in (1, 2)
        ),
        (ProvisionStandalone(name="S1", slug="s-1"), ""),
        (ProvisionVucm(name="V", hardware_id="V1", site_id="nowhere"), "site nowhere"),
        (CreateRule(slug="night", script="x", site_id="site-0"), ""),
        (CreateRule(slug="night", script="x", site_id="nowhere"), "HTTP 404"),
        (ProvisionStandalone(name="S2", slug="s-2", site_id="nowhere"), "HTTP 404"),
        (lua(1), ""),
        (lua(2, blueprint_id="nope"), "blueprint nope"),
        (lua(3, runtime_id="nobody"), "device nobody"),
        (lua(4, runtime_id="s-1"), ""),  # which the plan itself creates
    ]
    async with running(fleet_of(3), blueprints=["bp-1", "bp-2"]) as (emulator, client):
        with await plan(client, [operation for operation, _ in asked]) as made:
            items = sorted(made.items(), key=lambda item: item.line)
        reads = Counter(each.path for each in emulator.world.log.arrivals())
    for item, (operation, missing) in zip(items, asked, strict=True):
        why = f"there is no {missing}, or this token may not see it" if missing else ""
        if missing.startswith("HTTP"):
            why = item.why
            assert "the site nowhere is not known" in why
        verdict = Verdict.REFUSED if missing else Verdict.CHANGE
        assert (item.verdict, item.why) == (verdict, why), operation
    needed = ("blueprints/bp-2", "blueprints/nope", "sites/nowhere", "sites/site-0")
    assert [reads[f"/v3/{path}"] for path in needed] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "answer",
    [Reply(status=403), Reply(status=404, body=b"<html>"), Reply(status=200, body=b"<html>")],
    ids=["403", "404 of a proxy", "page of a gateway"],
)
async def test_a_blueprint_that_cannot_be_read_refuses_nothing(answer: Fault) -> None:
    async with running(fleet_of(1)) as (emulator, client):
        emulator.faults.add(answer, path="/v3/blueprints/*", times=None)
        change = AssignBlueprint(device_id=uuid(0), blueprint_id="bp-2")
        with await plan(client, [change]) as made:
            assert made.counts[Verdict.CHANGE] == 1
