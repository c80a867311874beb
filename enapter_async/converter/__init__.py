"""Conversion between JSON values and the package's classes.

Reading is strict if a guess could be wrong: no type is ever coerced. It is lenient only if servers
are known to disagree: about old field names, times as numbers or text, missing, null and empty
values, and the case of enumerations. The rules are in `rules`; this module is the interface for the
rest of the package.

No error holds an input value, because it may be a secret.
"""

import functools
import operator
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Final, Union, cast, get_args, get_origin

import attrs
from cattrs import AttributeValidationNote

from enapter_async.concealment import Secret
from enapter_async.converter import rules
from enapter_async.converter.leaves import JSONObject, Mismatch, Step
from enapter_async.errors import ConfigurationError
from enapter_async.operation import Operation, Unset, operation_class, operation_kinds
from enapter_async.operations.arguments import shown
from enapter_async.operations.kinds import named

_FAILURES: Final = (Mismatch, KeyError, TypeError, ValueError, RecursionError)


class StructureError(ValueError):
    """A JSON value does not have the expected form.

    `path` is the place, such as `device.updated_at` or `devices[3].slug`; `reason` states what
    was expected and the kind of the value. Neither contains the value itself.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


@functools.cache
def structurer(kind: Any) -> Callable[[Any], Any]:
    """Return a function that converts JSON values to `kind`; it raises as `structure` does."""
    quick = rules.quick.get_structure_hook(NoneType if kind is None else kind)

    def read(data: Any) -> Any:
        try:
            return quick(data, kind)
        except _FAILURES:
            problem = _diagnose(data, kind)
        # Neither the error's context nor this frame, which is in its traceback, may hold the value.
        del data
        raise problem

    return read


def structure(data: Any, kind: Any) -> Any:
    """Convert a JSON value to `kind`, such as `Device` or `tuple[Device, ...]`.

    Raises `StructureError` if it does not fit; `path` is relative to `data`. A pure function;
    plain JSON fields are not copied.
    """
    problem: StructureError
    try:
        return structurer(kind)(data)
    except StructureError as error:
        problem = error.with_traceback(None)
    del data
    raise problem


def _diagnose(data: Any, kind: Any) -> StructureError:
    """Read the value again with full checks; return the place and the reason of the misfit."""
    try:
        rules.exact.structure(data, kind)
    except Exception as error:  # noqa: BLE001  # cattrs raises groups of any errors
        return _first_cause(error)
    return StructureError("", "cannot be read")


def _first_cause(error: BaseException) -> StructureError:
    path = ""
    while True:
        for note in reversed(getattr(error, "__notes__", ())):
            if isinstance(note, Step):
                path += note
            elif isinstance(note, AttributeValidationNote):
                path += f".{note.name}"
        if not isinstance(error, BaseExceptionGroup):
            break
        error = error.exceptions[0]
    if isinstance(error, Mismatch):
        reason = str(error)
    elif isinstance(error, RecursionError):
        reason = "is nested too deeply"
    else:
        reason = "is missing" if isinstance(error, KeyError) else "cannot be read"
    return StructureError(path.removeprefix("."), reason)


def unstructure(value: Any) -> Any:
    """Convert a model, or a tuple of models, to plain JSON values that `structure` reads back.

    Fields that have their default are left out. Times become RFC 3339 text in UTC. Secrets are
    included, because a credentials file needs them: be careful with the result.
    """
    return rules.quick.unstructure(value)


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
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"an operation must be an object; got {shown(data)}")
    name = data.get("operation")
    kind = named(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigurationError(
            f"operation must be one of {', '.join(operation_kinds())}; got {shown(name)}"
        )
    known = attrs.fields_dict(cast("type[attrs.AttrsInstance]", kind))
    fields = {field: value for field, value in data.items() if field != "operation"}
    for field in fields:
        if field not in known:
            raise ConfigurationError(
                f"{name} has the fields {', '.join(known)}; got {shown(field)}"
            )
    for field, attribute in known.items():
        if attribute.default is attrs.NOTHING and field not in fields:
            raise ConfigurationError(f"{name} needs the field {field}")
    return kind(**{field: _argument(name, known[field], fields[field]) for field in fields})


def _argument(name: Any, field: "attrs.Attribute[Any]", value: Any) -> Any:
    """Read an argument with its class's own converter, or by its type if there is none."""
    kind = field.type
    if field.converter is not None or value is None or kind is None or isinstance(kind, str):
        return value
    if get_origin(kind) in (UnionType, Union):
        members = tuple(each for each in get_args(kind) if each not in (Unset, NoneType))
        kind = functools.reduce(operator.or_, members)
    try:
        return structure(value, kind)
    except StructureError as error:
        problem = f"{name}: {field.name} {error}"
    raise ConfigurationError(problem)
