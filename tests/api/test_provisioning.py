"""`client.provisioning` against the emulator, whose log tells which devices were created."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from enapter_async._http.call import CallRecord
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, Provisioning, Reply, World
from enapter_async.emulator.faults import Target
from enapter_async.errors import (
    AmbiguousOutcomeError,
    ArgumentError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    ResultDiffersError,
    ResultLostError,
)
from enapter_async.limits.pacing import Pacing
from enapter_async.models.configs import MQTTSCredentials
from enapter_async.operations.provisioning import ProvisionStandalone
from tests.emulator.fleets import BARN, HARBOUR, PUMP, UCM, small_world


@pytest.fixture
def world() -> World:
    return small_world(now=time.time)


@pytest.fixture
def policy() -> RetryPolicy:
    return RetryPolicy(attempts=2, base_delay=0.01)


async def test_each_kind_of_device_is_created_as_requested(
    emulator: Emulator, client: Client
) -> None:
    made = await client.provisioning.standalone("Pump 9", site_id=HARBOUR, slug="pump-9")
    device = await client.devices.get(made.device_id)
    assert (device.name, device.slug, device.site_id) == ("Pump 9", "pump-9", HARBOUR)
    assert (device.type, made.slug) == ("STANDALONE", "pump-9")
    lua = await client.provisioning.lua_device(
        "Meter 9", runtime_id=UCM, blueprint_id="bp-9", slug="meter-9"
    )
    device = await client.devices.get(lua.device_id, expand=["communication"])
    assert (device.type, device.blueprint_id) == ("LUA", "bp-9")
    assert device.communication is not None
    assert device.communication.upstream_id == UCM
    virtual = await client.provisioning.vucm("V", hardware_id="V00", site_id=BARN)
    again = await client.provisioning.vucm("V", hardware_id="V00", site_id=BARN)
    assert virtual == again, "the same hardware is the same device"
    ucm = await client.provisioning.ucm("U", hardware_id="A00", protocol="mqtts", site_id=BARN)
    assert ucm.config is not None
    assert isinstance(ucm.config.mqtt_credentials, MQTTSCredentials)
    assert ucm.config.hardware_id == "A00"
    assert ucm.config.mqtt_credentials.private_key not in repr(ucm)
    assert [each.set["kind"] for each in emulator.world.log.effects(operation="provision")] == [
        "standalone",
        "lua_device",
        "vucm",
        "ucm",
    ]


async def test_a_search_before_a_call_does_not_wait_for_the_permit_of_that_call(
    emulator: Emulator,
) -> None:
    settings = Pacing(max_in_flight=1)
    new = ProvisionStandalone(name="Pump 9", site_id=HARBOUR, slug="pump-9")
    async with Client(emulator.token, base_url=emulator.base_url, pacing=settings) as client:
        record = CallRecord(permit=client.limiter.try_acquire())
        assert record.permit is not None
        async with asyncio.timeout(60):
            made = await client.call(new, record=record)
    assert made.slug == "pump-9"


async def test_a_taken_slug_is_refused_or_shows_in_the_answer(
    emulator: Emulator, client: Client
) -> None:
    with pytest.raises(ConflictError):
        await client.provisioning.standalone("Pump", site_id=BARN, slug="pump")
    emulator.noun(Provisioning).slug_policy = "suffix"
    with pytest.raises(ResultDiffersError, match="slug is 'pump-2', but 'pump' was requested"):
        await client.provisioning.standalone("Pump", site_id=BARN, slug="pump")
    emulator.faults.add(Drop(after_effect=True), method="POST")
    with pytest.raises(AmbiguousOutcomeError, match="unknown whether an object"):
        await client.provisioning.standalone("Pump", site_id=BARN, slug="pump")
    assert emulator.world.count("provision") == 2


async def test_a_lost_answer_is_settled_where_there_is_a_key(
    emulator: Emulator, client: Client
) -> None:
    emulator.faults.add(Drop(after_effect=True), method="POST", times=4)
    made = await client.provisioning.standalone("Pump 9", site_id=BARN, slug="pump-9")
    assert emulator.world.device("pump-9").id == made.device_id
    lua = await client.provisioning.lua_device(
        "Meter 9", runtime_id=UCM, blueprint_id="bp-9", slug="meter-9"
    )
    assert emulator.world.device("meter-9").id == lua.device_id
    with pytest.raises(AmbiguousOutcomeError, match="a search found 1") as lost:
        await client.provisioning.vucm("V", hardware_id="V00", site_id=BARN)
    assert lost.value.candidates[0].communication.hardware_id == "V00"
    with pytest.raises(AmbiguousOutcomeError, match="a search found 1") as unknown:
        await client.provisioning.ucm("U", hardware_id="A00", protocol="MQTT", site_id=BARN)
    assert unknown.value.subject == "A00"
    assert unknown.value.candidates[0].communication.hardware_id == "A00"
    assert emulator.world.count("provision") == 4


async def test_a_device_that_somebody_else_created_meanwhile_is_not_taken(
    emulator: Emulator, client: Client
) -> None:
    def taken(target: Target) -> bool:
        if target.method == "POST" and "pump-9" not in emulator.world:
            emulator.world.change(PUMP, slug="pump-9", updated_at=datetime.now(UTC))
        return target.method == "POST"

    emulator.faults.add(Drop(), when=taken, times=2)
    with pytest.raises(AmbiguousOutcomeError) as unknown:
        await client.provisioning.standalone("Pump 9", slug="pump-9", site_id=BARN)
    assert unknown.value.subject == "pump-9"
    assert emulator.world.count("provision") == 0


async def test_credentials_in_an_answer_that_cannot_be_read_are_kept_in_the_error(
    emulator: Emulator, client: Client
) -> None:
    body = b'{"device_id": "d1", "config": {"mqtt_host": 5, "password": "SECRET"}}'
    emulator.faults.add(Reply(body=body, content_type="application/json"), method="POST")
    with pytest.raises(ResultLostError) as lost:
        await client.provisioning.ucm("U", hardware_id="A00", protocol="MQTT", site_id=BARN)
    assert lost.value.answer is not None
    assert lost.value.answer.reveal() == body
    assert "SECRET" not in f"{lost.value!r} {lost.value}"
    emulator.faults.add(
        Reply(body=b'{"device_id": "d1"}', content_type="application/json"), method="POST"
    )
    with pytest.raises(ResultDiffersError, match="has no configuration; generate one"):
        await client.provisioning.ucm("U", hardware_id="A00", protocol="MQTT", site_id=BARN)


async def test_refusals_and_wrong_arguments(emulator: Emulator, client: Client) -> None:
    with pytest.raises(BadRequestError, match="must not be empty"):
        await client.provisioning.standalone("Pump 9", slug="pump-9")
    with pytest.raises(NotFoundError):
        await client.provisioning.lua_device("M", runtime_id="none", blueprint_id="bp-1")
    arrived = emulator.world.log.count_arrivals()
    for wrong in (
        {"name": ""},
        {"name": "P", "slug": "a/b"},
        {"name": "P", "slug": ""},
        {"name": "P", "site_id": ".."},
    ):
        with pytest.raises(ArgumentError):
            await client.provisioning.standalone(**wrong)
    with pytest.raises(ArgumentError):
        await client.provisioning.ucm("U", hardware_id="A00", protocol="HTTP")
    assert emulator.world.log.count_arrivals() == arrived
