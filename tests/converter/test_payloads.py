"""Complete bodies, as old and new servers were seen to write them, with invented values."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from enapter_async.converter import structure
from enapter_async.models.configs import (
    CommunicationConfig,
    MQTTCredentials,
    MQTTProtocol,
    MQTTSCredentials,
    TimeSyncProtocol,
)
from enapter_async.models.devices import (
    AccessRole,
    Communication,
    CommunicationType,
    Connectivity,
    ConnectivityStatus,
    Device,
    DeviceType,
)
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig, GetDevice, ListDevices

SITE = "5f0c1d9e-1a2b-4c3d-8e4f-a1b2c3d4e5f6"
PUMP = "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f88"
METER = "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f89"
RUNTIME = "9a1b2c3d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"
BLUEPRINT = "c0ffee00-1234-4abc-9def-001122334455"
HARDWARE = "S00112233445566778899AABBCCDDEEFF"


def pump(**fields: Any) -> Device:
    known: dict[str, Any] = {
        "id": PUMP,
        "blueprint_id": BLUEPRINT,
        "name": "Boiler pump",
        "site_id": SITE,
        "updated_at": datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
        "slug": "boiler-pump",
        "type": DeviceType.STANDALONE,
        "authorized_role": AccessRole.OWNER,
    }
    return Device(**(known | fields))


def pump_json(updated_at: int | str, **fields: str) -> dict[str, Any]:
    known = {
        "id": PUMP,
        "blueprint_id": BLUEPRINT,
        "name": "Boiler pump",
        "site_id": SITE,
        "updated_at": updated_at,
        "slug": "boiler-pump",
        "type": "STANDALONE",
        "authorized_role": "OWNER",
    }
    return known | fields


GET = GetDevice(device_id=PUMP)
LIST = ListDevices()
MINT = GenerateConfig(device_id=PUMP, protocol="MQTT")

BODIES: list[tuple[str, Operation[Any], str, Any]] = [
    (
        "device, live server",
        GET,
        json.dumps({"device": pump_json("2026-02-03T04:05:06.789012Z")}),
        pump(updated_at=datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)),
    ),
    (
        "device, time as on the API page",
        GET,
        json.dumps({"device": pump_json(1770091506)}),
        pump(),
    ),
    (
        "device, everything expanded",
        GET,
        """{"device": {"id": "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f88",
        "blueprint_id": "c0ffee00-1234-4abc-9def-001122334455", "name": "Boiler pump",
        "site_id": "5f0c1d9e-1a2b-4c3d-8e4f-a1b2c3d4e5f6", "updated_at": "2026-02-03T04:05:06Z",
        "slug": "boiler-pump", "type": "STANDALONE", "authorized_role": "INSTALLER",
        "implemented_profiles": ["energy.pump"],
        "manifest": {"blueprint_spec": "device/3.0", "commands": {"set_speed": {"arguments":
            {"rpm": {"type": "integer", "required": true}}}}},
        "properties": {"vendor": "Acme", "fw_ver": "1.2.0"},
        "connectivity": {"status": "ONLINE"},
        "communication": {"type": "MQTT_V1_TLS",
            "hardware_id": "S00112233445566778899AABBCCDDEEFF", "channel_id": "s"},
        "raised_alert_names": ["overheat"],
        "site": {"id": "5f0c1d9e-1a2b-4c3d-8e4f-a1b2c3d4e5f6", "name": "Barn"}}}""",
        pump(
            authorized_role=AccessRole.INSTALLER,
            implemented_profiles=("energy.pump",),
            manifest={
                "blueprint_spec": "device/3.0",
                "commands": {
                    "set_speed": {"arguments": {"rpm": {"type": "integer", "required": True}}}
                },
            },
            properties={"vendor": "Acme", "fw_ver": "1.2.0"},
            connectivity=Connectivity(status=ConnectivityStatus.ONLINE),
            communication=Communication(
                type=CommunicationType.MQTT_V1_TLS, hardware_id=HARDWARE, channel_id="s"
            ),
            raised_alert_names=("overheat",),
            site={"id": SITE, "name": "Barn"},
        ),
    ),
    (
        "Lua device, connectivity without a status",
        GET,
        """{"device": {"id": "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f89", "type": "LUA",
        "connectivity": {}, "communication": {"type": "UCM_LUA",
        "upstream_id": "9a1b2c3d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"}}}""",
        Device(
            id=METER,
            type=DeviceType.LUA,
            connectivity=Connectivity(status=ConnectivityStatus.UNKNOWN),
            communication=Communication(type=CommunicationType.UCM_LUA, upstream_id=RUNTIME),
        ),
    ),
    (
        "Lua device, old names",
        GET,
        """{"device": {"id": "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f89", "communication_info":
        {"communication_type": "UCM_LUA",
        "upstream_id": "9a1b2c3d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"}}}""",
        Device(
            id=METER,
            communication=Communication(type=CommunicationType.UCM_LUA, upstream_id=RUNTIME),
        ),
    ),
    (
        "page with a device of a type that the API page does not list",
        LIST,
        json.dumps(
            {
                "devices": [
                    pump_json("2026-02-03T04:05:06Z", type="CHILD", authorized_role="READONLY")
                ],
                "total_count": 1,
            }
        ),
        (pump(type=DeviceType.CHILD, authorized_role=AccessRole.READONLY),),
    ),
    ("page past the end", LIST, '{"devices": [], "total_count": 1}', ()),
    ("page past the end, list left out", LIST, '{"total_count": 1}', ()),
    ("page past the end, list null", LIST, '{"devices": null}', ()),
    (
        "configuration for MQTTS",
        MINT,
        """{"config": {"mqtt_host": "mqtt.example.test", "mqtt_port": 8883, "mqtt_credentials":
        {"private_key": "AAAA", "certificate": "BBBB", "ca_chain": "CCCC"},
        "mqtt_protocol": "MQTTS", "time_sync_protocol": "HTTP", "time_sync_host": "127.0.0.1",
        "time_sync_port": 80, "hardware_id": "S00112233445566778899AABBCCDDEEFF",
        "channel_id": "s"}}""",
        CommunicationConfig(
            mqtt_host="mqtt.example.test",
            mqtt_port=8883,
            mqtt_protocol=MQTTProtocol.MQTTS,
            mqtt_credentials=MQTTSCredentials(
                private_key="AAAA", certificate="BBBB", ca_chain="CCCC"
            ),
            time_sync_protocol=TimeSyncProtocol.HTTP,
            time_sync_host="127.0.0.1",
            time_sync_port=80,
            hardware_id=HARDWARE,
            channel_id="s",
        ),
    ),
    (
        "configuration for MQTT from a gateway",
        MINT,
        """{"config": {"mqtt_host": "gw-demo.local", "mqtt_port": 1883, "mqtt_credentials":
        {"username": "u-17", "password": "p-17"}, "mqtt_protocol": "MQTT",
        "time_sync_protocol": "ntp", "time_sync_host": "gw-demo.local", "time_sync_port": 123,
        "hardware_id": "S00112233445566778899AABBCCDDEEFF", "channel_id": "s"}}""",
        CommunicationConfig(
            mqtt_host="gw-demo.local",
            mqtt_port=1883,
            mqtt_protocol=MQTTProtocol.MQTT,
            mqtt_credentials=MQTTCredentials(username="u-17", password="p-17"),
            time_sync_protocol=TimeSyncProtocol.NTP,
            time_sync_host="gw-demo.local",
            time_sync_port=123,
            hardware_id=HARDWARE,
            channel_id="s",
        ),
    ),
    (
        "configuration with the protocol inside the credentials",
        MINT,
        """{"config": {"mqtt_host": "mqtt.example.test", "mqtt_port": 1883, "mqtt_credentials":
        {"protocol": "MQTT", "username": "u-17", "password": "p-17"},
        "time_sync_protocol": "HTTP", "time_sync_host": "127.0.0.1", "time_sync_port": 80,
        "hardware_id": "00112233445566778899AABBCCDDEEFF", "channel_id": "ucm"}}""",
        CommunicationConfig(
            mqtt_host="mqtt.example.test",
            mqtt_port=1883,
            mqtt_protocol=MQTTProtocol.MQTT,
            mqtt_credentials=MQTTCredentials(username="u-17", password="p-17"),
            time_sync_protocol=TimeSyncProtocol.HTTP,
            time_sync_host="127.0.0.1",
            time_sync_port=80,
            hardware_id="00112233445566778899AABBCCDDEEFF",
            channel_id="ucm",
        ),
    ),
]


@pytest.mark.parametrize(
    ("operation", "body", "expected"),
    [case[1:] for case in BODIES],
    ids=[case[0] for case in BODIES],
)
def test_a_body_is_read(operation: Operation[Any], body: str, expected: Any) -> None:
    answer = operation.answer
    assert answer.key is not None
    data = json.loads(body)
    value = structure(data[answer.key], answer.type) if answer.key in data else answer.default
    assert value == expected
