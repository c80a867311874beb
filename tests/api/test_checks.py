"""`check=True`: an operation is checked against the device's manifest before it is sent."""

import pytest

from enapter_async.client import Client
from enapter_async.emulator import Emulator, World
from enapter_async.errors import ArgumentError


@pytest.fixture
def world() -> World:
    return World.seeded(8, 1, role="OWNER")


async def test_a_check_refuses_before_anything_is_sent(emulator: Emulator) -> None:
    device = next(each.id for each in emulator.world if each.type == "LUA")
    async with Client(emulator.token, base_url=emulator.base_url) as client:
        command, settings = client.commands, client.configuration
        text = {"seconds": "9"}
        for call, why in (
            (command.execute(device, "fly", check=True), "no command 'fly'"),
            (command.create(device, "set_interval", check=True), "needs the argument 'seconds'"),
            (
                command.execute_blocking(device, "set_interval", text, check=True),
                "seconds must be of type integer, not string",
            ),
            (
                settings.update(device, "network", set={"port": "x"}, check=True),
                "port must be of type integer, not string",
            ),
            (
                settings.update(device, "network", set={"token": "x"}, check=True),
                "token is sensitive",
            ),
            (settings.reset_all(device, "radio", check=True), "no configuration group 'radio'"),
        ):
            with pytest.raises(ArgumentError, match=why):
                await call
        assert emulator.world.count() == 0
        assert {each.method for each in emulator.world.log.arrivals()} == {"GET"}
        done = await settings.update(device, "network", set={"port": 8502}, check=True)
        assert dict(done) == {"port": 8502}
        assert dict(await settings.reset_all(device, "network", check=True)) == {"port": 502}
