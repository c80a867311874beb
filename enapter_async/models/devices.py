"""Models of a device as the API returns it.

Source: API page, "Device Management": the fields of `device`, expanded ones included.
"""

from datetime import datetime
from typing import Any, ClassVar, Self

import attrs

from enapter_async.models.enumerations import OpenEnum


class DeviceType(OpenEnum):
    """The kind of a device; an open enumeration (see `OpenEnum`)."""

    STANDALONE: ClassVar[Self]
    """Works on its own, without a gateway or other Enapter hardware."""
    GATEWAY: ClassVar[Self]
    """Connects an energy system to the Enapter Cloud."""
    EMBEDDED_UCM: ClassVar[Self]
    """The communication module built into an Enapter device."""
    HARDWARE_UCM: ClassVar[Self]
    """An Enapter Universal Communication Module (UCM)."""
    VIRTUAL_UCM: ClassVar[Self]
    """A UCM implemented in software."""
    LINK_MASTER_UCM: ClassVar[Self]
    """The master of an Enapter LINK."""
    LINK_SLAVE_UCM: ClassVar[Self]
    """A UCM behind the master of an Enapter LINK."""
    LUA: ClassVar[Self]
    """A third party's device, run by a Lua script on a UCM."""
    NATIVE: ClassVar[Self]
    """An Enapter product, such as an electrolyser or a dryer."""
    CHILD: ClassVar[Self]
    """A part of another device; returned by live servers, not listed on the API page."""
    UNDEFINED_DEVICE_TYPE: ClassVar[Self]
    """Unknown to the server; returned only by older servers."""


class AccessRole(OpenEnum):
    """The caller's permissions on a device, from least to most; an open enumeration."""

    READONLY: ClassVar[Self]
    USER: ClassVar[Self]
    OWNER: ClassVar[Self]
    """The lowest role that may update and delete a device."""
    INSTALLER: ClassVar[Self]
    VENDOR: ClassVar[Self]
    SYSTEM: ClassVar[Self]
    """Internal to Enapter; returned by live servers."""


class CommunicationType(OpenEnum):
    """How a device communicates with the Enapter EMS; an open enumeration."""

    MQTT_V1_PLAINTEXT: ClassVar[Self]
    """MQTT without encryption."""
    MQTT_V1_TLS: ClassVar[Self]
    """MQTT with encryption (MQTTS)."""
    MQTT_V1_LOCALHOST: ClassVar[Self]
    """MQTT with a server on the same machine."""
    UCM_LUA: ClassVar[Self]
    """Through a UCM, hardware or virtual. Such a device has no configuration of its own."""
    UCM_EMBEDDED: ClassVar[Self]
    """Through an embedded UCM. Such a device has no configuration of its own."""
    LINK: ClassVar[Self]
    """Through an Enapter LINK."""


class ConnectivityStatus(OpenEnum):
    """Whether a device is reachable; an open enumeration."""

    UNKNOWN: ClassVar[Self]
    ONLINE: ClassVar[Self]
    OFFLINE: ClassVar[Self]


@attrs.frozen(kw_only=True)
class Connectivity:
    """Whether a device is reachable: `UNKNOWN` if the server does not report it."""

    status: ConnectivityStatus = ConnectivityStatus.UNKNOWN


@attrs.frozen(kw_only=True)
class Communication:
    """How a device is connected.

    `upstream_id` is the id of the device above it; `hardware_id` and `channel_id` are missing
    for the types UCM_LUA and UCM_EMBEDDED.
    """

    type: CommunicationType | None = None
    upstream_id: str | None = None
    hardware_id: str | None = None
    channel_id: str | None = None


@attrs.frozen(kw_only=True)
class Device:
    """A device as the API returned it: frozen, compared by value, hashable.

    Only `id` is always present; a field that the server omitted or sent as null is None.
    The fields of `EXPANDABLE` (`communication`, `connectivity`, `manifest`, `properties`,
    `raised_alert_names`, `site`) are None unless requested with `expand`, and then hold the
    server's value, empty or not: `raised_alert_names=()` means that no alert is raised, None
    that nothing is known about alerts. `implemented_profiles` is the empty tuple if the server
    omitted it. `updated_at` is an aware UTC datetime. `manifest`, `properties` and `site` are
    plain JSON objects, as sent; treat them as read-only.

    Source: API page, "Device Management".
    """

    id: str
    name: str | None = None
    slug: str | None = None
    type: DeviceType | None = None
    site_id: str | None = None
    blueprint_id: str | None = None
    updated_at: datetime | None = None
    authorized_role: AccessRole | None = None
    implemented_profiles: tuple[str, ...] = ()
    connectivity: Connectivity | None = None
    communication: Communication | None = None
    raised_alert_names: tuple[str, ...] | None = None
    # JSON objects are not hashable; excluding them keeps every device hashable, and equal
    # devices still have equal hashes.
    manifest: dict[str, Any] | None = attrs.field(default=None, hash=False)
    properties: dict[str, Any] | None = attrs.field(default=None, hash=False)
    site: dict[str, Any] | None = attrs.field(default=None, hash=False)
