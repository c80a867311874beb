"""What an operation makes of a state, and which values of it it depends on."""

from typing import Any, TypeVar

import attrs

from enapter_async.converter import unstructure
from enapter_async.errors import ConfigurationError
from enapter_async.operation import Operation, Repeat

OperationT = TypeVar("OperationT", bound=Operation[Any])


def as_write(operation: Any) -> Operation[Any]:
    """Return an operation back if it writes.

    Raises:
        ConfigurationError: it is anything else, which cannot be planned.
    """
    if isinstance(operation, Operation) and operation.repeat is not Repeat.READ:
        return operation
    raise ConfigurationError(f"a {type(operation).__name__} changes nothing; it cannot be planned")


def is_irreversible(operation: Operation[Any]) -> bool:
    """Return whether nothing takes it back: it deletes, or does something new each time."""
    return operation.repeat is Repeat.ONCE or operation.holds(None)


def before_of(operation: Operation[Any], state: Any) -> dict[str, Any]:
    """Return the guarded fields of a state as plain JSON; a text that is empty is None."""
    return {field: plain(getattr(state, field, None)) for field in operation.guards()}


def plain(value: Any) -> Any:
    """Return a value of a state as JSON has it; a text that is empty is None, as for the API."""
    return None if value == "" else unstructure(value)


def effect(operation: Operation[Any], state: Any) -> Any:
    """Return what a state is like after the operation; None where the thing is gone."""
    if state is None or operation.holds(None):
        return None
    changes = dict(operation.changes())
    if not changes or not attrs.has(type(state)):
        return state
    return attrs.evolve(state, **changes)


def addressed(operation: OperationT, thing_id: str) -> OperationT:
    """Return the operation with the id in place of the slug that it was addressed by.

    The field that holds it is named by the noun, such as `device_id`.
    """
    field = f"{operation.target().noun}_id"
    value: Any = operation
    if field not in attrs.fields_dict(type(value)):
        return operation
    changed: OperationT = attrs.evolve(value, **{field: thing_id})
    return changed
