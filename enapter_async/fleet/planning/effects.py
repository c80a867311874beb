"""Determines how an operation changes a state, and on which values of the state it depends."""

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from enapter_async.converter import structure, unstructure
from enapter_async.errors import ConfigurationError
from enapter_async.operation import Operation, Repeat, field_of

OperationT = TypeVar("OperationT", bound=Operation[Any])


def as_write(operation: Any) -> Operation[Any]:
    """Return the operation unchanged if it writes.

    Raises:
        ConfigurationError: it is not an operation that writes, and cannot be planned.
    """
    if isinstance(operation, Operation) and operation.repeat is not Repeat.READ:
        return operation
    raise ConfigurationError(
        f"a {type(operation).__name__} changes nothing, so it cannot be planned"
    )


def is_irreversible(operation: Operation[Any]) -> bool:
    """Return whether an operation cannot be undone: it deletes, or has a new effect each time."""
    return operation.repeat is Repeat.ONCE or operation.holds(None)


def before_of(operation: Operation[Any], state: Any) -> dict[str, Any]:
    """Return the guarded fields of a state as plain JSON; empty texts become None."""
    return {field: plain(field_of(state, field)) for field in operation.guards()}


def plain(value: Any) -> Any:
    """Return a state's value as plain JSON; an empty text becomes None, as in the API."""
    return None if value == "" else unstructure(value)


def effect(operation: Operation[Any], state: Any) -> Any:
    """Return the state after the operation; None if the object is gone, or is not known."""
    if operation.holds(None):
        return None
    if state is None:
        return operation.makes()
    changes = dict(operation.changes())
    if changes and isinstance(state, Mapping):
        after = {**state, **changes}
        kept = {name: value for name, value in after.items() if value is not None}
        return structure(kept, type(state))
    if not changes or not attrs.has(type(state)):
        return state
    return attrs.evolve(state, **changes)


def addressed(operation: OperationT, thing_id: str) -> OperationT:
    """Return the operation addressed by id instead of by slug.

    The name of the field for the id is derived from the noun, as in `device_id`.
    """
    field = f"{operation.target().noun}_id"
    value: Any = operation
    if field not in attrs.fields_dict(type(value)):
        return operation
    changed: OperationT = attrs.evolve(value, **{field: thing_id})
    return changed
