import json
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from enapter_async.converter import structure
from enapter_async.models.devices import (
    AccessRole,
    Communication,
    CommunicationType,
    Connectivity,
    ConnectivityStatus,
    Device,
    DeviceType,
)
from tests.converter.samples import read


def test_the_device_of_the_api_page() -> None:
    data = {
        "id": "devicea0-45f2-4e9e-a6f0-69a310ab110b",
        "blueprint_id": "bluepri1-50n3-4t9d-e6v0-69i310cb110e",
        "name": "Hydrogen detector",
        "site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
        "updated_at": 1735689600,
        "slug": "gas-detector-in-living-room",
        "type": "LUA",
        "authorized_role": "INSTALLER",
    }
    assert structure(data, Device) == Device(
        id="devicea0-45f2-4e9e-a6f0-69a310ab110b",
        blueprint_id="bluepri1-50n3-4t9d-e6v0-69i310cb110e",
        name="Hydrogen detector",
        site_id="sitebba0-79f2-4e9e-a6f0-69a310ab110b",
        updated_at=datetime(2025, 1, 1, tzinfo=UTC),
        slug="gas-detector-in-living-room",
        type=DeviceType.LUA,
        authorized_role=AccessRole.INSTALLER,
    )


def test_missing_and_null_are_the_same() -> None:
    optional = [field.name for field in attrs.fields(Device) if field.name != "id"]
    assert read(**dict.fromkeys(optional)) == read() == Device(id="a")


@pytest.mark.parametrize("field", ["type", "authorized_role", "updated_at"])
def test_empty_text_means_missing_if_it_is_not_a_valid_value(field: str) -> None:
    assert getattr(read(**{field: ""}), field) is None


def test_empty_text_and_empty_lists_are_kept_as_they_are() -> None:
    device = read(name="", slug="", blueprint_id="", implemented_profiles=[])
    assert device == Device(id="a", name="", slug="", blueprint_id="")


@pytest.mark.parametrize(
    ("field", "empty", "expected"),
    [
        ("communication", {}, Communication()),
        ("connectivity", {}, Connectivity()),
        ("manifest", {}, {}),
        ("properties", {}, {}),
        ("raised_alert_names", [], ()),
        ("site", {}, {}),
    ],
)
def test_an_empty_expanded_field_differs_from_one_that_was_not_requested(
    field: str, empty: Any, expected: Any
) -> None:
    assert getattr(read(), field) is None
    assert getattr(read(**{field: empty}), field) == expected


def test_unknown_fields_are_ignored() -> None:
    assert read(invented_tomorrow={"x": [1]}) == Device(id="a")


@pytest.mark.parametrize("field", ["type", "authorized_role"])
def test_enumerations_are_folded_and_unknown_values_kept(field: str) -> None:
    kind = {"type": DeviceType, "authorized_role": AccessRole}[field]
    for member in kind.known():
        for spelling in (str(member), member.lower(), member.title()):
            assert getattr(read(**{field: spelling}), field) is member
    for new in ("BRAND_NEW", "brand-new"):
        value = getattr(read(**{field: new}), field)
        assert value == new
        assert type(value) is kind


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"status": "ONLINE"}, Connectivity(status=ConnectivityStatus.ONLINE)),
        ({"status": "offline"}, Connectivity(status=ConnectivityStatus.OFFLINE)),
        ({"status": ""}, Connectivity(status=ConnectivityStatus.UNKNOWN)),
        ({"status": None}, Connectivity(status=ConnectivityStatus.UNKNOWN)),
        ({}, Connectivity(status=ConnectivityStatus.UNKNOWN)),
        ("ONLINE", Connectivity(status=ConnectivityStatus.ONLINE)),
        ("online", Connectivity(status=ConnectivityStatus.ONLINE)),
        ("", Connectivity(status=ConnectivityStatus.UNKNOWN)),
        ({"status": "ASLEEP"}, Connectivity(status=ConnectivityStatus("ASLEEP"))),
        (None, None),
    ],
)
def test_connectivity_in_all_its_spellings(data: Any, expected: Connectivity | None) -> None:
    assert read(connectivity=data).connectivity == expected


LUA_BELOW = Communication(type=CommunicationType.UCM_LUA, upstream_id="u")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"communication": {"type": "UCM_LUA", "upstream_id": "u"}}, LUA_BELOW),
        ({"communication": {"communication_type": "UCM_LUA", "upstream_id": "u"}}, LUA_BELOW),
        ({"communication_info": {"type": "ucm_lua", "upstream_id": "u"}}, LUA_BELOW),
        (
            {"communication_info": {"communication_type": "UCM_LUA", "upstream_id": "u"}},
            LUA_BELOW,
        ),
        (
            {"communication": None, "communication_info": {"type": "UCM_LUA", "upstream_id": "u"}},
            LUA_BELOW,
        ),
        (
            {
                "communication": {"type": "UCM_LUA", "upstream_id": "u"},
                "communication_info": {"type": "LINK"},
            },
            LUA_BELOW,
        ),
        (
            {
                "communication": {
                    "type": "UCM_LUA",
                    "communication_type": "LINK",
                    "upstream_id": "u",
                }
            },
            LUA_BELOW,
        ),
        (
            {"communication": {"type": "UCM_EMBBEDED"}},
            Communication(type=CommunicationType.UCM_EMBEDDED),
        ),
        (
            {"communication": {"type": "ucm_embbeded"}},
            Communication(type=CommunicationType.UCM_EMBEDDED),
        ),
        ({"communication": {}}, Communication()),
        ({"communication": {"type": None, "hardware_id": None}}, Communication()),
        ({"communication_info": None}, None),
    ],
)
def test_communication_under_its_new_and_old_names(
    fields: dict[str, Any], expected: Communication | None
) -> None:
    assert read(**fields).communication == expected


def test_plain_json_stays_plain_json() -> None:
    manifest = {"commands": {"set": {"arguments": [1, 2.5, None, True, "x"]}}}
    device = read(manifest=manifest, properties={"a": None}, site={"id": "s", "name": "Barn"})
    assert device.manifest is manifest
    assert device.properties == {"a": None}
    assert device.site == {"id": "s", "name": "Barn"}


def test_reading_does_not_change_its_input() -> None:
    data = {"id": "a", "communication_info": {"communication_type": "LINK"}, "connectivity": "x"}
    text = json.dumps(data)
    structure(data, Device)
    assert json.dumps(data) == text
