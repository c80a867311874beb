"""The client that reads and writes for a run, and what a reading shows."""

from typing import Any, Protocol, TypeVar

from enapter_async._http.call import CallRecord
from enapter_async.errors import EnapterError
from enapter_async.models.devices import ConnectivityStatus
from enapter_async.operation import Operation
from enapter_async.operations.devices import GetDevice

T = TypeVar("T")


class Caller(Protocol):
    """What a run needs of a client, and what `Client` is."""

    async def call(
        self, operation: Operation[T], *, record: CallRecord, patient: bool = False
    ) -> T:
        """Carry an operation out and fill `record`; raise what truly became of it."""
        ...


class KnownClient(Caller, Protocol):
    """What a journal must know of a client to recognise it again, and what `Client` is."""

    @property
    def base_url(self) -> Any:
        """Where the API is."""
        ...

    def fingerprint(self, salt: bytes) -> str:
        """Tell tokens apart without showing them."""
        ...


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
