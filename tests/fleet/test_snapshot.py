"""Overlapping pages: whatever is created or deleted meanwhile, no remaining device is missed."""

import random

import pytest

from enapter_async.client import Client
from enapter_async.emulator.faults import Faults, Reply
from enapter_async.emulator.server import Emulator
from enapter_async.emulator.world import World
from enapter_async.fleet.errors import UnsteadyFleetError
from enapter_async.fleet.planning.paging import read_pages
from enapter_async.operations.device_noun import DEVICE
from tests.fleet.fleets import device, fleet_of, running, uuid

PAGE = 50


async def ids_of(client: Client, **arguments: str) -> list[str]:
    return [each.id async for page in read_pages(client, DEVICE, **arguments) for each in page]


@pytest.mark.parametrize("number", [0, 1, 2, 49, 50, 51, 99, 100, 148, 149, 230])
async def test_every_device_is_read_once_and_in_order(number: int) -> None:
    async with running(fleet_of(number)) as (_, client):
        assert await ids_of(client) == [uuid(each) for each in range(number)]


async def test_each_page_begins_at_the_last_device_of_the_one_before() -> None:
    async with running(fleet_of(120)) as (emulator, client):
        await ids_of(client)
        # 50 devices, then 49 new ones per page: 50 + 49 + 21, and one page that shows the end.
        assert emulator.world.log.count_arrivals("GET") == 4


async def test_one_site_is_read_alone_and_expanded() -> None:
    devices = [device(each, site_id=f"site-{each % 2}") for each in range(10)]
    async with running(devices) as (_, client):
        pages = [
            page
            async for page in read_pages(client, DEVICE, site_id="site-1", expand=["communication"])
        ]
    assert [each.id for each in pages[0]] == [uuid(each) for each in range(1, 10, 2)]
    assert pages[0][0].communication is not None


async def test_deleting_devices_already_read_hides_nothing() -> None:
    async with running(fleet_of(200)) as (emulator, client):
        found = []
        async for page in read_pages(client, DEVICE):
            found += [each.id for each in page]
            if len(found) == PAGE:
                # Without a step back, the next page would begin 31 devices too far on.
                for number in range(30):
                    emulator.world.remove(uuid(number))
    assert found == [uuid(each) for each in range(200)]


async def test_the_deletion_of_the_overlap_itself_hides_nothing() -> None:
    async with running(fleet_of(120)) as (emulator, client):
        found = []
        async for page in read_pages(client, DEVICE):
            found += [each.id for each in page]
            if len(found) == PAGE:
                emulator.world.remove(uuid(PAGE - 1))
    assert found == [uuid(each) for each in range(120)]


async def test_devices_created_before_the_position_hide_nothing() -> None:
    devices = [device(each) for each in range(1000, 1200)]
    async with running(devices) as (emulator, client):
        found: list[str] = []
        async for page in read_pages(client, DEVICE):
            found += [each.id for each in page]
            if len(found) == 2 * PAGE - 1:
                for number in range(70):
                    emulator.world.add(device(number))
    assert set(found) >= {each.id for each in devices}
    assert len(found) == len(set(found))


async def test_deleting_the_end_of_the_list_is_harmless() -> None:
    async with running(fleet_of(60)) as (emulator, client):
        found: list[str] = []
        async for page in read_pages(client, DEVICE):
            found += [each.id for each in page]
            for number in range(40, 60):
                if uuid(number) in emulator.world:
                    emulator.world.remove(uuid(number))
    assert found[:40] == [uuid(each) for each in range(40)]


async def test_a_fleet_that_changes_faster_than_it_is_read_is_an_error_after_five_steps() -> None:
    async with running(fleet_of(600)) as (emulator, client):

        async def read_on() -> None:
            count = 0
            async for page in read_pages(client, DEVICE):
                count += len(page)
                if count > 540:
                    # More devices are gone than five steps of 49 can recover.
                    for number in range(500):
                        emulator.world.remove(uuid(number))
                    for number in range(1000, 1400):
                        emulator.world.add(device(number))

        with pytest.raises(UnsteadyFleetError):
            await read_on()
        before = emulator.world.log.count_arrivals("GET")
    assert before <= 12 + 1 + 5


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_moves_the_remaining_devices_are_found(seed: int) -> None:
    chance = random.Random(seed)
    numbers = list(range(0, 2000, 4))
    async with running([device(each) for each in numbers]) as (emulator, client):
        staying = {uuid(each) for each in numbers}
        found: list[str] = []
        async for page in read_pages(client, DEVICE):
            found += [each.id for each in page]
            for _ in range(chance.randrange(12)):
                victim = uuid(chance.choice(numbers))
                if victim in emulator.world:
                    emulator.world.remove(victim)
                    staying.discard(victim)
                newcomer = chance.randrange(2000) // 4 * 4 + chance.randrange(1, 4)
                if uuid(newcomer) not in emulator.world:
                    emulator.world.add(device(newcomer))
    assert staying <= set(found)


async def test_a_server_without_paging_is_read_once_and_does_not_block() -> None:
    body = b'{"devices": [{"id": "a"}, {"id": "b"}]}'
    faults = Faults()
    async with (
        Emulator(world=World(), faults=faults) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
    ):
        faults.add(Reply(body=body, content_type="application/json"), times=10)
        assert await ids_of(client) == ["a", "b"]
