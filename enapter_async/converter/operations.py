"""Conversion between operations and the JSON objects that files hold."""

import functools
import operator
from collections.abc import KeysView, Mapping
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin

import attrs

from enapter_async.concealment import Secret
from enapter_async.converter import StructureError, rules, structure
from enapter_async.converter.leaves import JSONObject
from enapter_async.errors import ConfigurationError
from enapter_async.operation import Operation, Unset, operation_class
from enapter_async.operations.arguments import shown
from enapter_async.operations.kinds import named


def operation_to_json(operation: Operation[Any]) -> JSONObject:
    """Return an operation as a JSON object: its kind under `operation`, and the set fields.

    `operation_from_json` reads it back. Raises `ConfigurationError` if the class is not an
    attrs class, or has been replaced by another one with the same name.
    """
    kind = type(operation)
    if operation_class(operation.kind) is not kind or not attrs.has(kind):
        raise ConfigurationError(
            f"{kind.__name__} cannot be written to files: define it as an attrs class, and only "
            f"once"
        )
    row = {"operation": operation.kind, **rules.quick.get_unstructure_hook(kind)(operation)}
    for field, value in row.items():
        if isinstance(value, dict) and any(isinstance(each, Secret) for each in value.values()):
            raise ConfigurationError(
                f"{operation.kind}: {field} holds a secret, which no file may hold; say where it "
                "is instead, as env:VARIABLE or file:PATH"
            )
    return row


def operation_from_json(data: Mapping[str, Any]) -> Operation[Any]:
    """Read an operation from a file or from `operation_to_json`, with the usual checks.

    A name may be written with '-' as on the command line, and without its noun as in version
    0.1. Raises `ConfigurationError` for an unknown operation, an unknown or missing field, or
    a wrong value.
    """
    if not isinstance(data, (dict, Mapping)):  # a dict is recognised at once
        raise ConfigurationError(f"an operation must be an object; got {shown(data)}")
    name = data.get("operation")
    kind = (operation_class(name) or named(name)) if isinstance(name, str) else None
    if kind is None:
        raise ConfigurationError(
            f"operation must be the name of an operation, such as device.update; got {shown(name)}"
        )
    known, needed, typed = _fields(cast("Any", kind))
    fields = {**data}
    del fields["operation"]
    if not known >= fields.keys():
        unknown = next(field for field in fields if field not in known)
        raise ConfigurationError(f"{name} has the fields {', '.join(known)}; got {shown(unknown)}")
    for field in needed:
        if field not in fields:
            raise ConfigurationError(f"{name} needs the field {field}")
    for field in typed:
        if fields.get(field) is not None:
            fields[field] = _argument(name, field, typed[field], fields[field])
    return kind(**fields)


@functools.cache
def _fields(kind: Any) -> tuple[KeysView[str], tuple[str, ...], Mapping[str, Any]]:
    """Return all fields of an operation, those that it needs, and the types of unconverted ones."""
    known = attrs.fields_dict(kind)
    needed = tuple(name for name, field in known.items() if field.default is attrs.NOTHING)
    typed = {
        name: field.type
        for name, field in known.items()
        if field.converter is None and field.type is not None and not isinstance(field.type, str)
    }
    return known.keys(), needed, typed


def _argument(name: Any, field: str, kind: Any, value: Any) -> Any:
    """Read an argument whose class has no converter of its own by its type."""
    if get_origin(kind) in (UnionType, Union):
        members = tuple(each for each in get_args(kind) if each not in (Unset, NoneType))
        kind = functools.reduce(operator.or_, members)
    try:
        return structure(value, kind)
    except StructureError as error:
        problem = f"{name}: {field} {error}"
    raise ConfigurationError(problem)
