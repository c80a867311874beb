"""The methods for devices: `client.devices`.

Source: API page "Device Management", reading and listing: "Fetch Devices".
"""

from collections.abc import AsyncGenerator, Iterable
from functools import partial

import attrs

from enapter_async.api.executor import Executor
from enapter_async.api.paging import read_all
from enapter_async.api.streams import BUFFER, follow
from enapter_async.models.configs import CommunicationConfig
from enapter_async.models.devices import Device
from enapter_async.models.logs import DeviceEvent, Gap
from enapter_async.models.manifest import Manifest
from enapter_async.operation import UNSET, Unset
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    GetManifest,
    ListDevices,
    UpdateDevice,
)
from enapter_async.operations.logs import WatchDevices


@attrs.frozen
class Devices:
    """The methods for devices; each executes one operation.

    A device is addressed by its id or its slug, and with `site_id` through that site, where its
    slug is unique. Every method raises at the `await` (`list` at the first device):
    `ConfigurationError` for a wrong argument, before anything is sent;
    `APIError` and its subclasses if the API refuses; `TransportError` or
    `DeadlineExceededError` if no answer arrived and a write was not done; `ResponseError` if
    the answer to a read cannot be used. The methods that write also raise `ResultDiffersError`
    if the write was done but not as requested, and `AmbiguousOutcomeError` if it is unknown
    whether it was done.
    """

    _executor: Executor

    async def get(
        self, device_id: str, *, site_id: str | None = None, expand: Iterable[str] = ()
    ) -> Device:
        """Read one device.

        `expand` names fields to include: communication, connectivity, manifest, properties,
        raised_alert_names, site. Raises `NotFoundError` if there is no such device, or the
        caller may not see it. Changes nothing; safe to repeat.
        """
        return await self._executor.execute(
            GetDevice(device_id=device_id, site_id=site_id, expand=expand)
        )

    async def manifest(self, device_id: str, *, site_id: str | None = None) -> Manifest:
        """Read what a device's blueprint declares: commands, telemetry, alerts, configuration.

        The result is a view that never fails for a manifest of an unexpected form; its `json` is
        the manifest as sent. `get` and `list` with `expand=["manifest"]` return the same object
        as plain JSON, for `Manifest(device.manifest)`. Changes nothing; safe to repeat.
        """
        found = await self._executor.execute(GetManifest(device_id=device_id, site_id=site_id))
        return Manifest(found)

    def list(
        self, *, site_id: str | None = None, expand: Iterable[str] = ()
    ) -> AsyncGenerator[Device, None]:
        """Yield the devices of the account, or of one site.

        They are read lazily, page by page in the order of their ids, with `expand` as for
        `get`. No id is yielded twice. This is not a snapshot: a device that is created or
        deleted meanwhile may be missing, or cause another to be skipped. The listing ends at an
        empty page, or at a page without any new device, such as a server without paging sends. All
        ids are remembered, which takes about 0.15 GB for a million devices. A page larger than 4 MB
        is requested again as smaller pages.

        Changes nothing; safe to repeat, and to stop early.
        """
        return read_all(partial(ListDevices, site_id=site_id, expand=expand), self._executor)

    async def update(
        self,
        device_id: str,
        *,
        site_id: str | None = None,
        name: str | Unset | None = UNSET,
        slug: str | Unset | None = UNSET,
    ) -> Device:
        """Set the name of a device, its slug, or both, and return the updated device.

        A field that you omit is not sent and stays unchanged. None is sent as null, which the API
        also treats as "unchanged". Raises `ConfigurationError` if both are omitted,
        `ConflictError` if the slug is taken. Safe to repeat: it sets an absolute state.

        Needs the role OWNER.
        """
        return await self._executor.execute(
            UpdateDevice(device_id=device_id, site_id=site_id, name=name, slug=slug)
        )

    async def delete(self, device_id: str, *, site_id: str | None = None) -> None:
        """Delete a device.

        The API refuses this while devices that depend on it are running: delete those first. Raises
        `NotFoundError` if there is no such device. Safe to repeat; cannot be undone. Address the
        device by its id: its slug may belong to another device by the time of a retry.

        Needs the role OWNER.
        """
        await self._executor.execute(DeleteDevice(device_id=device_id, site_id=site_id))

    async def generate_config(
        self, device_id: str, *, protocol: str, site_id: str | None = None
    ) -> CommunicationConfig:
        """Generate a new MQTT configuration with credentials; `protocol` is MQTT or MQTTS.

        Not safe to repeat: each call creates new credentials, and the API does not document
        whether the old ones stay valid. They are returned only once, so after an
        `AmbiguousOutcomeError` credentials may exist that nobody has seen; if part of the answer
        arrived, the error's `answer` holds it. The API refuses devices that communicate via
        UCM_LUA or UCM_EMBEDDED.
        """
        return await self._executor.execute(
            GenerateConfig(device_id=device_id, site_id=site_id, protocol=protocol)
        )

    async def assign_blueprint(
        self, device_id: str, *, blueprint_id: str, site_id: str | None = None
    ) -> Device:
        """Assign another blueprint to a device, and return the updated device.

        Safe to repeat: it sets an absolute state.
        """
        return await self._executor.execute(
            AssignBlueprint(device_id=device_id, site_id=site_id, blueprint_id=blueprint_id)
        )

    def watch(
        self, device_ids: Iterable[str], *, site_id: str | None = None, buffer: int = BUFFER
    ) -> AsyncGenerator[DeviceEvent | Gap, None]:
        """Yield what up to 100 devices send (telemetry, properties, logs) until the client closes.

        A lost connection is reopened. What was missed meanwhile cannot be listed, so it is reported
        as a `Gap`, and so are items that were dropped because more than `buffer` waited to be read.
        Raises `AuthenticationError`, `PermissionDeniedError` or `NotFoundError` if the API refuses.
        """
        make = partial(WatchDevices, device_ids=device_ids, site_id=site_id)
        return follow(self._executor, make, buffer=buffer)
