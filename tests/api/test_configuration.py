"""`client.configuration` and the typed manifest, against the emulator."""

import pytest

from enapter_async.client import Client
from enapter_async.emulator import Emulator
from enapter_async.errors import APIError, NotFoundError
from tests.emulator.fleets import PUMP, small_world

NETWORK = {
    "parameters": {
        "port": {"type": "integer", "default": 502, "required": True},
        "token": {"type": "string", "sensitive": True},
    },
}


async def test_values_are_read_set_and_reset_as_the_manifest_declares() -> None:
    world = small_world()
    world.change(PUMP, manifest={"configuration": {"network": NETWORK}}, authorized_role="OWNER")
    async with (
        Emulator(world=world) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
    ):
        parameters = (await client.devices.manifest(PUMP)).configuration["network"].parameters
        assert {name: each.sensitive for name, each in parameters.items()} == {
            "port": False,
            "token": True,
        }
        assert parameters["port"].default == 502
        configuration = client.configuration
        assert dict(await configuration.get(PUMP, "network")) == {"port": 502}
        changed = await configuration.update(
            PUMP, "network", set={"port": 8502}, secrets={"token": "S3CRET"}
        )
        assert dict(changed) == {"port": 8502, "token": "S3CRET"}
        assert "S3CRET" not in repr(changed)
        assert dict(await configuration.update(PUMP, "network", reset=["port"])) == {
            "port": 502,
            "token": "S3CRET",
        }
        assert dict(await configuration.reset_all(PUMP, "network")) == {"port": 502}
        with pytest.raises(APIError):
            await configuration.update(PUMP, "network", set={"port": "not a number"})
        with pytest.raises(NotFoundError):
            await configuration.get(PUMP, "weather")
        operations = [each.operation for each in world.log.effects(PUMP)]
    assert operations == ["configuration.update"] * 2 + ["configuration.reset"]
