"""The emulator's configuration groups: types, defaults, required values, roles and switches."""

from typing import Any

import pytest

from enapter_async.emulator.configuration import Configuration
from enapter_async.emulator.routes import Routes
from enapter_async.emulator.world import World
from tests.emulator.fleets import BARN, PUMP, small_world
from tests.emulator.test_routes import ask, code_of

PATH = f"/v3/devices/{PUMP}/configuration/network"
GROUP = {
    "access_level": "owner",
    "parameters": {
        "port": {"type": "integer", "default": 502, "required": True},
        "host": {"type": "string", "required": True},
        "token": {"type": "string", "sensitive": True},
    },
}


@pytest.fixture
def world() -> World:
    world = small_world()
    world.change(PUMP, manifest={"configuration": {"network": GROUP}}, raised_alert_names=())
    return world


def world_of(routes: Routes) -> World:
    return routes.noun(Configuration).world


def test_values_are_set_and_reset_and_defaults_shown(routes: Routes) -> None:
    assert ask("GET", PATH, routes=routes) == (200, {"configuration": {"port": 502}})
    asked = {"set": {"port": 8502, "token": "S3CRET"}, "reset": []}
    changed = {"port": 8502, "token": "S3CRET"}
    assert ask("PATCH", PATH, asked, routes=routes) == (200, {"configuration": changed})
    assert world_of(routes).device(PUMP).raised_alert_names == ("not_configured",)
    twin = f"/v3/sites/{BARN}/devices/{PUMP}/configuration/network"
    query = (("param_names", "port,host"),)
    assert ask("GET", twin, query=query, routes=routes)[1] == {"configuration": {"port": 8502}}
    asked = {"set": {"host": "h"}, "reset": ["port"]}
    _, shown = ask("PATCH", PATH, asked, routes=routes)
    assert shown == {"configuration": {"port": 502, "host": "h", "token": "S3CRET"}}
    assert world_of(routes).device(PUMP).raised_alert_names == ()
    assert ask("POST", f"{PATH}/reset_all", routes=routes)[1] == {"configuration": {"port": 502}}
    effects = world_of(routes).log.effects(PUMP)
    assert [each.operation for each in effects] == [
        "configuration.update",
        "configuration.update",
        "configuration.reset",
    ]
    assert effects[0].set["set"] == {"port": 8502, "token": "***"}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (PATH, {"set": {"port": "8502"}}, (422, "unprocessable_entity")),
        (PATH, {"set": {"port": True}}, (422, "unprocessable_entity")),
        (PATH, {"set": {"pot": 1}}, (422, "unprocessable_entity")),
        (PATH, {"reset": ["host"]}, (422, "unprocessable_entity")),
        (PATH, {"set": []}, (200, "")),
        (PATH, {"set": [1]}, (400, "invalid_parameter")),
        (f"/v3/devices/{PUMP}/configuration/other", {}, (404, "not_found")),
        ("/v3/devices/none/configuration/network", {}, (404, "not_found")),
    ],
)
def test_what_the_manifest_does_not_allow_is_refused(
    routes: Routes, path: str, body: Any, code: tuple[int, str]
) -> None:
    answer = ask("PATCH", path, body, routes=routes)
    assert (answer[0] if answer[0] == 200 else code_of(answer)) == (code if code[1] else 200)
    assert len(world_of(routes).log.effects()) == (code[0] == 200)


def test_roles_masks_and_devices_that_are_offline(routes: Routes) -> None:
    assert code_of(ask("GET", PATH, token="reader", routes=routes)) == (403, "permission_denied")
    switches = routes.noun(Configuration)
    ask("PATCH", PATH, {"set": {"token": "S3CRET"}}, routes=routes)
    switches.mask_sensitive = True
    assert ask("GET", PATH, routes=routes)[1]["configuration"]["token"] == "***"
    switches.refuse_offline = True
    assert ask("GET", PATH, routes=routes)[0] == 200
    world_of(routes).change(PUMP, connectivity="OFFLINE")
    assert code_of(ask("GET", PATH, routes=routes)) == (409, "device_offline")
