"""Selections and templates: the intended devices are selected, and nothing else is reachable."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.errors import ConfigurationError
from enapter_async.models.devices import (
    AccessRole,
    Connectivity,
    ConnectivityStatus,
    Device,
    DeviceType,
)
from enapter_async.operations.device_plans import Change
from enapter_async.operations.device_selection import Selection, Template
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)

BOILER = Device(
    id="dev-1",
    name="Boiler 07 Riga",
    slug="boiler-07",
    site_id="site-1",
    type=DeviceType("LUA"),
    authorized_role=AccessRole("OWNER"),
    connectivity=Connectivity(status=ConnectivityStatus("ONLINE")),
    blueprint_id="bp-1",
    implemented_profiles=("energy.boiler", "lib.device"),
    raised_alert_names=("overheat",),
    properties={"fw_ver": "1.10.2", "vendor": "Acme & Sons", "phases": 3},
    site={"id": "site-1", "name": "Barn"},
)
BARE = Device(id="dev-2")


@pytest.mark.parametrize(
    ("conditions", "meant"),
    [
        ({}, True),
        ({"site_ids": "site-1"}, True),
        ({"site_ids": ["site-0", "site-1"]}, True),
        ({"site_ids": "site-0"}, False),
        ({"types": "lua"}, True),
        ({"types": ["GATEWAY", "NATIVE"]}, False),
        ({"roles": "owner"}, True),
        ({"roles": "VENDOR"}, False),
        ({"statuses": "online"}, True),
        ({"statuses": "OFFLINE"}, False),
        ({"slugs": ["boiler-07", "x"]}, True),
        ({"names": "Boiler 07"}, False),
        ({"site_names": "Barn"}, True),
        ({"site_names": "Shed"}, False),
        ({"blueprint_ids": "bp-1"}, True),
        ({"blueprint_ids": "bp-2"}, False),
        ({"profiles": ["energy.boiler"]}, True),
        ({"profiles": ["energy"]}, False),
        ({"alerts": ["no_data", "overheat"]}, True),
        ({"alerts": "no_data"}, False),
        ({"properties": "fw_ver<1.10"}, False),
        ({"properties": "fw_ver >= 1.9"}, True),
        ({"properties": ["fw_ver>1.9", "phases=3.0"]}, True),
        ({"properties": ["fw_ver>1.9", "phases!=3"]}, False),
        ({"properties": "vendor=Acme & Sons"}, True),
        ({"properties": "vendor!=Acme"}, True),
        ({"properties": "vendor>1"}, False),
        ({"properties": "serial!=1"}, False),
        ({"name_matches": r"^Boiler \d+"}, True),
        ({"name_matches": "boiler"}, False),
        ({"name_matches": "(?i)boiler", "types": "LUA", "site_ids": "site-1"}, True),
        ({"name_matches": "(?i)boiler", "types": "LUA", "site_ids": "site-2"}, False),
    ],
)
def test_every_condition_that_is_set_must_be_met(conditions: dict[str, Any], meant: bool) -> None:
    assert (Selection(**conditions).match(BOILER) is not None) is meant


def test_a_device_without_a_field_meets_only_an_unknown_status() -> None:
    for condition in ({"types": "LUA"}, {"roles": "OWNER"}, {"site_ids": "x"}):
        assert Selection(**condition).match(BARE) is None
    assert Selection(name_matches="").match(BARE) is None
    assert Selection(statuses="UNKNOWN").match(BARE) == {}


def test_groups_come_by_number_and_by_name() -> None:
    selection = Selection(name_matches=r"(\d+) (?P<place>\w+)(x)?")
    assert selection.match(BOILER) == {
        "0": "07 Riga",
        "1": "07",
        "2": "Riga",
        "place": "Riga",
        "3": None,
    }
    assert selection.groups == {"0", "1", "2", "3", "place"}


def test_connectivity_is_requested_only_if_needed() -> None:
    assert Selection(types="LUA").expand == ()
    assert Selection(statuses="ONLINE").expand == ("connectivity",)


def test_each_condition_requests_the_field_that_it_needs() -> None:
    needing = Selection(alerts="a", properties="p=1", site_names="s", statuses="ONLINE")
    assert needing.expand == ("connectivity", "raised_alert_names", "properties", "site")
    assert Selection(slugs="a", profiles="p", blueprint_ids="b").expand == ()
    with pytest.raises(ConfigurationError, match="is not a condition on a property; write NAME"):
        Selection(properties="fw_ver")
    with pytest.raises(ConfigurationError, match="'vendor>Acme' is never met: > compares versions"):
        Selection(properties="vendor>Acme")


@pytest.mark.parametrize("pattern", ["(", "(?P<name>x)", "(?P<site_id>x)"])
def test_an_invalid_expression_or_a_hidden_field_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="name_matches"):
        Selection(name_matches=pattern)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{name}", "Boiler 07 Riga"),
        ("{slug}-{site_id}-{id}", "boiler-07-site-1-dev-1"),
        ("{place} boiler {1}", "Riga boiler 07"),
        ("{{{id}}}", "{dev-1}"),
        ("plain", "plain"),
        ("ä{1}→", "ä07→"),
    ],
)
def test_a_template_is_filled_in(text: str, filled: str) -> None:
    groups = Selection(name_matches=r"(\d+) (?P<place>\w+)").match(BOILER)
    assert groups is not None
    assert Template(text).render(BOILER, groups) == filled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "}",
        "{}",
        "{name",
        "name}",
        "{name.__class__}",
        "{name[0]}",
        "{name!r}",
        "{name:>10}",
        "{ name }",
        "{{name}",
        "{na-me}",
        "{{{}}}",
        "{name{id}}",
        "{123}",
    ],
)
def test_a_template_understands_nothing_else(text: str) -> None:
    with pytest.raises(ConfigurationError, match="template"):
        Template(text)


@given(st.text())
def test_no_text_makes_a_template_reach_beyond_its_names(text: str) -> None:
    try:
        template = Template(text)
    except ConfigurationError:
        return
    known = {"id": "dev-1", "name": "N", "slug": "s", "site_id": "w"}
    if template.fields <= known.keys():
        # Every template that our formatter accepts gives the same text as str.format.
        assert template.render(Device(**known), {}) == text.format(**known)  # type: ignore[arg-type]  # test data


def test_a_missing_field_is_an_error_and_not_an_empty_name() -> None:
    with pytest.raises(ConfigurationError, match="no slug"):
        Template("{slug}-x").render(BARE, {})
    groups = Selection(name_matches="(Boiler)|(Pump)").match(BOILER)
    assert groups is not None
    with pytest.raises(ConfigurationError, match="no 2"):
        Template("{2}").render(BOILER, groups)


def test_a_change_returns_its_operations_in_order() -> None:
    change = Change(
        selection=Selection(name_matches=r"(\d+)"),
        name="B{1}",
        slug="{slug}-new",
        blueprint_id="bp-2",
        protocol="mqtts",
    )
    groups = change.selection.match(BOILER)
    assert groups is not None
    assert change.operations(BOILER, groups) == (
        UpdateDevice(device_id="dev-1", name="B07", slug="boiler-07-new"),
        AssignBlueprint(device_id="dev-1", blueprint_id="bp-2"),
        GenerateConfig(device_id="dev-1", protocol="MQTTS"),
    )
    deletion = Change(selection=Selection(), delete=True)
    assert deletion.operations(BOILER, {}) == (DeleteDevice(device_id="dev-1"),)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"delete": True, "name": "x"},
        {"delete": True, "blueprint_id": "bp-2"},
        {"name": "{place}"},
        {"slug": "{1}"},
        {"name": "{blueprint_id}"},
    ],
)
def test_a_change_that_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Change(selection=Selection(), **arguments)
