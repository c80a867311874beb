import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.converter import (
    operation_from_json,
    operation_to_json,
)
from enapter_async.errors import ConfigurationError
from enapter_async.operation import UNSET, Answer, Operation, Repeat
from enapter_async.operations.devices import (
    EXPANDABLE,
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
TEXTS = st.none() | st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20
)
EXPANDS = st.lists(st.sampled_from(EXPANDABLE))
AN_OPERATION = st.one_of(
    st.builds(GetDevice, device_id=IDS, expand=EXPANDS),
    st.builds(
        ListDevices,
        site_id=st.none() | IDS,
        expand=EXPANDS,
        offset=st.integers(min_value=0, max_value=10**6),
        limit=st.integers(min_value=1, max_value=50),
    ),
    st.builds(UpdateDevice, device_id=IDS, name=TEXTS),
    st.builds(UpdateDevice, device_id=IDS, slug=TEXTS),
    st.builds(UpdateDevice, device_id=IDS, name=TEXTS, slug=TEXTS | st.just(UNSET)),
    st.builds(DeleteDevice, device_id=IDS),
    st.builds(GenerateConfig, device_id=IDS, protocol=st.sampled_from(["MQTT", "mqtts"])),
    st.builds(AssignBlueprint, device_id=IDS, blueprint_id=IDS),
)


@given(operation=AN_OPERATION)
def test_an_operation_survives_writing_and_reading(operation: Operation[Any]) -> None:
    assert operation_from_json(json.loads(json.dumps(operation_to_json(operation)))) == operation


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        (GetDevice(device_id="a"), {"operation": "get", "device_id": "a"}),
        (
            GetDevice(device_id="a", expand=["site"]),
            {"operation": "get", "device_id": "a", "expand": ["site"]},
        ),
        (ListDevices(), {"operation": "list"}),
        (
            ListDevices(site_id="s", offset=50, limit=10),
            {"operation": "list", "site_id": "s", "offset": 50, "limit": 10},
        ),
        (
            UpdateDevice(device_id="a", name="n"),
            {"operation": "update", "device_id": "a", "name": "n"},
        ),
        (
            UpdateDevice(device_id="a", slug=None),
            {"operation": "update", "device_id": "a", "slug": None},
        ),
        (DeleteDevice(device_id="a"), {"operation": "delete", "device_id": "a"}),
        (
            GenerateConfig(device_id="a", protocol="mqtts"),
            {"operation": "generate_config", "device_id": "a", "protocol": "MQTTS"},
        ),
        (
            AssignBlueprint(device_id="a", blueprint_id="b"),
            {"operation": "assign_blueprint", "device_id": "a", "blueprint_id": "b"},
        ),
    ],
)
def test_how_operations_are_written(operation: Operation[Any], data: dict[str, Any]) -> None:
    assert operation_to_json(operation) == data
    assert operation_from_json(data) == operation


@pytest.mark.parametrize("name", ["generate-config", "generate_config"])
def test_a_name_may_be_written_as_on_the_command_line(name: str) -> None:
    data = {"operation": name, "device_id": "a", "protocol": "mqtt"}
    assert operation_from_json(data) == GenerateConfig(device_id="a", protocol="MQTT")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "operation must be one of get, list, update, delete, generate_config, assign_bl"),
        ({"operation": "reboot"}, "got 'reboot'"),
        ({"operation": 5}, "got a value of type int"),
        ({"operation": None, "device_id": "a"}, "operation must be one of"),
        ({"operation": "update", "device_id": "a", "nmae": "x"}, "takes device_id, name, slug"),
        ({"operation": "update", "device_id": "a", "nmae": "x"}, "got 'nmae'"),
        ({"operation": "delete", "device_id": "a", 5: "x"}, "got a value of type int"),
        ({"operation": "update", "name": "x"}, "update needs device_id, which is missing"),
        ({"operation": "assign_blueprint", "device_id": "a"}, "needs blueprint_id"),
        ({"operation": "generate-config", "device_id": "a"}, "needs protocol"),
        ({"operation": "update", "device_id": "a"}, "must set name, slug or both"),
        ({"operation": "update", "device_id": "../a", "name": "x"}, "device_id must be 1 to 128"),
        ({"operation": "update", "device_id": 5, "name": "x"}, "got a value of type int"),
        ({"operation": "list", "limit": "10"}, "limit must be a whole number"),
        ("update", "an operation must be an object; got 'update'"),
        ([], "an operation must be an object"),
        (None, "an operation must be an object"),
    ],
)
def test_what_is_no_operation_is_a_clear_error(data: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        operation_from_json(data)
    assert message in str(caught.value)


def test_an_operation_without_a_name_cannot_be_written() -> None:
    class Nameless(Operation[None]):
        repeat = Repeat.READ
        answer = Answer(type=None)

    with pytest.raises(ConfigurationError, match="Nameless has no name in files"):
        operation_to_json(Nameless())
