import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from enapter_async.converter import structure, unstructure
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
from tests.converter.samples import DEVICES, JSON_OBJECTS, STRINGS, read

MOMENT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
SECONDS = 1770091506  # of MOMENT: 20487 days and 04:05:06 since 1970


def open_enum(kind: Any) -> Any:
    return st.sampled_from(kind.known()) | st.text(min_size=1, max_size=9).map(kind)


A_DEVICE = st.builds(
    Device,
    id=st.text(min_size=1),
    name=STRINGS,
    slug=STRINGS,
    type=st.none() | open_enum(DeviceType),
    site_id=STRINGS,
    blueprint_id=STRINGS,
    updated_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    authorized_role=st.none() | open_enum(AccessRole),
    implemented_profiles=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    connectivity=st.none() | st.builds(Connectivity, status=open_enum(ConnectivityStatus)),
    communication=st.none()
    | st.builds(
        Communication,
        type=st.none() | open_enum(CommunicationType),
        upstream_id=STRINGS,
        hardware_id=STRINGS,
        channel_id=STRINGS,
    ),
    raised_alert_names=st.none() | st.lists(st.text(max_size=9), max_size=3).map(tuple),
    manifest=st.none() | JSON_OBJECTS,
    properties=st.none() | JSON_OBJECTS,
    site=st.none() | JSON_OBJECTS,
)
PORTS = st.integers(min_value=0, max_value=65535)
SOME_MQTT = st.builds(MQTTCredentials, username=st.text(), password=st.text())
SOME_MQTTS = st.builds(
    MQTTSCredentials, private_key=st.text(), certificate=st.text(), ca_chain=STRINGS
)
A_CONFIG = st.one_of(
    *(
        st.builds(
            CommunicationConfig,
            mqtt_host=st.text(),
            mqtt_port=PORTS,
            mqtt_protocol=st.just(protocol),
            mqtt_credentials=credentials,
            time_sync_protocol=st.none() | open_enum(TimeSyncProtocol),
            time_sync_host=STRINGS,
            time_sync_port=st.none() | PORTS,
            hardware_id=STRINGS,
            channel_id=STRINGS,
        )
        for protocol, credentials in (
            (MQTTProtocol.MQTT, SOME_MQTT),
            (MQTTProtocol.MQTTS, SOME_MQTTS),
        )
    )
)


@given(device=A_DEVICE)
def test_a_device_survives_writing_and_reading(device: Device) -> None:
    assert structure(json.loads(json.dumps(unstructure(device))), Device) == device


@given(devices=st.lists(A_DEVICE, max_size=3).map(tuple))
def test_a_page_survives_writing_and_reading(devices: tuple[Device, ...]) -> None:
    assert structure(json.loads(json.dumps(unstructure(devices))), DEVICES) == devices


@given(config=A_CONFIG)
def test_a_configuration_survives_writing_and_reading(config: CommunicationConfig) -> None:
    data = json.loads(json.dumps(unstructure(config)))
    assert structure(data, CommunicationConfig) == config


def test_written_values_are_plain_and_omit_unset_fields() -> None:
    device = read(type="lua", updated_at=SECONDS, connectivity={}, implemented_profiles=["p"])
    data = unstructure(device)
    assert data == {
        "id": "a",
        "type": "LUA",
        "updated_at": "2026-02-03T04:05:06Z",
        "implemented_profiles": ["p"],
        "connectivity": {"status": "UNKNOWN"},
    }
    assert type(data["type"]) is str
    assert unstructure(None) is None
