"""What an operation makes of a device, and which of its fields it depends on."""

from typing import Any, Final

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.models.devices import Device
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)

Change = UpdateDevice | DeleteDevice | GenerateConfig | AssignBlueprint

CHANGES: Final = (UpdateDevice, DeleteDevice, GenerateConfig, AssignBlueprint)
"""The operations that can be planned: all that write to a device."""

IDENTITY: Final = ("name", "slug", "site_id", "blueprint_id")
"""What must be as planned for what cannot be undone: a deletion, and a new configuration."""


def as_change(operation: Any) -> Change:
    """Return an operation back if it writes to a device.

    Raises:
        ConfigurationError: it is anything else, which cannot be planned.
    """
    if isinstance(operation, CHANGES):
        return operation
    raise ConfigurationError(
        f"a {type(operation).__name__} changes no device; it cannot be planned"
    )


def wanted(operation: Operation[Any]) -> dict[str, str]:
    """Return the fields that an operation sets, with what it sets them to.

    A field that is None or "" is left out: the API takes both for "leave it alone".
    """
    match operation:
        case UpdateDevice():
            given = {"name": operation.name, "slug": operation.slug}
            return {
                field: value for field, value in given.items() if isinstance(value, str) and value
            }
        case AssignBlueprint():
            return {"blueprint_id": operation.blueprint_id}
        case GenerateConfig():
            return {"protocol": str(operation.protocol)}
    return {}


def guarded(operation: Operation[Any]) -> tuple[str, ...]:
    """Name the fields of a device that must be as planned when the operation is sent."""
    if isinstance(operation, DeleteDevice | GenerateConfig):
        return IDENTITY
    return tuple(wanted(operation))


def before_of(operation: Operation[Any], state: Device) -> dict[str, str | None]:
    """Return the guarded fields of a device as plain JSON; a field that is empty is None."""
    return {field: getattr(state, field) or None for field in guarded(operation)}


def effect(operation: Operation[Any], state: Device | None) -> Device | None:
    """Return what a device is like after the operation; None where it is gone."""
    if state is None or isinstance(operation, DeleteDevice):
        return None
    if isinstance(operation, UpdateDevice | AssignBlueprint):
        changes: dict[str, Any] = dict(wanted(operation))
        return attrs.evolve(state, **changes)
    return state
