"""The operations on configurations: requests, comparison by value, undo, and checks before I/O."""

from pathlib import Path
from typing import Any

import pytest

from enapter_async.concealment import Secret
from enapter_async.converter import structure, unstructure
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.models.devices import AccessRole, Device
from enapter_async.operation import Operation, RequestParts, Target
from enapter_async.operations.configuration import (
    GetConfiguration,
    ResetConfiguration,
    UpdateConfiguration,
)
from enapter_async.operations.devices import ListDevices

PATH = ("devices", "d1", "configuration", "network")
MANIFEST = {
    "configuration": {
        "network": {
            "access_level": "INSTALLER",
            "parameters": {
                "port": {"type": "integer", "default": 502, "required": True},
                "host": {"type": "string", "required": True},
                "tags": {"type": "array_of_strings"},
                "token": {"type": "string", "sensitive": True},
            },
        }
    }
}
INSTALLER = Device(id="d1", authorized_role=AccessRole("INSTALLER"), manifest=MANIFEST)


def update(**fields: Any) -> UpdateConfiguration:
    return UpdateConfiguration(device_id="d1", group="network", **fields)


def values(**given: Any) -> ConfigurationValues:
    return ConfigurationValues(given)


@pytest.mark.parametrize(
    ("operation", "request_parts"),
    [
        (GetConfiguration(device_id="d1", group="network"), RequestParts("GET", PATH)),
        (
            GetConfiguration(device_id="d1", group="network", names=["port", "host"]),
            RequestParts("GET", PATH, (("param_names", "port,host"),)),
        ),
        (
            update(set={"port": 8502}, reset=["host"]),
            RequestParts("PATCH", PATH, (), {"set": {"port": 8502}, "reset": ["host"]}),
        ),
        (update(reset=["host"]), RequestParts("PATCH", PATH, (), {"reset": ["host"]})),
        (
            ResetConfiguration(device_id="d1", site_id="s1", group="network"),
            RequestParts("POST", ("sites", "s1", *PATH, "reset_all")),
        ),
    ],
)
def test_an_operation_sends_what_the_api_page_says(
    operation: Operation[Any], request_parts: RequestParts
) -> None:
    assert operation.request() == request_parts
    assert operation_from_json(operation_to_json(operation)) == operation
    site = operation.target().site_id
    assert operation.target() == Target("device", "d1", site, part="configuration.network")
    assert operation.proven_by() == ListDevices(site_id=site, limit=1)
    hash(operation)


@pytest.mark.parametrize(
    ("wanted", "shown", "held"),
    [
        ({"port": 502}, {"port": 502.0, "host": "h"}, True),
        ({"port": 1}, {"port": True}, False),
        ({"port": True}, {"port": 1}, False),
        ({"tags": ["a", 1]}, {"tags": ["a", 1.0]}, True),
        ({"tags": {"a": [1]}}, {"tags": {"a": [True]}}, False),
        ({"port": 502}, {}, False),
    ],
)
def test_numbers_are_compared_by_value_and_never_with_booleans(
    wanted: dict[str, Any], shown: dict[str, Any], *, held: bool
) -> None:
    assert update(set=wanted).holds(ConfigurationValues(shown)) is held
    assert (update(set=wanted).differs(ConfigurationValues(shown)) == "") is held
    assert not update(set=wanted).holds(None)


def test_a_reset_holds_if_it_is_the_default_or_absent() -> None:
    reset = update(reset=["port", "host"])
    assert reset.holds(values())
    assert not reset.holds(values(port=502)), "nothing says what the default is"
    assert reset.differs(values(port=502)) == ""
    known = reset.prepared(INSTALLER)
    assert known.holds(values(port=502))
    assert not known.holds(values(port=503))
    assert known.differs(values(port=503)) == "port is 503, but 502 was requested"
    whole = ResetConfiguration(device_id="d1", group="network")
    assert not whole.holds(values(port=502))
    assert whole.prepared(INSTALLER).holds(values(port=502))
    assert not whole.prepared(INSTALLER).holds(values(port=502, host="h"))


def test_an_undo_sets_old_values_back_and_resets_what_was_absent() -> None:
    asked = update(set={"port": 8502, "host": "h"}, secrets={"token": "env:T"}, reset=["tags"])
    assert asked.undo(values(port=502, tags=["a"])) == update(
        set={"port": 502, "tags": ["a"]}, reset=["host"]
    )
    assert update(secrets={"token": "env:T"}).undo(values()) is None
    reset = ResetConfiguration(device_id="d1", group="network").prepared(INSTALLER)
    assert reset.undo(values(port=1, host="h")) == update(
        set={"port": 1, "host": "h"}, reset=["tags", "token"]
    )


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        (update(set={"port": 8502, "host": "h"}), ""),
        (update(set={"port": "8502"}), "port must be of type integer, not string"),
        (update(set={"pot": 1}), "network has no parameter 'pot'; it has port, host, tags, token"),
        (update(reset=["host"]), "host is required and has no default, so it cannot be reset"),
        (update(secrets={"token": "env:T"}), ""),
        (
            UpdateConfiguration(device_id="d1", group="other", set={"a": 1}),
            "the device has no configuration group 'other'; it has network",
        ),
    ],
)
def test_a_manifest_shows_what_would_be_refused(operation: Any, problem: str) -> None:
    assert operation.obstacle(INSTALLER) == problem
    assert operation.obstacle(Device(id="d1")) == "", "without a manifest nothing is known"


def test_the_role_must_reach_the_access_level_of_the_group() -> None:
    owner = Device(id="d1", authorized_role=AccessRole("OWNER"), manifest=MANIFEST)
    told = "it needs the role INSTALLER, but this token's role there is OWNER"
    assert update(set={"port": 1}).obstacle(owner) == told


def test_sensitive_values_are_shown_nowhere_and_kept_in_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("S3CRET-FILE\n")
    monkeypatch.setenv("T", "S3CRET-ENV")
    held = update(secrets={"token": Secret('"S3CRET-HELD"')})
    named = update(secrets={"token": "env:T", "other": f"file:{file}"}, set={"host": "S3CRET"})
    assert held.request().body == {"set": {"token": "S3CRET-HELD"}}
    assert named.request().body == {
        "set": {"host": "S3CRET", "token": "S3CRET-ENV", "other": "S3CRET-FILE"}
    }
    written = [repr(held), repr(named), str(named.claims()), repr(values(token="S3CRET"))]
    written.append(held.differs(values(token="S3CRET-OTHER")))
    assert "S3CRET" not in "".join(written).replace("'host': 'S3CRET'", "")
    assert operation_to_json(named)["secrets"] == {"token": "env:T", "other": f"file:{file}"}
    with pytest.raises(ConfigurationError, match="holds a secret, which no file may hold"):
        operation_to_json(held)
    with pytest.raises(ConfigurationError, match="token is sensitive") as caught:
        update(set={"token": "S3CRET"}).prepared(INSTALLER)
    assert "S3CRET" not in str(caught.value)
    assert held.holds(values(token="S3CRET-HELD"))
    monkeypatch.delenv("T")
    with pytest.raises(ConfigurationError, match="needs the environment variable T"):
        named.request()
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        update(secrets={"token": "file:/nowhere/at/all"}).request()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "it names none"),
        ({"set": {"a": 1}, "reset": ["a"]}, "a must be in only one of set, secrets and reset"),
        ({"set": {"a": None}}, "set.a is null; use reset"),
        ({"set": {"a": object()}}, "set.a is not a value that JSON can represent"),
        ({"set": {"a": float("nan")}}, "set.a is not a value that JSON can represent"),
        ({"set": {"1a": 1}}, "each name in set must be a name of letters"),
        ({"set": 5}, "set must be an object"),
        ({"reset": "abc"}, "reset must be a list of names"),
        ({"secrets": {"a": "S3CRET"}}, "secrets.a must be the location of the value"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        update(**fields)
    assert "S3CRET" not in str(caught.value)


def test_values_are_a_mapping_in_both_directions() -> None:
    read = structure({"a": [1], "b": None}, ConfigurationValues)
    assert dict(read) == unstructure(read) == {"a": [1], "b": None}
    assert read == ConfigurationValues({"a": [1], "b": None})
    hash(read)
