import json
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.operation import UNSET, Answer, Operation, Repeat, Unset
from enapter_async.operations.device_arguments import EXPANDABLE
from enapter_async.operations.devices import (
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
        (GetDevice(device_id="a"), {"operation": "device.get", "device_id": "a"}),
        (
            GetDevice(device_id="a", expand=["site"]),
            {"operation": "device.get", "device_id": "a", "expand": ["site"]},
        ),
        (ListDevices(), {"operation": "device.list"}),
        (
            ListDevices(site_id="s", offset=50, limit=10),
            {"operation": "device.list", "site_id": "s", "offset": 50, "limit": 10},
        ),
        (
            UpdateDevice(device_id="a", name="n"),
            {"operation": "device.update", "device_id": "a", "name": "n"},
        ),
        (
            UpdateDevice(device_id="a", slug=None),
            {"operation": "device.update", "device_id": "a", "slug": None},
        ),
        (DeleteDevice(device_id="a"), {"operation": "device.delete", "device_id": "a"}),
        (
            GenerateConfig(device_id="a", protocol="mqtts"),
            {"operation": "device.generate_config", "device_id": "a", "protocol": "MQTTS"},
        ),
        (
            AssignBlueprint(device_id="a", blueprint_id="b"),
            {"operation": "device.assign_blueprint", "device_id": "a", "blueprint_id": "b"},
        ),
    ],
)
def test_how_operations_are_written(operation: Operation[Any], data: dict[str, Any]) -> None:
    assert operation_to_json(operation) == data
    assert operation_from_json(data) == operation
    old = data | {"operation": data["operation"].removeprefix("device.")}
    assert operation_from_json(old) == operation, "as version 0.1 wrote it"


@pytest.mark.parametrize("name", ["generate-config", "generate_config", "device.generate-config"])
def test_a_name_may_be_written_as_on_the_command_line(name: str) -> None:
    data = {"operation": name, "device_id": "a", "protocol": "mqtt"}
    assert operation_from_json(data) == GenerateConfig(device_id="a", protocol="MQTT")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "operation must be the name of an operation, such as device.update; got "),
        ({"operation": "reboot"}, "got 'reboot'"),
        ({"operation": 5}, "got a value of type int"),
        ({"operation": None, "device_id": "a"}, "operation must be the name of an operation"),
        (
            {"operation": "update", "device_id": "a", "nmae": "x"},
            "the fields device_id, site_id, name, slug",
        ),
        ({"operation": "update", "device_id": "a", "nmae": "x"}, "got 'nmae'"),
        ({"operation": "delete", "device_id": "a", 5: "x"}, "got a value of type int"),
        ({"operation": "update", "name": "x"}, "update needs the field device_id"),
        ({"operation": "assign_blueprint", "device_id": "a"}, "needs the field blueprint_id"),
        ({"operation": "generate-config", "device_id": "a"}, "needs the field protocol"),
        ({"operation": "update", "device_id": "a"}, "must set name, slug or both"),
        ({"operation": "update", "device_id": "../a", "name": "x"}, "device_id must be 1 to 1024"),
        ({"operation": "update", "device_id": 5, "name": "x"}, "got a value of type int"),
        ({"operation": "list", "limit": "10"}, "limit must be a whole number"),
        ("update", "an operation must be an object; got 'update'"),
        ([], "an operation must be an object"),
        (None, "an operation must be an object"),
    ],
)
def test_a_non_operation_is_a_clear_error(data: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        operation_from_json(data)
    assert message in str(caught.value)


@attrs.frozen(kw_only=True)
class Schedule(Operation[None]):
    """A user's own operation, without a kind, with fields that JSON has no type for."""

    repeat = Repeat.CONVERGENT
    answer = Answer(type=None)

    site_id: str
    at: datetime
    hours: tuple[int, ...] = ()
    note: str | Unset | None = UNSET


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({}, {}),
        ({"hours": (1, 2)}, {"hours": [1, 2]}),
        ({"note": None}, {"note": None}),
        ({"note": "later"}, {"note": "later"}),
    ],
)
def test_an_operation_of_a_users_own_is_named_by_its_place_and_read_by_its_types(
    fields: dict[str, Any], written: dict[str, Any]
) -> None:
    operation = Schedule(site_id="s", at=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), **fields)
    data = operation_to_json(operation)
    place = {"operation": "tests.converter.test_operations:Schedule"}
    assert data == place | {"site_id": "s", "at": "2025-01-02T03:04:05Z"} | written
    assert operation_from_json(data) == operation


def test_a_value_of_another_type_names_the_field() -> None:
    data = {"operation": Schedule.kind, "site_id": "s", "at": "2025-01-02T03:04:05Z"}
    with pytest.raises(ConfigurationError, match=r"hours \[1\]: expected a whole number"):
        operation_from_json(data | {"hours": [1, "2"]})


def test_an_operation_without_attrs_cannot_be_written() -> None:
    class Fieldless(Operation[None]):
        repeat = Repeat.READ
        answer = Answer(type=None)

    with pytest.raises(ConfigurationError, match="Fieldless cannot be written to files"):
        operation_to_json(Fieldless())
