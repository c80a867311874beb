"""Is a device online? What the health gate of a rollout asks of each."""

from typing import Any

from enapter_async._http.call import CallRecord
from enapter_async.errors import EnapterError
from enapter_async.fleet.item import Caller
from enapter_async.models.devices import ConnectivityStatus
from enapter_async.operation import Operation
from enapter_async.operations.devices import GetDevice


async def is_online(client: Caller, operation: Operation[Any]) -> bool:
    """Say whether the device that an operation is about is online; changes nothing.

    A device that cannot be read is not known to be online. Safe to repeat.

    Source: API page "Fetch Devices", `expand=connectivity`.
    """
    subject = operation.subject()
    if subject is None:
        return False
    reading = GetDevice(device_id=subject, expand=("connectivity",))
    try:
        device = await client.call(reading, record=CallRecord(), patient=True)
    except EnapterError:
        return False
    return (
        device.connectivity is not None and device.connectivity.status == ConnectivityStatus.ONLINE
    )
