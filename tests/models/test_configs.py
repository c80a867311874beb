import attrs
import pytest

from enapter_async.models.configs import (
    CommunicationConfig,
    MQTTCredentials,
    MQTTProtocol,
    MQTTSCredentials,
)

MQTT = MQTTCredentials(username="u-17", password="HUNTER2")
MQTTS = MQTTSCredentials(private_key="HUNTER2", certificate="BBBB", ca_chain="CCCC")


def config(credentials: MQTTCredentials | MQTTSCredentials) -> CommunicationConfig:
    return CommunicationConfig(
        mqtt_host="mqtt.example.test",
        mqtt_port=8883,
        mqtt_protocol=MQTTProtocol.MQTTS,
        mqtt_credentials=credentials,
    )


# As in the API page's answer.
def test_every_field_of_the_api_page_exists() -> None:
    assert {field.name for field in attrs.fields(CommunicationConfig)} == {
        *("mqtt_host", "mqtt_port", "mqtt_credentials", "mqtt_protocol"),
        *("time_sync_protocol", "time_sync_host", "time_sync_port"),
        *("hardware_id", "channel_id"),
    }


@pytest.mark.parametrize("credentials", [MQTT, MQTTS])
def test_secrets_are_hidden(credentials: MQTTCredentials | MQTTSCredentials) -> None:
    for value in (credentials, config(credentials)):
        assert "HUNTER2" not in repr(value)
        assert "HUNTER2" not in str(value)
        assert "HUNTER2" not in f"{value}"


def test_configs_are_frozen_compared_by_value_and_hashable() -> None:
    assert config(MQTT) == config(MQTT)
    assert hash(config(MQTT)) == hash(config(MQTT))
    assert config(MQTT) != config(MQTTS)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        MQTT.password = "other"  # type: ignore[misc]  # that is what is shown
