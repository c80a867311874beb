"""Routes that are the same for all devices, whatever their ids are."""

from typing import ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.operation import Answer, Operation, Repeat, RequestParts
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)
from enapter_async.routes import ids_of, route_of
from tests.support.rig import ALL

# The addresses on the API page, verbatim.
ROUTES = [
    (GetDevice(device_id="dev-1"), "GET /v3/devices/{device_id}"),
    (ListDevices(), "GET /v3/devices"),
    (ListDevices(site_id="site-1"), "GET /v3/sites/{site_id}/devices"),
    (UpdateDevice(device_id="dev-1", name="Boiler"), "PATCH /v3/devices/{device_id}"),
    (DeleteDevice(device_id="dev-1"), "DELETE /v3/devices/{device_id}"),
    (
        GenerateConfig(device_id="dev-1", protocol="MQTTS"),
        "POST /v3/devices/{device_id}/generate_config",
    ),
    (
        CreateExecution(device_id="dev-1", name="reboot"),
        "POST /v3/devices/{device_id}/command_executions",
    ),
    (
        AssignBlueprint(device_id="dev-1", blueprint_id="bp-2"),
        "POST /v3/devices/{device_id}/assign_blueprint",
    ),
]


@pytest.mark.parametrize(("operation", "name"), ROUTES, ids=lambda value: str(value)[:20])
def test_the_route_of_each_operation(operation: Operation[object], name: str) -> None:
    assert route_of(operation).name == name


def test_every_operation_is_in_the_table() -> None:
    assert {type(each) for each in ALL.values()} == {type(each) for each, _ in ROUTES}


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", fullmatch=True))
def test_no_id_is_in_a_route(device_id: str) -> None:
    assert route_of(GetDevice(device_id=device_id)).name == "GET /v3/devices/{device_id}"


def test_an_id_that_equals_a_part_of_the_path_does_no_harm() -> None:
    operation = AssignBlueprint(device_id="devices", blueprint_id="assign_blueprint")
    assert route_of(operation).name == "POST /v3/devices/{device_id}/assign_blueprint"


@attrs.frozen(kw_only=True)
class Command(Operation[None]):
    """A user's own operation, with one field that accepts only a few words."""

    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[None]] = Answer(type=None)

    unit_id: str
    verb: str = attrs.field(validator=attrs.validators.in_(["start", "stop"]))

    def request(self) -> RequestParts:
        return RequestParts(method="POST", path=("units", self.unit_id, self.verb))


def test_a_custom_operation_has_a_route_too() -> None:
    operation = Command(unit_id="start", verb="start")
    assert route_of(operation).name == "POST /v3/units/{unit_id}/start"
    assert ids_of(operation) == {"unit_id": "start"}


def test_an_operation_without_attrs_has_no_ids() -> None:
    class Plain(Operation[None]):
        repeat: ClassVar[Repeat] = Repeat.READ
        answer: ClassVar[Answer[None]] = Answer(type=None)

        def request(self) -> RequestParts:
            return RequestParts(method="GET", path=("health",))

    assert ids_of(Plain()) == {}
    assert route_of(Plain()).name == "GET /v3/health"
