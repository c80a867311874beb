import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.converter import StructureError, structure, structurer
from enapter_async.models.configs import (
    CommunicationConfig,
    MQTTCredentials,
    MQTTProtocol,
    MQTTSCredentials,
    TimeSyncProtocol,
)
from tests.converter.samples import JSON_OBJECTS, error_of

MQTT = {"username": "u-17", "password": "HUNTER2"}
MQTTS = {"private_key": "HUNTER2", "certificate": "BBBB", "ca_chain": "CCCC"}
PLACE = {"mqtt_host": "mqtt.example.test", "mqtt_port": 8883}


def read_config(credentials: Any, **fields: Any) -> CommunicationConfig:
    data = {**PLACE, "mqtt_credentials": credentials, **fields}
    config: CommunicationConfig = structure(data, CommunicationConfig)
    return config


@pytest.mark.parametrize(
    ("credentials", "fields", "protocol"),
    [
        (MQTT, {"mqtt_protocol": "MQTT"}, "MQTT"),
        (MQTTS, {"mqtt_protocol": "MQTTS"}, "MQTTS"),
        (MQTT, {"mqtt_protocol": "mqtt"}, "MQTT"),
        ({**MQTT, "protocol": "MQTT"}, {}, "MQTT"),
        ({**MQTTS, "protocol": "mqtts"}, {}, "MQTTS"),
        ({**MQTTS, "protocol": "MQTTS"}, {"mqtt_protocol": None}, "MQTTS"),
        ({**MQTTS, "protocol": "MQTTS"}, {"mqtt_protocol": ""}, "MQTTS"),
        # If a dict fits both shapes, its protocol decides, wherever it is given.
        ({**MQTT, **MQTTS}, {"mqtt_protocol": "MQTT"}, "MQTT"),
        ({**MQTT, **MQTTS}, {"mqtt_protocol": "MQTTS"}, "MQTTS"),
        ({**MQTT, **MQTTS, "protocol": "MQTT"}, {}, "MQTT"),
        ({**MQTT, **MQTTS, "protocol": "MQTTS"}, {}, "MQTTS"),
        # The top level has priority.
        ({**MQTT, **MQTTS, "protocol": "MQTTS"}, {"mqtt_protocol": "MQTT"}, "MQTT"),
        # The keys decide only if no protocol is given.
        (MQTT, {}, "MQTT"),
        (MQTTS, {}, "MQTTS"),
        ({**MQTTS, "username": "", "password": None}, {}, "MQTTS"),
    ],
)
def test_credentials_are_chosen_by_the_protocol(
    credentials: Any, fields: dict[str, Any], protocol: str
) -> None:
    config = read_config(credentials, **fields)
    assert config.mqtt_protocol == protocol
    assert config.mqtt_protocol in MQTTProtocol.known()
    assert (
        config.mqtt_credentials
        == {
            "MQTT": MQTTCredentials(username="u-17", password="HUNTER2"),
            "MQTTS": MQTTSCredentials(private_key="HUNTER2", certificate="BBBB", ca_chain="CCCC"),
        }[protocol]
    )


def test_credentials_of_a_protocol_that_is_new_to_us_are_not_lost() -> None:
    config = read_config(MQTT, mqtt_protocol="MQTT_OVER_WEBSOCKET")
    assert config.mqtt_protocol == "MQTT_OVER_WEBSOCKET"
    assert config.mqtt_credentials == MQTTCredentials(username="u-17", password="HUNTER2")


@pytest.mark.parametrize(
    ("credentials", "fields", "path"),
    [
        ({**MQTT, **MQTTS}, {}, "mqtt_protocol"),
        ({}, {}, "mqtt_protocol"),
        ({**MQTT, **MQTTS}, {"mqtt_protocol": "NEW"}, "mqtt_credentials"),
        (MQTTS, {"mqtt_protocol": "MQTT"}, "mqtt_credentials.username"),
        (MQTT, {"mqtt_protocol": "MQTTS"}, "mqtt_credentials.private_key"),
        ({"username": "u"}, {"mqtt_protocol": "MQTT"}, "mqtt_credentials.password"),
        ({**MQTT, "password": 5}, {"mqtt_protocol": "MQTT"}, "mqtt_credentials.password"),
        ({**MQTT, "password": None}, {"mqtt_protocol": "MQTT"}, "mqtt_credentials.password"),
        (MQTT, {"mqtt_protocol": 5}, "mqtt_protocol"),
        (None, {"mqtt_protocol": "MQTT"}, "mqtt_credentials"),
        ("HUNTER2", {"mqtt_protocol": "MQTT"}, "mqtt_credentials"),
        (MQTT, {"mqtt_protocol": "MQTT", "mqtt_host": 5}, "mqtt_host"),
        (MQTT, {"mqtt_protocol": "MQTT", "mqtt_port": "x"}, "mqtt_port"),
    ],
)
def test_errors_in_a_configuration(credentials: Any, fields: dict[str, Any], path: str) -> None:
    data = {**PLACE, "mqtt_credentials": credentials, **fields}
    assert error_of(data, CommunicationConfig).path == path


@pytest.mark.parametrize("field", ["mqtt_host", "mqtt_port", "mqtt_credentials"])
def test_required_fields_of_a_configuration(field: str) -> None:
    data = {**PLACE, "mqtt_credentials": MQTT, "mqtt_protocol": "MQTT"}
    del data[field]
    error = error_of(data, CommunicationConfig)
    assert (error.path, error.reason) == (field, "is missing")


@pytest.mark.parametrize("spelling", [80, "80", "0080", 80.0])
def test_ports_may_be_numeric_strings(spelling: Any) -> None:
    config = read_config(MQTT, mqtt_port=spelling, time_sync_port=spelling)
    assert (config.mqtt_port, config.time_sync_port) == (80, 80)
    assert type(config.mqtt_port) is int


NOT_PORTS = st.one_of(
    st.booleans(),
    st.floats().filter(lambda value: not (value.is_integer() and 0 <= value <= 65535)),
    st.lists(st.text()),
    JSON_OBJECTS,
    st.integers(max_value=-1),
    st.integers(min_value=65536),
    st.sampled_from(["-1", "80x", "65536", "8e1", " 80", "80.0", "0x50", "٣"]),
)


@given(wrong=NOT_PORTS, field=st.sampled_from(["mqtt_port", "time_sync_port"]))
def test_nothing_else_is_a_port(wrong: Any, field: str) -> None:
    data = {**PLACE, "mqtt_credentials": MQTT, field: wrong}
    assert error_of(data, CommunicationConfig).path == field


@pytest.mark.parametrize("spelling", ["HTTP", "http", "Http"])
def test_the_time_sync_protocol_in_either_case(spelling: str) -> None:
    assert (
        read_config(MQTT, time_sync_protocol=spelling).time_sync_protocol is TimeSyncProtocol.HTTP
    )


def test_a_configuration_may_omit_fields_without_secrets() -> None:
    rest = ("time_sync_protocol", "time_sync_host", "time_sync_port", "hardware_id", "channel_id")
    for absent in ({}, dict.fromkeys(rest)):
        config = read_config({**MQTTS, "ca_chain": None}, **absent)
        assert [getattr(config, field) for field in rest] == [None] * 5
        assert isinstance(config.mqtt_credentials, MQTTSCredentials)
        assert config.mqtt_credentials.ca_chain is None
    assert read_config(MQTT, time_sync_port="").time_sync_port is None


@pytest.mark.parametrize(
    "data",
    [
        {**PLACE, "mqtt_credentials": {**MQTT, "username": 5}},
        {**PLACE, "mqtt_credentials": {"password": "HUNTER2"}},
        {**PLACE, "mqtt_credentials": {**MQTT, **MQTTS}},
        {**PLACE, "mqtt_credentials": "HUNTER2"},
        {**PLACE, "mqtt_credentials": MQTT, "mqtt_protocol": {"x": "HUNTER2"}},
        {**PLACE, "mqtt_credentials": {**MQTT, **MQTTS}, "mqtt_protocol": "HUNTER2"},
        {**PLACE, "mqtt_port": "HUNTER2", "mqtt_credentials": MQTT},
        ["HUNTER2"],
        "HUNTER2",
    ],
)
@pytest.mark.parametrize("reader", [structure, lambda data, kind: structurer(kind)(data)])
def test_no_error_holds_values_that_were_read(data: Any, reader: Any) -> None:
    with pytest.raises(StructureError) as caught:
        reader(data, CommunicationConfig)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    for text in (repr(error), str(error), repr(error.args), repr(vars(error))):
        assert "HUNTER2" not in text
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in told.stack if "enapter_async" in frame.filename]
    assert ours
    assert not any("HUNTER2" in value for frame in ours for value in (frame.locals or {}).values())
