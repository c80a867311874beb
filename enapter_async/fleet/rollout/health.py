"""Is a device online? What the health gate of a rollout asks of each."""

from enapter_async._http.call import CallRecord
from enapter_async.errors import EnapterError
from enapter_async.fleet.item import Caller
from enapter_async.models.devices import ConnectivityStatus
from enapter_async.operations.devices import GetDevice


async def is_online(client: Caller, device_id: str) -> bool:
    """Say whether a device is online; changes nothing.

    A device that cannot be read is not known to be online. Safe to repeat.

    Source: API page "Fetch Devices", `expand=connectivity`.
    """
    reading = GetDevice(device_id=device_id, expand=("connectivity",))
    try:
        device = await client.call(reading, record=CallRecord(), patient=True)
    except EnapterError:
        return False
    return (
        device.connectivity is not None and device.connectivity.status == ConnectivityStatus.ONLINE
    )
