"""cattrs builds values from JSON: strictly, and with errors that name the path but no value."""

from typing import Any

import attrs
import cattrs
import pytest

from enapter_async.converter import StructureError, structure
from enapter_async.models.configs import CommunicationConfig, MQTTCredentials, MQTTSCredentials
from enapter_async.models.devices import Device
from tests.support.kinds import each


@attrs.frozen
class Plain:
    """Four fields of kinds that also occur in a device."""

    id: str = ""
    flag: bool = False
    count: int = 0
    names: list[str] = attrs.field(factory=list)


@pytest.mark.parametrize(
    ("wrong", "made"),
    [
        ({"id": 5}, Plain(id="5")),
        ({"id": None}, Plain(id="None")),
        ({"flag": "false"}, Plain(flag=True)),
        ({"count": "7"}, Plain(count=7)),
        ({"names": "abc"}, Plain(names=["a", "b", "c"])),
    ],
)
def test_cattrs_alone_coerces_values(wrong: Any, made: Plain) -> None:
    assert cattrs.Converter().structure(wrong, Plain) == made, "this workaround is no longer needed"


WRONG: dict[str, tuple[Any, str]] = {
    "number-as-id": ({"id": 5}, "id"),
    "null-as-id": ({"id": None}, "id"),
    "no-id": ({"name": "x"}, "id"),
    "boolean-as-id": ({"id": True}, "id"),
    "number-as-name": ({"id": "a", "name": 5}, "name"),
    "list-as-slug": ({"id": "a", "slug": ["b"]}, "slug"),
    "text-as-list": ({"id": "a", "implemented_profiles": "abc"}, "implemented_profiles"),
    "number-in-a-list": (
        {"id": "a", "implemented_profiles": ["b", 5]},
        "implemented_profiles[1]",
    ),
    "number-as-communication": ({"id": "a", "communication": 5}, "communication"),
    "text-as-properties": ({"id": "a", "properties": "x"}, "properties"),
    "text-as-time": ({"id": "a", "updated_at": "yesterday"}, "updated_at"),
    "list-as-device": ([], ""),
    "null-as-device": (None, ""),
}


@each("wrong", WRONG)
def test_wrong_values_are_refused_with_their_path(wrong: tuple[Any, str]) -> None:
    data, path = wrong
    with pytest.raises(StructureError) as caught:
        structure(data, Device)
    assert caught.value.path == path


def test_the_path_leads_through_a_page() -> None:
    page = [{"id": "a"}, {"id": "b"}, {"id": "c", "slug": 5}]
    with pytest.raises(StructureError) as caught:
        structure(page, tuple[Device, ...])
    assert caught.value.path == "[2].slug"


def config(protocol: Any, credentials: Any) -> dict[str, Any]:
    return {
        "mqtt_host": "h",
        "mqtt_port": 1,
        "mqtt_protocol": protocol,
        "mqtt_credentials": credentials,
    }


BOTH = {
    "username": "u",
    "password": "HIDDEN",
    "private_key": "HIDDEN",
    "certificate": "c",
    "ca_chain": "c",
}


@pytest.mark.parametrize(
    ("protocol", "kind"), [("MQTT", MQTTCredentials), ("MQTTS", MQTTSCredentials)]
)
def test_a_union_is_chosen_by_the_servers_value(protocol: str, kind: type) -> None:
    made = structure(config(protocol, BOTH), CommunicationConfig)
    assert type(made.mqtt_credentials) is kind


def test_no_error_carries_a_value() -> None:
    with pytest.raises(StructureError) as caught:
        structure(config("MQTT", {"username": "u", "password": ["HIDDEN"]}), CommunicationConfig)
    error: BaseException | None = caught.value
    while error is not None:
        assert "HIDDEN" not in f"{error!r} {error} {error.args}"
        error = error.__cause__ or error.__context__


def test_results_are_frozen_slotted_and_compared_by_value() -> None:
    one, other = (structure({"id": "a", "surplus": 1}, Device) for _ in range(2))
    assert one == other
    assert not hasattr(one, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.id = "b"
