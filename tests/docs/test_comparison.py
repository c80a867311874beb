"""The README's statements about the official SDK are true: each is tested against the emulator."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from enapter.http import api

from enapter_async import Client, ConfigurationError, RetryPolicy, ServerError
from enapter_async.emulator import Emulator, Reply, ServerFailure, TooManyRequests, World
from enapter_async.emulator.faults import Target
from tests.docs.fleets import FLEET


@pytest.fixture
def world() -> World:
    return World.from_json(FLEET)


@pytest_asyncio.fixture
async def official(emulator: Emulator) -> AsyncIterator[api.Client]:
    config = api.Config(base_url=emulator.base_url, token=emulator.token)
    async with api.Client(config) as client:
        yield client


@pytest_asyncio.fixture
async def ours(emulator: Emulator) -> AsyncIterator[Client]:
    policy = RetryPolicy(attempts=2, base_delay=0.001)
    async with Client(emulator.token, base_url=emulator.base_url, retry=policy) as client:
        yield client


async def test_a_rename_sends_a_null_slug_along_and_ours_does_not(
    emulator: Emulator, official: api.Client, ours: Client
) -> None:
    sent: list[dict[str, Any]] = []

    def note(target: Target) -> bool:
        sent.append(json.loads(target.body))
        return False

    emulator.faults.add(Reply(), method="PATCH", when=note, times=None)
    await official.devices.update("dev-1", name="N")
    await ours.devices.update("dev-1", name="N")
    assert sent == [{"name": "N", "slug": None}, {"name": "N"}]


async def test_it_does_not_retry(emulator: Emulator, official: api.Client) -> None:
    emulator.faults.add(TooManyRequests(retry_after=0), times=None)
    with pytest.raises(api.Error) as refused:
        await official.devices.get("dev-1")
    assert emulator.world.log.count_arrivals() == 1
    assert not hasattr(refused.value, "status")


async def test_a_proxy_s_page_is_an_error_of_httpx_and_ours_has_a_class(
    emulator: Emulator, official: api.Client, ours: Client
) -> None:
    emulator.faults.add(ServerFailure(status=502), times=None)
    with pytest.raises(httpx.HTTPStatusError):
        await official.devices.get("dev-1")
    with pytest.raises(ServerError) as told:
        await ours.devices.get("dev-1")
    assert told.value.status == 502


async def test_a_new_device_type_fails_its_page_and_is_kept_by_ours(
    emulator: Emulator, official: api.Client, ours: Client
) -> None:
    page = {"devices": [{**FLEET[0], "type": "TOMORROW", "updated_at": "2026-01-01T00:00:00Z"}]}
    answer = Reply(body=json.dumps(page).encode(), content_type="application/json")
    emulator.faults.add(answer, path="/v3/devices", times=2)
    async with official.devices.list(limit=1) as devices:
        with pytest.raises(ValueError, match="TOMORROW"):
            await anext(devices)
    assert "TOMORROW" in [device.type async for device in ours.devices.list()]


async def test_an_id_escapes_its_segment_and_ours_is_refused(
    emulator: Emulator, official: api.Client, ours: Client
) -> None:
    met: list[str] = []

    def note(target: Target) -> bool:
        met.append(target.path)
        return False

    emulator.faults.add(Reply(), method="DELETE", when=note, times=None)
    with pytest.raises(api.Error):
        await official.devices.delete("../sites/s1")
    with pytest.raises(ConfigurationError):
        await ours.devices.delete("../sites/s1")
    assert met == ["/v3/sites/s1"]
