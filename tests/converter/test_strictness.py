import contextlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.converter import StructureError, structure, structurer, unstructure
from enapter_async.models.configs import (
    CommunicationConfig,
)
from enapter_async.models.devices import (
    Device,
    DeviceType,
)
from tests.converter.samples import DEVICES, JSON_OBJECTS, JSON_VALUES, error_of, read

NOT_STRINGS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.lists(st.text()), JSON_OBJECTS
)
NOT_LISTS = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(), JSON_OBJECTS)
NOT_OBJECTS = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))
WRONG_IN_DEVICE = {
    **dict.fromkeys(("id", "name", "slug", "site_id", "blueprint_id"), NOT_STRINGS),
    **dict.fromkeys(("type", "authorized_role"), NOT_STRINGS),
    **dict.fromkeys(("implemented_profiles", "raised_alert_names"), NOT_LISTS),
    **dict.fromkeys(("manifest", "properties", "site"), NOT_OBJECTS),
    "communication": NOT_OBJECTS,
    "connectivity": st.one_of(st.booleans(), st.integers(), st.lists(st.text())),
}


@given(data=st.data(), field=st.sampled_from(sorted(WRONG_IN_DEVICE)))
def test_no_field_of_a_device_is_ever_coerced(data: st.DataObject, field: str) -> None:
    wrong = data.draw(WRONG_IN_DEVICE[field])
    assert error_of({"id": "a", field: wrong}, Device).path == field
    path = error_of([{"id": "a"}, {"id": "b", field: wrong}], DEVICES).path
    assert path == f"[1].{field}"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *(("false", bool), ("true", bool), (1, bool), (0, bool), (None, bool)),
        *((5, str), (None, str), (True, str), (["a"], str)),
        *(("5", int), (True, int), (5.0, int), (None, int)),
        *(("5.0", float), (True, float), (None, float)),
        *(("abc", tuple[str, ...]), ({"a": 1}, tuple[str, ...]), (5, tuple[str, ...])),
        *(("abc", DEVICES), ({"id": "a"}, DEVICES), ([["id", "a"]], DEVICES)),
        *(("a", Device), (["id"], Device), (None, Device), (5, Device)),
        *(("a", dict[str, Any]), ([], dict[str, Any]), ([["a", 1]], dict[str, Any])),
        *((5, DeviceType), (None, DeviceType), (["LUA"], DeviceType)),
    ],
)
def test_no_type_is_ever_coerced(value: Any, kind: Any) -> None:
    assert error_of(value, kind).reason.startswith("expected ")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, bool), (False, bool), ("x", str), (5, int), (5, float), (2.5, float), ({}, dict)],
)
def test_correct_values_stay_unchanged(value: Any, kind: Any) -> None:
    assert structure(value, kind) is value


@given(value=JSON_VALUES, kind=st.sampled_from([Device, DEVICES, CommunicationConfig]))
def test_any_json_is_read_or_refused_with_a_structure_error(value: Any, kind: Any) -> None:
    with contextlib.suppress(StructureError):
        structure(value, kind)


@pytest.mark.parametrize(
    ("data", "kind", "path", "reason"),
    [
        ({"name": "x"}, Device, "id", "is missing"),
        ({"id": None}, Device, "id", "expected a string, got null"),
        ([{"id": "a"}] * 3 + [{"id": "b", "slug": 5}], DEVICES, "[3].slug", "got a number"),
        ([{"id": "a"}, 5], DEVICES, "[1]", "expected an object, got a number"),
        (
            {"id": "a", "implemented_profiles": ["x", None]},
            Device,
            "implemented_profiles[1]",
            "null",
        ),
        ({"id": "a", "communication": {"type": []}}, Device, "communication.type", "got a list"),
        ({"id": "a", "connectivity": {"status": 1}}, Device, "connectivity.status", "a number"),
        ({"id": 5, "raised_alert_names": ["x"]}, Device, "id", "expected a string, got a number"),
        ("abc", tuple[str, ...], "", "expected a list, got a string"),
    ],
)
def test_errors_say_where_and_why(data: Any, kind: Any, path: str, reason: str) -> None:
    error = error_of(data, kind)
    assert error.path == path
    assert reason in error.reason
    assert str(error) == (f"{path}: {error.reason}" if path else error.reason)
    assert isinstance(error, ValueError)


def test_an_error_survives_a_pickle() -> None:
    error = error_of({}, Device)
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (twin.path, twin.reason, str(twin)) == (error.path, error.reason, str(error))


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_json_is_accepted_or_refused_but_never_crashes(depth: int) -> None:
    deep: Any = {}
    for _ in range(depth):
        deep = {"deeper": deep}
    device = read(manifest=deep)
    assert device.manifest is deep
    assert unstructure(device)["manifest"] is deep
    assert error_of({"id": deep}, Device).path == "id"
    assert error_of({"id": "a", "implemented_profiles": [deep]}, Device).path == (
        "implemented_profiles[0]"
    )


def test_an_exhausted_stack_is_a_structure_error() -> None:
    outcomes = set()

    def descend() -> None:
        try:
            descend()
        except RecursionError:
            pass
        else:
            return
        try:
            structure([{"id": "a", "communication": {"type": "LINK"}}], DEVICES)
            outcomes.add("read")
        except StructureError as error:
            outcomes.add(error.reason)
        raise RecursionError

    with pytest.raises(RecursionError):
        descend()
    assert "read" in outcomes
    assert outcomes <= {"read", "is nested too deeply"}


def test_an_answer_without_a_type() -> None:
    for value in (None, {}, {"anything": 1}):
        assert structure(value, None) is None


def test_a_reader_is_created_once_per_class() -> None:
    assert structurer(DEVICES) is structurer(tuple[Device, ...])
    assert structurer(Device)({"id": "a"}) == Device(id="a")
