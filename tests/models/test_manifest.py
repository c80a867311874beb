"""A manifest as a view: it shows every declaration, and reading it cannot fail."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.models.devices import AccessRole
from enapter_async.models.manifest import Command, Manifest, Parameter

MANIFEST: dict[str, Any] = {
    "blueprint_spec": "device_compiled/3.0",
    "display_name": "Boiler",
    "implements": ["energy.pump"],
    "properties": {"fw_ver": {"type": "string", "access_level": "owner"}},
    "telemetry": {"power": {"type": "float"}},
    "alerts": {"overheat": {"severity": "error"}},
    "commands": {
        "reboot": {
            "aliases": ["restart"],
            "implements": "lib.reboot",
            "confirmation": {"title": "Sure?"},
            "arguments": {
                "delay": {"type": "integer", "min": 0, "max": 60, "required": True},
                "mode": {"type": "string", "enum": ["soft", "hard"]},
            },
        }
    },
    "configuration": {
        "network": {
            "access_level": "INSTALLER",
            "parameters": {
                "port": {"type": "integer", "default": 502, "required": True},
                "token": {"type": "string", "sensitive": True},
            },
        }
    },
}


def test_a_view_shows_what_is_declared() -> None:
    view = Manifest(MANIFEST)
    assert (view.display_name, view.implements) == ("Boiler", ("energy.pump",))
    assert view.properties["fw_ver"].access_level is AccessRole.OWNER
    assert view.telemetry["power"].access_level is AccessRole.READONLY
    assert view.alerts["overheat"].severity == "error"
    reboot = view.command("restart")
    assert reboot is not None
    assert reboot == view.command("reboot") == view.command("lib.reboot")
    assert view.command("dance") is None
    assert reboot.access_level is AccessRole.USER
    assert reboot.confirmation == {"title": "Sure?"}
    network = view.configuration["network"]
    assert network.access_level is AccessRole.INSTALLER
    port, token = network.parameters["port"], network.parameters["token"]
    assert (port.required, port.default, port.sensitive) == (True, 502, False)
    assert (token.required, token.default, token.sensitive) == (False, None, True)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"delay": 5, "mode": "soft"}, ""),
        ({"delay": 5.0}, ""),
        ({}, "reboot needs the argument 'delay'"),
        ({"delay": True}, "delay must be of type integer, not boolean"),
        ({"delay": None}, "delay must be of type integer, not null"),
        ({"delay": math.inf}, "delay must be of type integer, not float"),
        ({"delay": 61}, "delay must be at most 60"),
        ({"delay": -1}, "delay must be at least 0"),
        ({"delay": 1, "mode": "mild"}, "mode must be one of 'soft', 'hard'"),
        ({"delay": 1, "speed": 1}, "reboot has no parameter 'speed'; it has delay, mode"),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(
    arguments: dict[str, Any], problem: str
) -> None:
    assert Manifest(MANIFEST).commands["reboot"].problem(arguments) == problem


def test_a_type_of_a_newer_api_takes_any_value() -> None:
    assert Parameter("when", {"type": "datetime"}).problem(object()) == ""
    assert Parameter("tags", {"type": "array_of_strings"}).problem(["a", "b"]) == ""
    assert Parameter("tags", {"type": "array_of_strings"}).problem(["a", 1]) != ""


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
SECTIONS = ("properties", "telemetry", "alerts", "commands", "configuration", "implements")
KEYS = ("arguments", "parameters", "type", "enum", "min", "access_level", "aliases", "severity")


@given(st.dictionaries(st.sampled_from(SECTIONS), st.dictionaries(st.text(), ANY) | ANY) | ANY, ANY)
def test_no_manifest_can_fail(manifest: Any, value: Any) -> None:
    view = Manifest(manifest)
    hash(view)
    for section in (view.properties, view.telemetry, view.alerts):
        for each in section.values():
            assert isinstance(each.access_level, str)
            assert each.value_type is None or isinstance(each.value_type, str)
    for group in (*view.configuration.values(), *view.commands.values()):
        assert isinstance(group.problem({"a": value}), str)
    assert view.command("a") is None or isinstance(view.command("a"), Command)
    assert all(isinstance(each, str) for each in view.implements)


@given(st.dictionaries(st.sampled_from(KEYS), ANY), ANY)
def test_no_declaration_can_fail(declared: dict[str, Any], value: Any) -> None:
    assert isinstance(Parameter("a", declared).problem(value), str)
    assert isinstance(Command("a", declared).problem({"a": value}), str)
