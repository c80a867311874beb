"""The emulator's endpoints for device configuration (API page "Device Configuration")."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from enapter_async.emulator.request import Call, Noun, Request, fits, no_endpoint
from enapter_async.emulator.state import (
    Device,
    Refusal,
    invalid_parameter,
    not_found,
    require,
    unprocessable,
)
from enapter_async.emulator.world import World

NOT_CONFIGURED: Final = "not_configured"
"""The alert of a device that lacks a required value."""
MASK: Final = "***"
"""Replaces a sensitive value in the log, and in answers if `mask_sensitive` is set."""


class Configuration(Noun):
    """The values of each device's configuration groups, which its manifest declares.

    A parameter that was not set has its default. The group's `access_level` is needed to read and
    to write. Choices that the API page leaves open: a wrong value is 422, and so is a reset of a
    required parameter without a default. The switches: `mask_sensitive` shows sensitive values as
    "***"; with `refuse_offline` a device that is offline answers 409. The log contains the names of
    sensitive parameters, but never their values.
    """

    paths: ClassVar[tuple[str, ...]] = (
        "devices/{device}/configuration/{group}",
        "devices/{device}/configuration/{group}/{verb}",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.mask_sensitive = False
        self.refuse_offline = False
        self._set: dict[tuple[str, str], dict[str, Any]] = {}

    def values(self, device: Device, group: str) -> dict[str, Any]:
        """Return the values of a group: those that were set, and the defaults."""
        parameters = _parameters(_group(device, group))
        defaults = {
            name: each["default"]
            for name, each in parameters.items()
            if each.get("default") is not None
        }
        return {**defaults, **self._set.get((device.id, group), {})}

    def prepare(self, device_id: str, group: str, values: Mapping[str, Any]) -> None:
        """Set values directly, as if they had been set long ago; nothing is logged."""
        self._set[device_id, group] = dict(values)

    def respond(self, call: Call, request: Request) -> dict[str, Any]:
        """Carry out a request for a configuration group."""
        device = self.world.get(call.ids["device"], site_id=call.site_id)
        group = call.ids["group"]
        declared = _group(device, group)
        require(request.role or device.authorized_role, _level(declared))
        if self.refuse_offline and device.connectivity == "OFFLINE":
            raise Refusal(409, "device_offline", "The device is offline.")
        match call.method, call.verb:
            case "GET", None:
                names = request.names("param_names")
                _known(names, _parameters(declared))
                shown = self._shown(device, group)
                wanted = {name: value for name, value in shown.items() if name in names}
                return {"configuration": wanted if names else shown}
            case "PATCH", None:
                self._update(device, group, request.object())
            case "POST", "reset_all":
                self._set.pop((device.id, group), None)
                self._applied("configuration.reset", device, {"group": group})
            case _:
                raise no_endpoint()
        return {"configuration": self._shown(device, group)}

    def _update(self, device: Device, group: str, asked: Mapping[str, Any]) -> None:
        wanted, reset = asked.get("set") or {}, asked.get("reset") or []
        parameters = _parameters(_group(device, group))
        if not isinstance(wanted, dict) or not isinstance(reset, list):
            raise invalid_parameter("set", "It must be an object, and reset a list.")
        _known((*wanted, *reset), parameters)
        for name, value in wanted.items():
            if not fits(value, parameters[name].get("type")):
                raise _wrong(name, f"It must be of type {parameters[name]['type']}.")
        for name in reset:
            if parameters[name].get("required") and parameters[name].get("default") is None:
                raise _wrong(name, "It is required, and has no default.")
        kept = {**self._set.get((device.id, group), {}), **wanted}
        self._set[device.id, group] = {
            name: each for name, each in kept.items() if name not in reset
        }
        masked = {
            name: MASK if parameters[name].get("sensitive") else value
            for name, value in wanted.items()
        }
        self._applied(
            "configuration.update", device, {"group": group, "set": masked, "reset": list(reset)}
        )

    def _applied(self, operation: str, device: Device, values: Mapping[str, Any]) -> None:
        lacks = any(
            each.get("required") and name not in self.values(device, group)
            for group, declared in _groups(device).items()
            for name, each in _parameters(declared).items()
        )
        alerts = [each for each in device.raised_alert_names if each != NOT_CONFIGURED]
        raised = (*alerts, NOT_CONFIGURED) if lacks else tuple(alerts)
        if raised != device.raised_alert_names:
            self.world.change(device.id, raised_alert_names=raised)
        self.world.log.applied(operation, device.id, values)

    def _shown(self, device: Device, group: str) -> dict[str, Any]:
        parameters = _parameters(_group(device, group))
        return {
            name: MASK if self.mask_sensitive and parameters[name].get("sensitive") else value
            for name, value in self.values(device, group).items()
        }


def _groups(device: Device) -> Mapping[str, Any]:
    found = device.manifest.get("configuration")
    return found if isinstance(found, Mapping) else {}


def _group(device: Device, group: str) -> Mapping[str, Any]:
    found = _groups(device).get(group)
    if not isinstance(found, Mapping) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", group):
        raise not_found("There is no such configuration group.")
    return found


def _parameters(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    found = declared.get("parameters")
    return found if isinstance(found, Mapping) else {}


def _level(declared: Mapping[str, Any]) -> str:
    level = declared.get("access_level")
    return level.upper() if isinstance(level, str) else "READONLY"


def _known(names: tuple[str, ...], parameters: Mapping[str, Any]) -> None:
    unknown = [name for name in names if name not in parameters]
    if unknown:
        raise _wrong(str(unknown[0]), "There is no such parameter.")


def _wrong(name: str, message: str) -> Refusal:
    return unprocessable(message, parameter=name)
