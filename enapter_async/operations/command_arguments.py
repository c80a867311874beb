"""The arguments of commands: the rules for values, and the check against a device's manifest."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
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
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(f"names must be a list of names; got {arguments.shown(value)}")
    return tuple(dict.fromkeys(command_name(each) for each in value))


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
    """Return the ids or slugs of devices, without duplicates."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(f"device_ids must be a list of ids; got {arguments.shown(value)}")
    return tuple(dict.fromkeys(arguments.identifier("device_ids", each) for each in value))


def flag(value: bool | Unset) -> bool | Unset:
    """Return a boolean or `UNSET`."""
    if isinstance(value, bool | Unset):
        return value
    raise ArgumentError(f"ephemeral must be True or False; got {arguments.shown(value)}")


def states(value: Iterable[str]) -> tuple[ExecutionState, ...]:
    """Return the states by which to list executions; case is ignored."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(f"states must be a list of states; got {arguments.shown(value)}")
    known = tuple(str(each) for each in ExecutionState.known())
    named = [str(each).upper() for each in value]
    return tuple(ExecutionState(each) for each in arguments.names("states", named, known))


def order(value: str) -> ExecutionsOrder:
    """Return an order of executions; upper and lower case are accepted."""
    found = ExecutionsOrder(str(value))
    if found in ExecutionsOrder.known():
        return found
    known = " or ".join(ExecutionsOrder.known())
    raise ArgumentError(f"order must be {known}; got {arguments.shown(value)}")


def created_at_gte(value: datetime | None) -> datetime | None:
    """Return the earliest creation time of listed executions, in UTC, or None."""
    return _moment("created_at_gte", value)


def created_at_lt(value: datetime | None) -> datetime | None:
    """Return the time before which listed executions were created, in UTC, or None."""
    return _moment("created_at_lt", value)


def _moment(field: str, value: object) -> datetime | None:
    """Return an aware time in UTC; a naive one is refused, because its zone would be a guess."""
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    got = "a time without a zone" if isinstance(value, datetime) else arguments.shown(value)
    raise ArgumentError(f"{field} must be a datetime with a time zone, such as UTC; got {got}")


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
