"""The objects in the emulator's world: devices and sites as plain values, in the API's form.

Imports nothing from the SDK: it implements the API page independently, so that tests can check
the SDK's own reading of that page against it.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import attrs

Timestamps = Literal["unix", "rfc3339"]
"""The format of times: Unix seconds, as on the API page, or RFC 3339, as live servers send."""

SlugScope = Literal["account", "site"]
"""The scope in which a slug is unique: the whole account, or each site."""

ROLES: Final = ("READONLY", "USER", "OWNER", "INSTALLER", "VENDOR", "SYSTEM")
"""Access roles from the lowest to the highest; each includes the lower ones."""

DEVICE_TYPES: Final = (
    "STANDALONE",
    "GATEWAY",
    "EMBEDDED_UCM",
    "HARDWARE_UCM",
    "VIRTUAL_UCM",
    "LINK_MASTER_UCM",
    "LINK_SLAVE_UCM",
    "LUA",
    "NATIVE",
    "CHILD",
)
COMMUNICATION_TYPES: Final = (
    "MQTT_V1_PLAINTEXT",
    "MQTT_V1_TLS",
    "MQTT_V1_LOCALHOST",
    "UCM_LUA",
    "UCM_EMBEDDED",
    "LINK",
)
CONNECTIVITY: Final = ("UNKNOWN", "ONLINE", "OFFLINE")
EXPANDABLE: Final = (
    "manifest",
    "properties",
    "connectivity",
    "communication",
    "site",
    "raised_alert_names",
)
"""The valid names in `expand`: the documented ones, and one that the official SDK requests."""

RUNS_ON_UPSTREAM: Final = frozenset({"UCM_LUA", "UCM_EMBEDDED"})
"""Communication types of devices without their own connection, and so without configuration."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class Refusal(Exception):  # noqa: N818 - not a failure; the server turns it into an answer
    """The world refuses a request, and nothing was changed.

    `status` is the HTTP status; `code`, `message` and `details` fill the single entry of the
    error envelope in the answer.
    """

    status: int
    code: str
    message: str
    details: Mapping[str, Any] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def envelope(self) -> dict[str, Any]:
        """Return the body of the error answer (API page, "Errors")."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            error["details"] = dict(self.details)
        return {"errors": [error]}


def invalid_parameter(name: str, message: str) -> Refusal:
    """Return the 400 for a missing or invalid parameter."""
    return Refusal(400, "invalid_parameter", message, {"parameter": name})


def not_found(message: str) -> Refusal:
    """Return the 404 for an object that does not exist."""
    return Refusal(404, "not_found", message)


def unprocessable(message: str, **details: Any) -> Refusal:
    """Return the 422 for a request that was understood, but cannot be carried out."""
    return Refusal(422, "unprocessable_entity", message, details)


def slug_taken(noun: str) -> Refusal:
    """Return the 409 for a slug that another object of the noun has."""
    return Refusal(409, "already_exists", f"Another {noun} has this slug.", {"parameter": "slug"})


def require(role: str, needed: str) -> None:
    """Raise the 403 unless `role` includes the level `needed`."""
    if not permits(role, needed):
        message = f"This needs at least the {needed} role."
        details = {"required_role": needed, "authorized_role": role}
        raise Refusal(403, "permission_denied", message, details)


def permits(role: str, needed: str) -> bool:
    """Return whether `role` includes the level `needed`; an unknown role never does."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)


def moment(seconds: float) -> datetime:
    """Convert Unix seconds to an aware UTC datetime."""
    return _EPOCH + timedelta(seconds=seconds)


def told(time: datetime, timestamps: Timestamps) -> int | str:
    """Write a time as the API does: whole Unix seconds, or RFC 3339 with microseconds and Z."""
    if timestamps == "unix":
        return int(time.timestamp())
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@attrs.frozen(kw_only=True)
class Site:
    """A place with devices; `authorized_role` is the caller's role there.

    `location` has a name, a latitude and a longitude, as far as they are known.
    """

    id: str
    name: str
    timezone: str = "Etc/UTC"
    authorized_role: str = "OWNER"
    location: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the site as the API shows it below `device.site`."""
        shown: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "timezone": self.timezone,
            "version": "V3",
            "authorized_role": self.authorized_role,
        }
        return shown if self.location is None else {**shown, "location": dict(self.location)}


@attrs.frozen(kw_only=True)
class Device:
    """One device in the world; each change creates a new value.

    `authorized_role` is the caller's role on it; `connectivity` one of `CONNECTIVITY`;
    `communication_type` None for a device whose communication is unknown. A device with an
    `upstream_id` depends on that device.
    """

    id: str
    name: str
    slug: str
    site_id: str
    updated_at: datetime
    blueprint_id: str = ""
    type: str = "STANDALONE"
    authorized_role: str = "OWNER"
    implemented_profiles: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = attrs.field(factory=dict)
    properties: Mapping[str, Any] = attrs.field(factory=dict)
    connectivity: str = "UNKNOWN"
    communication_type: str | None = None
    upstream_id: str | None = None
    hardware_id: str | None = None
    channel_id: str | None = None
    raised_alert_names: tuple[str, ...] = ()

    def permits(self, needed: str) -> bool:
        """Return whether the fleet's own role on this device includes the level `needed`."""
        return permits(self.authorized_role, needed)

    def to_json(
        self,
        *,
        expand: Collection[str] = (),
        timestamps: Timestamps = "rfc3339",
        role: str | None = None,
        site: Site | None = None,
    ) -> dict[str, Any]:
        """Return the device as the API shows it; a field that is not expanded is absent.

        `role` is shown instead of the device's own. Like the live API, it omits empty values:
        no profiles, an unknown connectivity status, unset communication ids.
        """
        shown: dict[str, Any] = {
            "id": self.id,
            "blueprint_id": self.blueprint_id,
            "name": self.name,
            "site_id": self.site_id,
            "updated_at": told(self.updated_at, timestamps),
            "slug": self.slug,
            "type": self.type,
            "authorized_role": role or self.authorized_role,
        }
        if self.implemented_profiles:
            shown["implemented_profiles"] = list(self.implemented_profiles)
        if not expand:
            return shown
        if "manifest" in expand:
            shown["manifest"] = dict(self.manifest)
        if "properties" in expand:
            shown["properties"] = dict(self.properties)
        if "connectivity" in expand:
            known = self.connectivity != "UNKNOWN"
            shown["connectivity"] = {"status": self.connectivity} if known else {}
        if "communication" in expand and self.communication_type is not None:
            shown["communication"] = self._communication(self.communication_type)
        if "raised_alert_names" in expand:
            shown["raised_alert_names"] = list(self.raised_alert_names)
        if "site" in expand and site is not None:
            shown["site"] = site.to_json()
        return shown

    def _communication(self, kind: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"type": kind}
        if self.upstream_id is not None:
            shown["upstream_id"] = self.upstream_id
        if kind not in RUNS_ON_UPSTREAM:
            if self.hardware_id is not None:
                shown["hardware_id"] = self.hardware_id
            if self.channel_id is not None:
                shown["channel_id"] = self.channel_id
        return shown
