"""The arguments of commands: the rules for values, and the check against a device's manifest."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from enapter_async.errors import ArgumentError
from enapter_async.models.commands import ExecutionsOrder, ExecutionState
from enapter_async.models.devices import Device
from enapter_async.models.manifest import Manifest
from enapter_async.operation import Unset
from enapter_async.operations import arguments
from enapter_async.operations.on_device import too_low

_COMMANDS_TOLD: Final = 10


def command_name(value: str) -> str:
    """Return the name or the alias of a command."""
    text = arguments.text("name", value)
    if isinstance(text, str) and text and "," not in text:
        return text
    raise ArgumentError(
        f"name must be the name of a command, without commas; got {arguments.shown(value)}"
    )


def command_names(value: Iterable[str]) -> tuple[str, ...]:
    """Return the names of commands, without duplicates."""
    return arguments.listed("names", value, "names", command_name)


def values(value: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return a copy of a command's arguments as a JSON object; a file may contain them as JSON."""
    try:
        given = {} if value is None else value
        text = given if isinstance(given, str) else json.dumps(given, allow_nan=False)
        found = json.loads(text, parse_constant=_no_constant)
    except (TypeError, ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    if isinstance(value, Mapping):
        for name, each in value.items():
            arguments.json_value(f"arguments[{arguments.shown(name)}]", each)
    raise ArgumentError(
        "arguments must be a JSON object of the command's arguments, such as"
        f' {{"delay": 5}}; got {arguments.shown(value)}'
    )


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def execution_id(value: str) -> str:
    """Return the id of an execution."""
    return arguments.identifier("execution_id", value)


def is_execution_id(value: object) -> bool:
    """Return whether a value is an id of an execution."""
    try:
        arguments.identifier("execution_id", value)
    except ArgumentError:
        return False
    return True


def device_ids(value: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of devices, without duplicates; a request separates them by commas."""
    return arguments.listed("device_ids", value, "ids", _listed_id)


def _listed_id(value: object) -> str:
    return arguments.identifier("device_ids", value)


def flag(value: bool | Unset) -> bool | Unset:
    """Return a boolean or `UNSET`."""
    if isinstance(value, bool | Unset):
        return value
    raise ArgumentError(f"ephemeral must be True or False; got {arguments.shown(value)}")


def states(value: Iterable[str]) -> tuple[ExecutionState, ...]:
    """Return the states by which to list executions; case is ignored."""

    def state(each: object) -> ExecutionState:
        return arguments.one_of("states", each, ExecutionState)

    return arguments.listed("states", value, "states", state)


def order(value: str) -> ExecutionsOrder:
    """Return an order of executions; upper and lower case are accepted."""
    return arguments.one_of("order", value, ExecutionsOrder)


def created_at_gte(value: datetime | None) -> datetime | None:
    """Return the earliest creation time of listed executions, in UTC, or None."""
    return None if value is None else arguments.moment("created_at_gte", value)


def created_at_lt(value: datetime | None) -> datetime | None:
    """Return the time before which listed executions were created, in UTC, or None."""
    return None if value is None else arguments.moment("created_at_lt", value)


def obstacle(state: Device, name: str, given: Mapping[str, Any]) -> str:
    """Return the reason why a device would refuse a command, according to its manifest, or "".

    If the manifest is unknown, no reason is returned.
    """
    if state.manifest is None:
        return ""
    manifest = Manifest(state.manifest)
    command = manifest.command(name)
    if command is None:
        known = ", ".join(sorted(manifest.commands)[:_COMMANDS_TOLD]) or "none"
        return f"its manifest has no command {arguments.shown(name)}; it has {known}"
    return too_low(state.authorized_role, command.access_level) or command.problem(given)
