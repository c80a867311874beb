"""The operations on commands: their requests, and what they make of arguments and answers."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from enapter_async.errors import ArgumentError
from enapter_async.models.commands import (
    CommandRequest,
    CommandResponse,
    Execution,
    ExecutionState,
)
from enapter_async.models.devices import AccessRole, Device
from enapter_async.operations.commands import (
    CreateExecution,
    ExecuteCommand,
    GetExecution,
    ListExecutions,
)

MANIFEST = {
    "commands": {
        "reboot": {"aliases": "restart"},
        "set": {
            "access_level": "owner",
            "implements": ["lib.control.set"],
            "arguments": {
                "seconds": {"type": "integer", "required": True, "min": 1, "max": 60},
                "mode": {"type": "string", "enum": ["eco", "full"]},
                "speed": {"type": "float", "required": True, "default": 1.5},
            },
        },
    }
}


def create(name: str = "reboot", **fields: Any) -> CreateExecution:
    return CreateExecution(device_id="dev-1", name=name, **fields)


def test_arguments_are_sent_as_an_object_and_ephemeral_only_if_it_is_set() -> None:
    assert create().request().body == {"name": "reboot", "arguments": {}}
    asked = create(arguments={"delay": 5}, ephemeral=False, site_id="site-1").request()
    assert asked.path == ("sites", "site-1", "devices", "dev-1", "command_executions")
    assert asked.body == {"name": "reboot", "arguments": {"delay": 5}, "ephemeral": False}
    blocking = ExecuteCommand(device_id="dev-1", name="reboot", expand_log=True).request()
    assert (blocking.path[-1], blocking.query) == ("execute_command", (("expand", "log"),))


def test_arguments_are_a_copy_and_equal_operations_have_one_hash() -> None:
    given = {"a": [1]}
    operation = create(arguments=given)
    given["a"].append(2)
    assert operation.arguments == {"a": [1]}
    assert operation == create(arguments='{"a": [1]}')
    assert hash(operation) == hash(create(arguments={"a": [1]}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"arguments": [1]},
        {"arguments": "{"},
        {"arguments": "NaN"},
        {"arguments": {"a": float("nan")}},
        {"name": ""},
        {"name": "a,b"},
        {"name": None},
        {"ephemeral": "yes"},
        {"device_id": "../x"},
    ],
)
def test_wrong_arguments_are_refused_before_any_io(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        CreateExecution(**{"device_id": "dev-1", "name": "reboot", **wrong})


def test_an_argument_that_json_cannot_represent_is_named() -> None:
    with pytest.raises(ArgumentError, match=r"^arguments\['until'\] is not a value that JSON can"):
        CreateExecution(
            device_id="dev-1", name="run", arguments={"delay": 5, "until": datetime.now(UTC)}
        )


def test_a_list_has_all_filters() -> None:
    zone = timezone(timedelta(hours=2))
    asked = ListExecutions(
        site_id="site-1",
        device_ids=["a", "b", "a"],
        states=["success", "UNSYNC"],
        names=("reboot",),
        created_at_gte=datetime(2026, 1, 1, 2, tzinfo=zone),
        created_at_lt=datetime(2026, 1, 2, tzinfo=UTC),
        order="created_at_desc",
        offset=50,
    ).request()
    assert asked.path == ("sites", "site-1", "commands", "executions")
    assert dict(asked.query) == {
        "device_id.in": "a,b",
        "state.in": "SUCCESS,UNSYNC",
        "name.in": "reboot",
        "created_at.gte": "2026-01-01T00:00:00Z",
        "created_at.lt": "2026-01-02T00:00:00Z",
        "order": "CREATED_AT_DESC",
        "offset": "50",
        "limit": "50",
    }
    of_device = ListExecutions(device_id="dev-1").request()
    assert of_device.path == ("devices", "dev-1", "command_executions")
    assert dict(of_device.query) == {"order": "CREATED_AT_ASC", "offset": "0", "limit": "50"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"device_id": None},
        {"device_ids": ["a"]},
        {"created_at_gte": datetime(2026, 1, 1)},  # noqa: DTZ001 - this is the point
        {"created_at_lt": "2026-01-01"},
        {"states": "SUCCESS"},
        {"states": ["DONE"]},
        {"names": "reboot"},
        {"order": "NEWEST"},
    ],
)
def test_wrong_filters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        ListExecutions(**{"device_id": "dev-1", **wrong})


def execution(state: str, **fields: Any) -> Execution:
    return Execution(id="e1", state=ExecutionState(state), **fields)


@pytest.mark.parametrize(
    ("state", "ended", "fault", "unknown"),
    [
        ("NEW", False, "", True),
        ("IN_PROGRESS", False, "", True),
        ("SUCCESS", True, "", True),
        ("ERROR", True, "execution e1 ended in ERROR", False),
        ("TIMEOUT", True, "the device did not answer in time", True),
        ("UNSYNC", True, "the gateway did not report its outcome", True),
        ("PAUSED", False, "", True),
    ],
)
def test_what_each_state_means(state: str, ended: bool, fault: str, unknown: bool) -> None:
    operation, found = create(), execution(state)
    assert found.ended is ended
    assert (operation.follow(found) is None) is ended
    told = operation.fault(found)
    assert fault in told
    assert bool(told) is bool(fault)
    assert operation.leaves_unknown(found) is unknown


def test_the_device_s_own_reason_is_in_the_fault() -> None:
    response = CommandResponse(payload={"reason": "it is\n\x1b[31mbusy"})
    told = create().fault(execution("ERROR", response=response))
    assert told == "execution e1 ended in ERROR: it is busy"


def test_an_id_leads_to_the_read_of_the_execution() -> None:
    assert create(site_id="s").follow("e1") == GetExecution(
        device_id="dev-1", site_id="s", execution_id="e1"
    )
    assert create().accepts("e1")
    assert not create().accepts("../e1")
    assert not create().accepts("")


def test_candidates_have_the_same_name_and_arguments() -> None:
    operation = create("restart", arguments={"delay": 5})

    def made(name: str, arguments: dict[str, Any] | None, real: str = "reboot") -> Execution:
        request = CommandRequest(name=name, manifest_name=real, arguments=arguments)
        return execution("SUCCESS", request=request)

    found = (
        made("restart", {"delay": 5}),
        made("restart", {"delay": 6}),
        made("reboot", {"delay": 5}, "restart"),
        made("stop", {"delay": 5}),
        execution("SUCCESS"),
    )
    assert operation.candidates(found) == [found[0], found[2]]
    assert create().candidates((made("reboot", None),)) == [made("reboot", None)]
    search = operation.reads()
    assert (search.device_id, search.names, str(search.order)) == (
        "dev-1",
        ("restart",),
        "CREATED_AT_DESC",
    )


@pytest.mark.parametrize(
    ("name", "arguments", "role", "why"),
    [
        ("reboot", {}, "USER", ""),
        ("restart", {}, "USER", ""),
        ("lib.control.set", {"seconds": 5}, "OWNER", ""),
        ("stop", {}, "OWNER", "its manifest has no command 'stop'; it has reboot, set"),
        ("reboot", {}, "READONLY", "it needs the role USER, but this token's role there is"),
        ("set", {"seconds": 5}, "USER", "it needs the role OWNER"),
        ("set", {}, "OWNER", "set needs the argument 'seconds'"),
        ("set", {"seconds": "5"}, "OWNER", "seconds must be of type integer, not string"),
        ("set", {"seconds": True}, "OWNER", "seconds must be of type integer, not boolean"),
        ("set", {"seconds": 0}, "OWNER", "seconds must be at least 1"),
        ("set", {"seconds": 61}, "OWNER", "seconds must be at most 60"),
        ("set", {"seconds": 5, "mode": "off"}, "OWNER", "mode must be one of 'eco', 'full'"),
        ("set", {"seconds": 5, "x": 1}, "OWNER", "set has no parameter 'x'"),
    ],
)
def test_a_plan_refuses_what_the_manifest_does_not_allow(
    name: str, arguments: dict[str, Any], role: str, why: str
) -> None:
    device = Device(id="dev-1", manifest=MANIFEST, authorized_role=AccessRole(role))
    told = create(name, arguments=arguments).obstacle(device)
    assert told.startswith(why)
    assert bool(told) is bool(why)


def test_an_unknown_manifest_refuses_nothing_and_an_odd_one_is_no_error() -> None:
    assert create("stop").obstacle(Device(id="dev-1")) == ""
    odd_ones: list[dict[str, Any]] = [
        {"commands": []},
        {"commands": {"stop": None}},
        {"commands": {"stop": 5}},
    ]
    for odd in odd_ones:
        create("stop").obstacle(Device(id="dev-1", manifest=odd))


def test_what_cannot_be_found_again_is_not_for_jobs() -> None:
    assert create(ephemeral=True).not_in_jobs()
    assert not create(ephemeral=False).not_in_jobs()
    assert ExecuteCommand(device_id="dev-1", name="reboot").not_in_jobs()
