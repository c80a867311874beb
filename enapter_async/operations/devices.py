"""The operations on devices: one frozen class for each endpoint.

Every argument is checked when the value is built, before any I/O. A device is addressed
by its id or its slug.

Source: API page, "Device Management"; reading and listing: "Fetch Devices".
"""

import contextlib
from typing import Any, ClassVar, Final, TypeVar

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.configs import CommunicationConfig, MQTTProtocol
from enapter_async.models.devices import AccessRole, CommunicationType, Device
from enapter_async.operation import (
    MIB,
    UNSET,
    Answer,
    Operation,
    Repeat,
    RequestParts,
    Target,
    Unset,
)
from enapter_async.operations import device_arguments
from enapter_async.operations.arguments import is_uuid
from enapter_async.operations.on_device import IDENTITY, OnDevice, too_low
from enapter_async.operations.pages import (
    LARGEST_PAGE,
    LARGEST_PAGE_BYTES,
    Page,
    limit_argument,
    offset_argument,
)

T = TypeVar("T")

_NO_CONFIG: Final = (CommunicationType.UCM_LUA, CommunicationType.UCM_EMBEDDED)
_STAMP: Final = "updated_at"
_DEVICE: Final[Answer[Device]] = Answer(key="device", type=Device, max_bytes=MIB, stamp=_STAMP)


def _owner_only(state: Device) -> str:
    return too_low(state.authorized_role, AccessRole.OWNER)


def _expand_query(expand: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return (("expand", ",".join(expand)),) if expand else ()


@attrs.frozen(kw_only=True)
class GetDevice(OnDevice[Device]):
    """Read one device; `expand` names the fields of `EXPANDABLE` to include.

    Changes nothing, so it is safe to repeat.

    Source: API page "Fetch Devices", `GET devices/{device_id}`.
    """

    kind: ClassVar[str] = "device.get"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Device]] = _DEVICE

    expand: tuple[str, ...] = attrs.field(default=(), converter=device_arguments.expand)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="GET", path=self.path(), query=_expand_query(self.expand))


@attrs.frozen(kw_only=True)
class ListDevices(Page[Device]):
    """Read one page of devices, ordered by id: of one site, or of the whole account.

    `offset` is how many devices to skip, `limit` (1 to 50) how many to return at most; past
    the last device the result is the empty tuple. Changes nothing, so it is safe to repeat.

    Source: API page "Fetch Devices", `GET devices` and `GET sites/{site_id}/devices`.
    """

    kind: ClassVar[str] = "device.list"
    answer: ClassVar[Answer[tuple[Device, ...]]] = Answer(
        key="devices",
        type=tuple[Device, ...],
        default=(),
        max_bytes=LARGEST_PAGE_BYTES,
        stamp=_STAMP,
    )

    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)
    expand: tuple[str, ...] = attrs.field(default=(), converter=device_arguments.expand)
    # Here again, because journals know an operation by its fields in this order.
    offset: int = attrs.field(default=0, converter=offset_argument)
    limit: int = attrs.field(default=LARGEST_PAGE, converter=limit_argument)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        site = () if self.site_id is None else ("sites", self.site_id)
        return RequestParts(
            method="GET", path=(*site, "devices"), query=_expand_query(self.expand) + self.paging()
        )

    def proven_by(self) -> Operation[Any] | None:
        """Return a page of the same site, or of the account."""
        return self.proof if self.site_id is None else ListDevices(site_id=self.site_id, limit=1)

    def target(self) -> Target:
        """Return the list of the site's devices, or of the account's, as the target."""
        return Target("device", site_id=self.site_id)

    def max_bytes(self) -> int:
        """Return 64 KiB for each requested device, or 1 MiB with its manifest; at most 4 MB."""
        each = MIB if "manifest" in self.expand else self.object_bytes
        return min(self.limit * each, LARGEST_PAGE_BYTES)


@attrs.frozen(kw_only=True)
class UpdateDevice(OnDevice[Device]):
    """Set the name of a device, its slug, or both; a field that is `UNSET` is not changed.

    None is sent as null. The API treats null and "" like a missing field, so neither clears
    anything. Sets an absolute state, so it is safe to repeat.

    Source: API page, "Update Device"; needs the role OWNER.
    """

    kind: ClassVar[str] = "device.update"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Device]] = _DEVICE

    name: str | Unset | None = attrs.field(default=UNSET, converter=device_arguments.name)
    slug: str | Unset | None = attrs.field(default=UNSET, converter=device_arguments.slug)

    def __attrs_post_init__(self) -> None:
        if self.name is UNSET and self.slug is UNSET:
            raise ArgumentError("an update must set name, slug or both; it sets neither")

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        body: dict[str, str | None] = {}
        if self.name is not UNSET:
            body["name"] = self.name
        if self.slug is not UNSET:
            body["slug"] = self.slug
        return RequestParts("PATCH", self.path(), (), body)

    def changes(self) -> dict[str, str]:
        """Return the fields that are set; the API ignores a field that is None or ""."""
        changes = {}
        if isinstance(self.name, str) and self.name:
            changes["name"] = self.name
        if isinstance(self.slug, str) and self.slug:
            changes["slug"] = self.slug
        return changes

    def accepts(self, result: Device) -> bool:
        """Return whether the answer is about the requested device."""
        new_slug = self.slug is not UNSET and bool(self.slug)
        return self.is_at(result, new_slug=new_slug)

    def reads(self) -> GetDevice:
        """Return the operation that reads the device."""
        return GetDevice(device_id=self.device_id, site_id=self.site_id)

    def reads_moved(self) -> GetDevice | None:
        """Return the read by the slug that it sets; None without one, or if addressed by UUID."""
        slug = self.changes().get("slug")
        if slug is None or is_uuid(self.device_id):
            return None
        return GetDevice(device_id=slug, site_id=self.site_id)

    def holds(self, state: Device | None) -> bool:
        """Return whether the fields that it sets already have their values."""
        return (
            state is not None
            # The first test is whether it is set at all: evaluating `not UNSET` takes longer.
            and (self.name is UNSET or not self.name or state.name == self.name)
            and (self.slug is UNSET or not self.slug or state.slug == self.slug)
        )

    def pointless(self) -> str:
        """Return a reason if an empty field would have no effect, else ""."""
        for field in ("name", "slug"):
            value = getattr(self, field)
            if value is not UNSET and not value:
                return f"an empty {field} changes nothing: the API treats it as 'no change'"
        return ""

    def obstacle(self, state: Device) -> str:
        """Return a reason if the role is too low, else ""."""
        return _owner_only(state)

    def undo(self, before: Device) -> "UpdateDevice | None":
        """Return the update that restores the old values; None if none of them can be set.

        The API can set neither an empty value nor an invalid argument.
        """
        old: dict[str, str | Unset | None] = {}
        readers = {"name": device_arguments.name, "slug": device_arguments.slug}
        for field in self.changes():
            value = getattr(before, field)
            with contextlib.suppress(ArgumentError):
                old |= {field: readers[field](value)} if value else {}
        return UpdateDevice(device_id=before.id, site_id=self.site_id, **old) if old else None


@attrs.frozen(kw_only=True)
class DeleteDevice(OnDevice[None]):
    """Delete a device; the API refuses while devices that depend on it are running.

    Sets an absolute state, so it is safe to repeat: a deleted device stays deleted. It cannot be
    undone.

    Source: API page, "Delete Device"; needs the role OWNER.
    """

    kind: ClassVar[str] = "device.delete"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Device]] = Answer(key="device", type=Device, confirms=True)
    plan_expand: ClassVar[tuple[str, ...]] = ("communication",)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="DELETE", path=self.path())

    def reads(self) -> GetDevice:
        """Return the operation that reads the device."""
        return GetDevice(device_id=self.device_id, site_id=self.site_id)

    def holds(self, state: Device | None) -> bool:
        """Return whether the device is already gone."""
        return state is None

    def guards(self) -> tuple[str, ...]:
        """Return the fields that identify a device, because a deletion cannot be undone."""
        return IDENTITY

    def obstacle(self, state: Device) -> str:
        """Return a reason if the role is too low, else ""."""
        return _owner_only(state)

    def result_of(self, state: Device | None) -> None:
        """Return None, as a deletion does."""


@attrs.frozen(kw_only=True)
class AssignBlueprint(OnDevice[Device]):
    """Assign another blueprint to a device.

    Sets an absolute state, so it is safe to repeat.

    Source: API page, "Change Blueprint".
    """

    kind: ClassVar[str] = "device.assign_blueprint"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Device]] = _DEVICE

    blueprint_id: str = attrs.field(converter=device_arguments.blueprint_id)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(
            method="POST",
            path=self.path("assign_blueprint"),
            body={"blueprint_id": self.blueprint_id},
        )

    def reads(self) -> GetDevice:
        """Return the operation that reads the device."""
        return GetDevice(device_id=self.device_id, site_id=self.site_id)

    def needs(self) -> tuple[Target, ...]:
        """Return the blueprint."""
        return (Target("blueprint", self.blueprint_id),)

    def changes(self) -> dict[str, str]:
        """Return the blueprint that is set."""
        return {"blueprint_id": self.blueprint_id}

    def undo(self, before: Device) -> "AssignBlueprint | None":
        """Return the assignment of the old blueprint; None if there was none."""
        if not before.blueprint_id:
            return None
        return attrs.evolve(self, device_id=before.id, blueprint_id=before.blueprint_id)


@attrs.frozen(kw_only=True)
class GenerateConfig(OnDevice[CommunicationConfig]):
    """Generate a new MQTT configuration for a device; `protocol` is MQTT or MQTTS.

    The API page does not require a protocol; it is required here, because no default is documented.

    Not safe to repeat: each request that arrives creates new credentials, and no read shows
    whether one did. The API refuses devices that communicate via UCM_LUA or UCM_EMBEDDED.

    Source: API page, "Generate Device Configuration".
    """

    kind: ClassVar[str] = "device.generate_config"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[CommunicationConfig]] = Answer(
        key="config", type=CommunicationConfig, max_bytes=MIB, secret=True
    )
    plan_expand: ClassVar[tuple[str, ...]] = ("communication",)

    protocol: MQTTProtocol = attrs.field(converter=device_arguments.protocol)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(
            method="POST",
            path=self.path("generate_config"),
            body={"protocol": str(self.protocol)},
        )

    def claims(self) -> dict[str, str]:
        """Return the protocol: two protocols for one device contradict each other."""
        return {"protocol": str(self.protocol)}

    def guards(self) -> tuple[str, ...]:
        """Return the fields that identify a device, because a configuration cannot be undone."""
        return IDENTITY

    def obstacle(self, state: Device) -> str:
        """Return a reason if the communication type has no configuration, else ""."""
        way = None if state.communication is None else state.communication.type
        if way in _NO_CONFIG:
            return f"a device that communicates via {way} has no configuration of its own"
        return ""

    def differs(self, result: CommunicationConfig) -> str:
        """Return which protocol the configuration is for if it is not the requested one."""
        if result.mqtt_protocol == self.protocol:
            return ""
        return f"it is for {result.mqtt_protocol}, but {self.protocol} was requested"


@attrs.frozen(kw_only=True)
class GetManifest(OnDevice[dict[str, Any]]):
    """Read a device's manifest as a plain JSON object, for `Manifest`.

    Changes nothing, so it is safe to repeat.

    Source: API page, `GET devices/{device_id}/manifest`.
    """

    kind: ClassVar[str] = "device.get_manifest"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[dict[str, Any]]] = Answer(
        key="manifest", type=dict[str, Any], max_bytes=LARGEST_PAGE_BYTES
    )

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="GET", path=self.path("manifest"))


PROOF: Final = ListDevices(limit=1)
"""The read that shows that a base URL serves the API of devices."""
OnDevice.proof = ListDevices.proof = PROOF
