"""The operations by their names in files.

Defining an operation registers it, so this module imports all that the package defines; a
user's operations are available once their module is imported.
"""

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Final, Union, cast, get_args, get_origin

import attrs

from enapter_async.operation import Operation, Repeat, operation_class, operation_kinds
from enapter_async.operations import (
    commands,  # noqa: F401 - registers its operations
    device_noun,
    devices,
    logs,  # noqa: F401 - registers its operations
    provisioning,  # noqa: F401 - registers its operations
    rules,  # noqa: F401 - registers its operations
    sites,  # noqa: F401 - registers its operations
    units,
)
from enapter_async.operations.blueprints import NOT_IN_JOBS

UNITS: Final = units.UNITS
"""The units, whose names stand in files where those of operations do."""

OLD_NAMES: Final = {
    each.kind.partition(".")[2]: each.kind
    for each in (
        devices.GetDevice,
        devices.ListDevices,
        devices.UpdateDevice,
        devices.DeleteDevice,
        devices.GenerateConfig,
        devices.AssignBlueprint,
    )
}
"""The names of operations in version 0.1, all of them on devices, with their kinds."""


_REFUSED: Final = {"blueprint.upload": NOT_IN_JOBS}
"""Names that one may expect in a file, and why it cannot have them."""

OLD_NOUN: Final = device_noun.DEVICE.name
"""The noun of operations in files of version 0.1, which do not name one."""


def named(name: str) -> type[Operation[Any]] | None:
    """Return the operation class with this name in files, or None.

    A name may be written with '-' for '_', as on the command line, with capital letters, as by a
    spreadsheet, and an operation on devices by its verb alone, as in version 0.1.
    """
    if operation_class(name) is None:
        name = name.replace("-", "_").lower()
    return operation_class(OLD_NAMES.get(name, name))


def refusal_of(name: str) -> str:
    """Return why a file cannot have an operation that is expected under this name, or ""."""
    return _REFUSED.get(name.replace("-", "_"), "")


def writes(place: str = "") -> Iterator[type[Operation[Any]]]:
    """Yield the attrs classes of operations that write, from modules below `place`."""
    for kind in operation_kinds():
        found = operation_class(kind)
        if (
            found is not None
            and hasattr(found, "__attrs_attrs__")
            and found.repeat is not Repeat.READ
            and found.__module__.startswith(place)
        ):
            yield found


def is_text(kind: type[Operation[Any]], field: str) -> bool:
    """Return whether a field of an operation holds text; of other fields, a cell holds JSON."""
    declared = attrs.fields_dict(cast("Any", kind))[field].type
    members = get_args(declared) if get_origin(declared) in (UnionType, Union) else (declared,)
    classes = [get_origin(each) or each for each in members]
    return any(not isinstance(each, type) or issubclass(each, str) for each in classes)


def needs(kind: type[Operation[Any]]) -> frozenset[str]:
    """Return the names of the fields that an operation cannot do without."""
    fields = attrs.fields_dict(cast("Any", kind))
    return frozenset(name for name, each in fields.items() if each.default is attrs.NOTHING)


def fields_of(operations: Iterable[type[Operation[Any]]]) -> tuple[str, ...]:
    """Return the field names of operations, without duplicates, in order."""
    fields = (attrs.fields_dict(cast("Any", each)) for each in operations)
    return tuple(dict.fromkeys(name for each in fields for name in each))
