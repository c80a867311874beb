"""The check of an operation on a device against the device's manifest, before it is sent."""

from typing import Any, TypeVar

from enapter_async.api.executor import Executor
from enapter_async.errors import ArgumentError
from enapter_async.models.devices import Device
from enapter_async.operation import described
from enapter_async.operations.devices import GetDevice
from enapter_async.operations.on_device import OnDevice

OperationT = TypeVar("OperationT", bound=OnDevice[Any])


async def checked(executor: Executor, operation: OperationT) -> tuple[OperationT, Device]:
    """Read the device; return the operation, completed from its manifest, and the device.

    The operation gets what a plan would add, such as the defaults of parameters that it resets.

    Raises:
        ArgumentError: the device would refuse it, according to its manifest and the token's role.
    """
    reading = GetDevice(
        device_id=operation.device_id, site_id=operation.site_id, expand=operation.plan_expand
    )
    device = await executor.execute(reading)
    prepared: OperationT = operation.prepared(device)
    if reason := prepared.obstacle(device):
        raise ArgumentError(f"{described(operation)} was not sent: {reason}")
    return prepared, device
