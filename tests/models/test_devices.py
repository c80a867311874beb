from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from enapter_async.models.devices import (
    AccessRole,
    Communication,
    Connectivity,
    ConnectivityStatus,
    Device,
    DeviceType,
)

# The fields of `device` on the API page, with the expanded ones, and the two that live servers add.
FIELDS = {
    *("id", "blueprint_id", "name", "site_id", "updated_at", "slug", "type", "authorized_role"),
    *("implemented_profiles", "manifest", "properties", "connectivity", "communication"),
    *("site", "raised_alert_names"),
}


def test_every_field_of_the_api_page_exists() -> None:
    assert {field.name for field in attrs.fields(Device)} == FIELDS
    assert {field.name for field in attrs.fields(Communication)} == {
        *("type", "upstream_id", "hardware_id", "channel_id"),
    }


def test_only_the_id_is_required() -> None:
    device = Device(id="a")
    empty = {"implemented_profiles": ()}
    expected = dict.fromkeys(FIELDS, None) | empty | {"id": "a"}
    assert {name: getattr(device, name) for name in FIELDS} == expected


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(TypeError):
        Device("a")  # type: ignore[call-arg]  # that is what is shown


@pytest.mark.parametrize("value", [Device(id="a"), Connectivity(), Communication()])
def test_models_are_frozen_and_slotted(value: object) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.id = "b"  # type: ignore[attr-defined]  # that is what is shown
    assert not hasattr(value, "__dict__")


def test_devices_are_hashable_and_compared_by_value() -> None:
    fields: dict[str, Any] = {
        "id": "a",
        "type": DeviceType.LUA,
        "authorized_role": AccessRole.OWNER,
        "updated_at": datetime(2025, 1, 1, tzinfo=UTC),
        "connectivity": Connectivity(status=ConnectivityStatus.ONLINE),
        "manifest": {"commands": {"run": []}},
        "properties": {"vendor": "Acme"},
        "site": {"id": "s"},
    }
    device, twin = Device(**fields), Device(**fields)
    assert device == twin
    assert hash(device) == hash(twin)
    assert len({device, twin, attrs.evolve(device, name="b")}) == 2


def test_an_empty_connectivity_is_unknown() -> None:
    assert Connectivity().status is ConnectivityStatus.UNKNOWN
