"""A good answer with a value other than requested: reported once, and never sent again."""

import json
from typing import Any

import pytest

from enapter_async.errors import ResultDiffersError
from enapter_async.models.configs import CommunicationConfig
from enapter_async.models.devices import Device
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.support.replies import answer, close
from tests.support.rig import TransportKind, open_rig
from tests.support.server import FaultServer, applied
from tests.support.world import World

SECRET = "PASSWORD-SECRET-1"


def told(**fields: Any) -> bytes:
    return json.dumps({"device": {"id": "dev-1", **fields}}).encode()


@pytest.mark.parametrize(
    ("operation", "shown", "words"),
    [
        (
            UpdateDevice(device_id="dev-1", name=" Boiler "),
            {"name": "Boiler"},
            "name is 'Boiler', but ' Boiler ' was requested",
        ),
        (
            UpdateDevice(device_id="dev-1", name="Boiler", slug="Boiler-1"),
            {"name": "Boiler", "slug": "boiler-1"},
            "slug is 'boiler-1', but 'Boiler-1' was requested",
        ),
    ],
)
async def test_a_value_altered_by_the_server_differs(
    transport: TransportKind,
    server: FaultServer,
    operation: UpdateDevice,
    shown: dict[str, Any],
    words: str,
) -> None:
    server.script(applied(answer(200, told(**shown))))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
    assert isinstance(error, ResultDiffersError)
    assert str(error) == f"UpdateDevice of dev-1 was done, but with a different result: {words}"
    assert error.result == Device(id="dev-1", **shown)
    assert (error.noun, error.subject, error.attempts) == ("device", "dev-1", ())
    assert server.seen == ["PATCH"], "it is never sent again"


async def test_credentials_of_another_protocol_are_in_the_error(
    transport: TransportKind, server: FaultServer
) -> None:
    minted = World(["dev-1"]).serve(1, "POST", "/v3/devices/dev-1/generate_config", b"{}").body
    server.script(applied(answer(200, minted)))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(GenerateConfig(device_id="dev-1", protocol="MQTTS"))
        assert all(SECRET not in repr(event) for event in rig.events)
    assert isinstance(error, ResultDiffersError)
    assert "it is for MQTT, but MQTTS was requested" in str(error)
    assert isinstance(error.result, CommunicationConfig)
    assert getattr(error.result.mqtt_credentials, "password", None) == SECRET
    assert SECRET not in f"{error!r} {error}"


@pytest.mark.parametrize("name", [None, ""])
async def test_a_field_left_alone_is_not_a_difference(
    transport: TransportKind, server: FaultServer, name: str | None
) -> None:
    async with open_rig(transport, server) as rig:
        device = await rig.run(UpdateDevice(device_id="dev-1", name=name, slug="boiler"))
        server.script(applied(close()))
        server.script(applied(answer(500, None)), method="PATCH")
        again = await rig.run(UpdateDevice(device_id="dev-1", name=name, slug="pump"))
    assert (device.name, device.slug) == ("Name of dev-1", "boiler")
    assert (again.name, again.slug) == ("Name of dev-1", "pump"), "settled by what it sets"
