"""What can be done with devices: `client.devices`.

Source: API page, "Device Management"; reading and listing: "Fetch Devices".
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

import attrs

from enapter_async.api.executor import Executor
from enapter_async.errors import ResponseTooLargeError
from enapter_async.models.configs import CommunicationConfig
from enapter_async.models.devices import Device
from enapter_async.operation import UNSET, Unset
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)


async def read_page(
    page: ListDevices, execute: Callable[[ListDevices], Awaitable[tuple[Device, ...]]]
) -> tuple[tuple[Device, ...], ListDevices]:
    """Read a page, halved until it is not too large; return it with the page that was read.

    Raises:
        ResponseTooLargeError: even one device of it is.
    """
    while True:
        try:
            return await execute(page), page
        except ResponseTooLargeError:
            smaller = page.smaller()
            if smaller is None:
                raise
        page = smaller


@attrs.frozen
class Devices:
    """The verbs for devices; each is one operation, carried out by the client.

    A device is addressed by its id or its slug. Every verb raises at the `await` (of
    `list`: at the first device): `ConfigurationError` for an argument that is wrong,
    before anything is sent; `APIError` and its subclasses where the API says no;
    `TransportError` or `DeadlineExceededError` where no answer came and a write was not
    done; `ResponseError` where the answer to a read cannot be used; and, of the verbs
    that write, `AmbiguousOutcomeError` where nobody can say whether it was done.
    """

    _executor: Executor

    async def get(self, device_id: str, *, expand: Iterable[str] = ()) -> Device:
        """Read one device.

        `expand` names fields to have as well: communication, connectivity, manifest,
        properties, raised_alert_names, site. Raises `NotFoundError` where there is no
        such device, or the caller may not see it. Changes nothing; safe to repeat.

        Source: API page "Fetch Devices", `GET devices/{device_id}`.
        """
        return await self._executor.execute(GetDevice(device_id=device_id, expand=expand))

    async def list(
        self, *, site_id: str | None = None, expand: Iterable[str] = ()
    ) -> AsyncGenerator[Device, None]:
        """Read devices one after the other: all of the account, or those of one site.

        They come lazily, page by page in the order of their ids, with `expand` as for
        `get`. No id is given twice. It is no snapshot: a device that is made or deleted
        meanwhile may be missing, or hide another. It ends at an empty page, and at a
        page that brings nothing new, which is what a server sends that knows no paging.
        To give no id twice it remembers each: about 0.15 GB for a million devices. A page of
        more than 4 MB is asked for again in smaller ones.

        Changes nothing; safe to repeat, and to leave early.

        Source: API page "Fetch Devices", `GET devices` and `GET sites/{site_id}/devices`.
        """
        page = ListDevices(site_id=site_id, expand=expand)
        seen: set[str] = set()
        while True:
            devices, page = await read_page(page, self._executor.execute)
            if not devices:
                return
            known = len(seen)
            for device in devices:
                if device.id not in seen:
                    seen.add(device.id)
                    yield device
            if len(seen) == known:
                return
            page = attrs.evolve(page, offset=page.offset + len(devices))

    async def update(
        self,
        device_id: str,
        *,
        name: str | Unset | None = UNSET,
        slug: str | Unset | None = UNSET,
    ) -> Device:
        """Set the name of a device, its slug, or both, and give the updated device.

        What is not given is left alone, and not sent. None is sent as null, which the API
        takes for "leave alone", too. Raises `ConfigurationError` where neither is given,
        `ConflictError` where the slug is taken. Safe to repeat: it sets an absolute state.

        Source: API page, "Update Device"; needs the role OWNER.
        """
        return await self._executor.execute(UpdateDevice(device_id=device_id, name=name, slug=slug))

    async def delete(self, device_id: str) -> None:
        """Delete a device.

        The API refuses while running devices hang below it: delete those first. Raises
        `NotFoundError` where there is no such device. Safe to repeat; nothing undoes it.
        Address it by its id: a slug may name another device by the time of a retry.

        Source: API page, "Delete Device"; needs the role OWNER.
        """
        await self._executor.execute(DeleteDevice(device_id=device_id))

    async def generate_config(self, device_id: str, *, protocol: str) -> CommunicationConfig:
        """Mint a new MQTT configuration, credentials included; `protocol` is MQTT or MQTTS.

        Not safe to repeat: each call makes new credentials, and whether the old ones live
        on is nowhere promised. They are in this answer and never again, so after
        `AmbiguousOutcomeError` some may exist that nobody has seen. The API refuses
        devices that communicate by UCM_LUA or UCM_EMBEDDED.

        Source: API page, "Generate Device Configuration".
        """
        return await self._executor.execute(GenerateConfig(device_id=device_id, protocol=protocol))

    async def assign_blueprint(self, device_id: str, *, blueprint_id: str) -> Device:
        """Return a device another blueprint, and give the updated device.

        Safe to repeat: it sets an absolute state.

        Source: API page, "Change Blueprint".
        """
        return await self._executor.execute(
            AssignBlueprint(device_id=device_id, blueprint_id=blueprint_id)
        )
