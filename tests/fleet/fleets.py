"""Small fleets for tests of plans, and an emulator with a client on each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from enapter_async.client import Client
from enapter_async.emulator.server import Emulator
from enapter_async.emulator.state import Device
from enapter_async.emulator.world import World

NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)


def uuid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def device(number: int, **fields: Any) -> Device:
    """Return a device named "Device 7" with the slug "device-7", on the site "site-0"."""
    given = {
        "id": uuid(number),
        "name": f"Device {number}",
        "slug": f"device-{number}",
        "site_id": "site-0",
        "blueprint_id": "bp-1",
        "updated_at": NEW_YEAR,
        "communication_type": "MQTT_V1_TLS",
        **fields,
    }
    return Device(**given)


def fleet_of(number: int) -> list[Device]:
    return [device(each) for each in range(number)]


@asynccontextmanager
async def running(devices: list[Device], **options: Any) -> AsyncIterator[tuple[Emulator, Client]]:
    """Run an emulator over a fleet, with `options` for its world, and open a client on it."""
    async with (
        Emulator(world=World(devices, **options)) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
    ):
        yield emulator, client
