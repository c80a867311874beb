"""Streams of devices, telemetry and rules, over real sockets."""

import asyncio
from typing import Any

import pytest

from enapter_async.client import Client
from enapter_async.emulator import Emulator
from enapter_async.emulator.rules import Rules
from enapter_async.errors import ArgumentError, ConfigurationError, NotFoundError
from enapter_async.models.logs import DeviceEvent, Gap, LogRecord, LogSeverity
from tests.emulator.fleets import BARN, METER, PUMP, USED


async def next_of(stream: Any, emulator: Emulator, count: int = 1) -> "asyncio.Future[Any]":
    following: asyncio.Future[Any] = asyncio.ensure_future(anext(stream))
    async with asyncio.timeout(60):
        await emulator.streams.opened(count)
    return following


async def test_several_devices_are_watched_at_once(emulator: Emulator, client: Client) -> None:
    stream = client.devices.watch([PUMP, METER], site_id=BARN)
    following = await next_of(stream, emulator)
    streams = emulator.streams
    streams.telemetry(USED, {"rpm": 1})
    streams.telemetry(PUMP, {"rpm": 900})
    event = await following
    assert isinstance(event, DeviceEvent)
    assert (event.device_id, event.telemetry, event.log) == (PUMP, {"rpm": 900}, None)
    assert event.received_at is not None
    streams.properties(METER, {"fw_ver": "1.2.0"})
    event = await anext(stream)
    assert isinstance(event, DeviceEvent)
    assert (event.device_id, event.properties) == (METER, {"fw_ver": "1.2.0"})
    streams.log(PUMP, "hot", severity="error")
    event = await anext(stream)
    assert isinstance(event, DeviceEvent)
    assert event.log == LogRecord(message="hot", severity=LogSeverity.ERROR)
    assert emulator.world.log.arrivals()[-1].path == f"/v3/sites/{BARN}/devices/"
    following = asyncio.ensure_future(anext(stream))
    streams.drop()
    gap = await following
    assert isinstance(gap, Gap)
    assert (gap.fillable, gap.since) == (False, event.received_at)
    await stream.aclose()


async def test_telemetry_is_passed_on_unchanged(emulator: Emulator, client: Client) -> None:
    stream = client.telemetry.stream(PUMP)
    following = await next_of(stream, emulator)
    emulator.streams.telemetry(PUMP, {"rpm": 900, "tags": ["a"]})
    frame = await following
    assert (frame["rpm"], frame["tags"]) == (900, ["a"])
    await stream.aclose()


async def test_a_rule_is_followed(emulator: Emulator, client: Client) -> None:
    rule = emulator.noun(Rules).add(BARN, "night")
    stream = client.rules.logs("night", site_id=BARN)
    following = await next_of(stream, emulator)
    emulator.streams.rule_log(rule, "rule ran")
    log = await following
    assert isinstance(log, LogRecord)
    assert (log.message, log.severity, log.received_at) == ("rule ran", LogSeverity.INFO, None)
    await stream.aclose()
    with pytest.raises(NotFoundError):
        await anext(client.rules.logs("day", site_id=BARN))


async def test_wrong_arguments_are_refused_before_any_io(
    emulator: Emulator, client: Client
) -> None:
    for stream in (
        client.devices.watch([]),
        client.devices.watch("dev-1"),
        client.devices.watch([f"d{number}" for number in range(101)]),
        client.logs.stream(PUMP, severity="fatal"),
    ):
        with pytest.raises(ArgumentError):
            await anext(stream)
    with pytest.raises(ConfigurationError, match="buffer is 0; it must be a number of at least 1"):
        await anext(client.logs.stream(PUMP, buffer=0))
    assert emulator.world.log.count_arrivals() == 0
