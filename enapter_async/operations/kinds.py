"""The operations by their names in files.

An operation is registered by being defined, so this module imports all that the package
defines; those of a user are there once their own module is imported.
"""

from typing import Any, Final

from enapter_async.operation import Operation, operation_class
from enapter_async.operations import device_plans, devices

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
"""What version 0.1 called the operations, all of them on devices, and their kinds."""


OLD_NOUN: Final = device_plans.DEVICE.name
"""What files of version 0.1 are about where they do not say."""


def named(name: str) -> type[Operation[Any]] | None:
    """Return the operation that files name so, or None.

    A name may be written with '-' for '_', as on the command line, and an operation on
    devices by its bare verb, as version 0.1 did.
    """
    if operation_class(name) is None:
        name = name.replace("-", "_")
    return operation_class(OLD_NAMES.get(name, name))
