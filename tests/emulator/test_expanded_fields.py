"""A field that was not requested, and one that was requested and is empty, over a socket."""

import pytest

from enapter_async.client import Client
from enapter_async.emulator import Emulator
from enapter_async.models.devices import Connectivity
from enapter_async.operations.device_arguments import EXPANDABLE
from tests.emulator.fleets import METER, small_world

EMPTY_OF_METER = {
    "connectivity": Connectivity(),
    "manifest": {},
    "properties": {},
    "raised_alert_names": (),
}


@pytest.mark.parametrize("field", EXPANDABLE)
async def test_fields_not_requested_are_none_and_empty_ones_are_not(field: str) -> None:
    async with (
        Emulator(world=small_world()) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
    ):
        without = await client.devices.get(METER)
        having = await client.devices.get(METER, expand=[field])
        (listed,) = [
            device async for device in client.devices.list(expand=[field]) if device.id == METER
        ]
    assert getattr(without, field) is None
    found = getattr(having, field)
    assert found is not None
    assert found == EMPTY_OF_METER.get(field, found)
    assert listed == having != without
