"""The arguments of operations on devices; each function raises `ArgumentError` if invalid."""

from collections.abc import Iterable
from typing import Final

from enapter_async.errors import ArgumentError
from enapter_async.models.configs import MQTTProtocol
from enapter_async.operation import UNSET, Unset
from enapter_async.operations import arguments

EXPANDABLE: Final = (
    "communication",
    "connectivity",
    "manifest",
    "properties",
    "raised_alert_names",
    "site",
)
"""The fields of a device that the API returns only if requested with `expand`."""


def device_id(value: str) -> str:
    """Return the id or the slug of a device."""
    return arguments.address("device_id", value)


def blueprint_id(value: str) -> str:
    """Return the id of a blueprint."""
    return arguments.identifier("blueprint_id", value)


def site_id(value: str | None) -> str | None:
    """Return the id of a site, or None."""
    return None if value is None else arguments.identifier("site_id", value)


def expand(value: Iterable[str]) -> tuple[str, ...]:
    """Return names from `EXPANDABLE`."""
    return arguments.names("expand", value, EXPANDABLE) if value != () else ()


def name(value: str | Unset | None) -> str | Unset | None:
    """Return a name, None or `UNSET`."""
    return arguments.text("name", value)


def slug(value: str | Unset | None) -> str | Unset | None:
    """Return a slug that can be part of an address, "", None or `UNSET`."""
    if value is UNSET or value is None or value == "":
        return value
    return arguments.address("slug", value)


def protocol(value: str) -> MQTTProtocol:
    """Return the protocol if it is one that can be requested; case is ignored."""
    if isinstance(value, str):
        protocol = MQTTProtocol(value)
        if protocol in MQTTProtocol.known():
            return protocol
    raise ArgumentError(f"protocol must be MQTT or MQTTS; got {arguments.shown(value)}")
