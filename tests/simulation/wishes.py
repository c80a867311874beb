"""The operations of all nouns that stories draw, each with what makes a report of it true.

A row states from the API page whether the operation may be repeated, and in the emulator's own
words when the world is as wanted. Nothing here asks the operation about itself.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

import attrs

from enapter_async.emulator.commands import Behaviour, Commands
from enapter_async.emulator.configuration import Configuration
from enapter_async.emulator.rules import Rules
from enapter_async.emulator.state import Site
from enapter_async.operation import Operation
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.configuration import ResetConfiguration, UpdateConfiguration
from enapter_async.operations.devices import AssignBlueprint, DeleteDevice, UpdateDevice
from enapter_async.operations.provisioning import (
    ProvisionLuaDevice,
    ProvisionStandalone,
    ProvisionUcm,
    ProvisionVucm,
)
from enapter_async.operations.rules import CreateRule, DeleteRule, UpdateRuleScript
from enapter_async.operations.sites import CreateSite, DeleteSite, UpdateSite
from tests.simulation.emulated import EmulatedWorld, Moment, asked_by
from tests.simulation.world import Asked

BEHAVIOURS: Final = (
    Behaviour(),
    Behaviour(latency=5.0),
    Behaviour(ending="error", payload={"reason": "jammed"}),
    Behaviour(ending="time out"),
    Behaviour(ending="never answer"),
    Behaviour(unsynced=True),
)


@attrs.frozen(kw_only=True, eq=False)
class Wish:
    """One operation to carry out.

    `effect` is its name in the emulator's log. `wanted` says whether the emulator is as a
    repeatable operation wants it; a once-only one has none. `older` are the ids of objects that
    exist from the start, and look like what it creates.
    """

    operation: Operation[Any]
    effect: str
    wanted: Callable[[Moment], bool] | None = None
    older: frozenset[str] = frozenset()
    asked: Asked = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "asked", asked_by(self.operation))

    @property
    def once(self) -> bool:
        return self.wanted is None

    @property
    def followed(self) -> bool:
        return isinstance(self.operation, CreateExecution)

    def __str__(self) -> str:
        return f"{self.operation.kind} of {self.operation.target().name or self.asked.address}"


Draw = Callable[[Random, EmulatedWorld, int], Wish]


def _device(chance: Random, there: EmulatedWorld) -> Any:
    return chance.choice(there.now_there.world.devices)


def _through(chance: Random, device: Any) -> dict[str, Any]:
    """Return the address of a device: by its id or its slug, with or without its site."""
    name = device.slug if chance.random() < 0.2 else device.id
    site = {"site_id": device.site_id} if chance.random() < 0.5 else {}
    return {"device_id": name, **site}


def _update_configuration(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    device = _device(chance, there)
    operation = UpdateConfiguration(
        **_through(chance, device),
        group="network",
        set={"port": 8000 + number},
        reset=["host"],
    )

    def wanted(at: Moment) -> bool:
        found = at.noun(Configuration).values(device, "network")
        return found["port"] == 8000 + number and "host" not in found

    return Wish(operation=operation, effect="configuration.update", wanted=wanted)


def _reset_configuration(chance: Random, there: EmulatedWorld, _: int) -> Wish:
    device = _device(chance, there)
    there.now_there.noun(Configuration).prepare(device.id, "network", {"port": 1, "host": "h"})
    defaults: dict[str, Any] = {"port": 502, "host": None, "token": None}
    operation = ResetConfiguration(
        **_through(chance, device),
        group="network",
        defaults=defaults if chance.random() < 0.7 else None,
    )
    return Wish(
        operation=operation,
        effect="configuration.reset",
        wanted=lambda at: at.noun(Configuration).values(device, "network") == {"port": 502},
    )


def _site(there: EmulatedWorld, name: str) -> str:
    there.now_there.world.put_site(Site(id=name, name=f"Site {name}", timezone="UTC"))
    return name


def _create_site(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    name = f"Barn {number}"
    alike = [_site(there, f"old-{number}-{each}") for each in range(chance.choice((0, 0, 1, 55)))]
    for each in alike:
        there.now_there.world.put_site(Site(id=each, name=name, timezone="UTC"))
    operation = CreateSite(name=name, timezone="UTC")
    return Wish(operation=operation, effect="site.create", older=frozenset(alike))


def _update_site(_: Random, there: EmulatedWorld, number: int) -> Wish:
    site_id = _site(there, f"site-{number}")
    name = f"Renamed {number}"

    def wanted(at: Moment) -> bool:
        site = at.world.site(site_id)
        return site is not None and site.name == name

    operation = UpdateSite(site_id=site_id, name=name)
    return Wish(operation=operation, effect="site.update", wanted=wanted)


def _delete_site(_: Random, there: EmulatedWorld, number: int) -> Wish:
    site_id = _site(there, f"site-{number}")
    return Wish(
        operation=DeleteSite(site_id=site_id),
        effect="site.delete",
        wanted=lambda at: at.world.site(site_id) is None,
    )


def _site_id(chance: Random, there: EmulatedWorld) -> str:
    return chance.choice(sorted({each.site_id for each in there.now_there.world.devices}))


def _provision(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    slug = None if chance.random() < 0.2 else f"new-{number}"
    site_id, older = _site_id(chance, there), frozenset[str]()
    if slug is not None and chance.random() < 0.3:
        alike = attrs.evolve(
            there.now_there.world.devices[0],
            id=f"alike-{number}",
            name=f"New {number}",
            slug=slug,
            site_id=site_id,
            type="STANDALONE",
            upstream_id=None,
        )
        there.now_there.world.add(alike)
        older = frozenset((alike.id,))
    operation = ProvisionStandalone(name=f"New {number}", slug=slug, site_id=site_id)
    return Wish(operation=operation, effect="provision", older=older)


def _provision_lua(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    operation = ProvisionLuaDevice(
        name=f"Lua {number}",
        slug=f"lua-{number}",
        runtime_id=_device(chance, there).id,
        blueprint_id="bp-1",
    )
    return Wish(operation=operation, effect="provision")


def _provision_vucm(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    site_id = _site_id(chance, there) if chance.random() < 0.5 else None
    site_id = site_id or there.now_there.world.sites[0].id
    operation = ProvisionVucm(name=f"V {number}", hardware_id=f"V{number:03}", site_id=site_id)
    return Wish(operation=operation, effect="provision")


def _provision_ucm(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    operation = ProvisionUcm(
        name=f"U {number}",
        hardware_id=f"U{number:03}",
        protocol="MQTTS",
        site_id=_site_id(chance, there),
    )
    return Wish(operation=operation, effect="generate_config")


def _execute(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    device = _device(chance, there)
    behaviour = chance.choice(BEHAVIOURS)
    there.now_there.noun(Commands).behave("set_interval", behaviour, device_id=device.id)
    operation = CreateExecution(
        **_through(chance, device), name="set_interval", arguments={"seconds": 1 + number}
    )
    return Wish(operation=operation, effect="create_execution")


def _create_rule(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    operation = CreateRule(slug=f"rule-{number}", script="x = 1", site_id=_site_id(chance, there))
    return Wish(operation=operation, effect="rule.create")


def _rule(chance: Random, there: EmulatedWorld, number: int) -> tuple[str, str]:
    site_id = _site_id(chance, there)
    there.now_there.noun(Rules).add(site_id, f"old-{number}", "x = 1")
    return site_id, f"old-{number}"


def _code(at: Moment, site_id: str, slug: str) -> str | None:
    try:
        return at.noun(Rules).code(site_id, slug)
    except StopIteration:
        return None


def _update_script(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    site_id, slug = _rule(chance, there, number)
    return Wish(
        operation=UpdateRuleScript(rule_id=slug, site_id=site_id, script="x = 2"),
        effect="rule.update_script",
        wanted=lambda at: _code(at, site_id, slug) == "x = 2",
    )


def _delete_rule(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    site_id, slug = _rule(chance, there, number)
    return Wish(
        operation=DeleteRule(rule_id=slug, site_id=site_id),
        effect="rule.delete",
        wanted=lambda at: _code(at, site_id, slug) is None,
    )


def _rename_at_site(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    device = _device(chance, there)
    name = f"Renamed {number}"
    return Wish(
        operation=UpdateDevice(device_id=device.id, site_id=device.site_id, name=name),
        effect="update",
        wanted=lambda at: device.id in at.world and at.world.device(device.id).name == name,
    )


def _assign_at_site(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    device = _device(chance, there)
    blueprint = f"bp-{number}"
    return Wish(
        operation=AssignBlueprint(
            device_id=device.id, site_id=device.site_id, blueprint_id=blueprint
        ),
        effect="assign_blueprint",
        wanted=lambda at: at.world.device(device.id).blueprint_id == blueprint,
    )


def _delete_at_another_site(chance: Random, there: EmulatedWorld, number: int) -> Wish:
    """The path answers 404, and the device exists; the site may exist, or not."""
    device = _device(chance, there)
    site_id = "nowhere" if chance.random() < 0.5 else _site(there, f"site-{number}")
    there_too = site_id != "nowhere"
    return Wish(
        operation=DeleteDevice(device_id=device.id, site_id=site_id),
        effect="delete",
        # A list of the site proves that the device is not there; without a site, nothing does.
        wanted=lambda at: there_too and at.world.device(device.id).site_id != site_id,
    )


WISHES: Final[tuple[Draw, ...]] = (
    _update_configuration,
    _reset_configuration,
    _create_site,
    _update_site,
    _delete_site,
    _provision,
    _provision_lua,
    _provision_vucm,
    _provision_ucm,
    _execute,
    _create_rule,
    _update_script,
    _delete_rule,
    _rename_at_site,
    _assign_at_site,
    _delete_at_another_site,
)


def draw_wishes(chance: Random, there: EmulatedWorld, count: int) -> list[Wish]:
    """Draw operations, and prepare the emulator for them."""
    drawn = [chance.choice(WISHES)(chance, there, number) for number in range(count)]
    there.begin()
    return list({wish.asked: wish for wish in drawn}.values())
