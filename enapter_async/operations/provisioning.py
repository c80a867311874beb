"""The operations that create devices.

Each request that arrives may create a device, so none is ever sent twice. A device whose slug the
caller chooses can be found again by it.

Source: API page, "Provisioning".
"""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import attrs

from enapter_async.models.configs import MQTTProtocol
from enapter_async.models.devices import Device, DeviceType
from enapter_async.models.provisioning import Provisioned
from enapter_async.operation import (
    MIB,
    WHOLE,
    Answer,
    Operation,
    Repeat,
    RequestParts,
    Settles,
    Target,
)
from enapter_async.operations import arguments, device_arguments
from enapter_async.operations.devices import GetDevice, ListDevices


def _name(value: str) -> str:
    return arguments.needed_text("name", value, "a new device")


def _slug(value: str | None) -> str | None:
    return None if value is None else arguments.address("slug", value)


def _runtime_id(value: str) -> str:
    return arguments.identifier("runtime_id", value)


def _hardware_id(value: str) -> str:
    return arguments.identifier("hardware_id", value)


class _Provision(Operation[Provisioned]):
    """What the operations that create devices have in common."""

    __slots__ = ()

    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[Provisioned]] = Answer(key=WHOLE, type=Provisioned, max_bytes=MIB)
    proof: ClassVar[Operation[Any] | None] = ListDevices.proof
    result_name: ClassVar[str] = "provisioned"
    name: str

    def request(self) -> RequestParts:
        """Return the HTTP request: its path is that of the kind, and its body has all fields."""
        fields = attrs.fields_dict(type(cast("Any", self)))
        values = {name: getattr(self, name) for name in fields}
        body = {name: None if value is None else str(value) for name, value in values.items()}
        return RequestParts(method="POST", path=tuple(self.kind.split(".")), body=body)

    def details(self) -> dict[str, Any]:
        """Return the new device's name."""
        return {"name": self.name}


def _site(site_id: str | None) -> tuple[Target, ...]:
    return () if site_id is None else (Target("site", site_id),)


class _WithSlug(_Provision):
    """An operation that creates a device with a slug, by which it can be found."""

    __slots__ = ()

    settles: ClassVar[Settles] = Settles.KEY
    type: ClassVar[str]
    """The type of the new device."""
    slug: str | None

    def target(self) -> Target:
        """Return the new device, with its slug as its key."""
        return Target("device", site_id=self._site(), natural_key=self.slug)

    def needs(self) -> tuple[Target, ...]:
        """Return the site of the new device, if one is named."""
        return _site(self._site())

    def reads(self) -> GetDevice | None:
        """Return the read of the device by its slug; None without a slug."""
        if self.slug is None:
            return None
        return GetDevice(device_id=self.slug, site_id=self._site())

    def holds(self, state: Device | None) -> bool:
        """Return whether a device is the one that this creates: same name, slug, type, site."""
        return (
            state is not None
            and (state.name, state.slug) == (self.name, self.slug)
            and state.type in (None, self.type)
            and (self._site() is None or state.site_id in (None, self._site()))
        )

    def makes(self) -> Device | None:
        """Return the new device, whose slug stands for its id; None without a slug."""
        if self.slug is None:
            return None
        return Device(
            id=self.slug,
            name=self.name,
            slug=self.slug,
            site_id=self._site(),
            type=DeviceType(self.type),
        )

    def result_of(self, state: Device | None) -> Provisioned:
        """Return the device that was found by its slug."""
        if state is None:
            raise ValueError(f"{type(self).__name__} returns what was found, and nothing was")
        return Provisioned(device_id=state.id, slug=state.slug)

    def differs(self, result: Provisioned) -> str:
        """Return which slug the device got if it is not the requested one."""
        if self.slug is None or result.slug in (None, "", self.slug):
            return ""
        return f"slug is {result.slug!r}, but {self.slug!r} was requested"

    def _site(self) -> str | None:
        return None


class _WithHardwareId(_Provision):
    """An operation that creates a UCM, which a search finds by its hardware id."""

    __slots__ = ()

    settles: ClassVar[Settles] = Settles.SEARCH
    hardware_id: str
    site_id: str | None

    def target(self) -> Target:
        """Return the new device, with its hardware id as its key."""
        return Target("device", site_id=self.site_id, natural_key=self.hardware_id)

    def needs(self) -> tuple[Target, ...]:
        """Return the site of the new device, if one is named."""
        return _site(self.site_id)

    def reads(self) -> ListDevices:
        """Return the search: the first page of devices, with their hardware ids."""
        return ListDevices(site_id=self.site_id, expand=("communication",))

    def candidates(self, found: Any) -> Sequence[Device]:
        """Return the devices with this hardware id."""
        return [
            each
            for each in found or ()
            if each.communication is not None and each.communication.hardware_id == self.hardware_id
        ]

    def first_state(self, result: Any) -> Any:
        """Return the answer; for a candidate that was accepted, what an answer would have said."""
        if isinstance(result, Device):
            return Provisioned(device_id=result.id, slug=result.slug)
        return result


@attrs.frozen(kw_only=True)
class ProvisionStandalone(_WithSlug):
    """Create a standalone device, which connects by itself with a configuration of its own.

    `site_id` may be omitted on a gateway. Set a `slug`: after an uncertain attempt, the device is
    found by it; without one, it is unknown whether the device was created.

    Source: API page "Provisioning", `POST provisioning/standalone`.
    """

    kind: ClassVar[str] = "provisioning.standalone"
    type: ClassVar[str] = DeviceType.STANDALONE

    name: str = attrs.field(converter=_name)
    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)
    slug: str | None = attrs.field(default=None, converter=_slug)

    def _site(self) -> str | None:
        return self.site_id


@attrs.frozen(kw_only=True)
class ProvisionLuaDevice(_WithSlug):
    """Create a device that a Lua script of a blueprint runs on a UCM, the runtime.

    Set a `slug`, as for `ProvisionStandalone`.

    Source: API page "Provisioning", `POST provisioning/lua_device`.
    """

    kind: ClassVar[str] = "provisioning.lua_device"
    type: ClassVar[str] = DeviceType.LUA

    name: str = attrs.field(converter=_name)
    runtime_id: str = attrs.field(converter=_runtime_id)
    blueprint_id: str = attrs.field(converter=device_arguments.blueprint_id)
    slug: str | None = attrs.field(default=None, converter=_slug)

    def needs(self) -> tuple[Target, ...]:
        """Return the blueprint, and the device that runs it."""
        return Target("blueprint", self.blueprint_id), Target("device", self.runtime_id)

    def holds(self, state: Device | None) -> bool:
        """Return whether a device is the one that this creates: also of the same blueprint."""
        same = state is not None and state.blueprint_id in (None, self.blueprint_id)
        return same and _WithSlug.holds(self, state)


@attrs.frozen(kw_only=True)
class ProvisionVucm(_WithHardwareId):
    """Create a virtual UCM on a gateway; it is known by its `hardware_id`.

    After an uncertain attempt, a search looks for a device with that hardware id.

    Source: API page "Provisioning", `POST provisioning/vucm`.
    """

    kind: ClassVar[str] = "provisioning.vucm"

    name: str = attrs.field(converter=_name)
    hardware_id: str = attrs.field(converter=_hardware_id)
    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)


@attrs.frozen(kw_only=True)
class ProvisionUcm(_WithHardwareId):
    """Create a hardware UCM; the answer holds its new MQTT configuration.

    Not safe to repeat: each request that arrives generates new credentials, which are returned
    only once. After an uncertain attempt, a search looks for a device with that hardware id. Even
    if there is one, the answer with its credentials is lost: generate its configuration again.

    Source: API page "Provisioning", `POST provisioning/ucm`.
    """

    kind: ClassVar[str] = "provisioning.ucm"
    answer: ClassVar[Answer[Provisioned]] = Answer(
        key=WHOLE, type=Provisioned, max_bytes=MIB, secret=True
    )

    name: str = attrs.field(converter=_name)
    hardware_id: str = attrs.field(converter=_hardware_id)
    protocol: MQTTProtocol = attrs.field(converter=device_arguments.protocol)
    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)

    def kept(self, result: Provisioned) -> dict[str, Any]:
        """Return the configuration and the id of the new device, for a credentials file."""
        return {"device_id": result.device_id, "config": result.config}

    def differs(self, result: Provisioned) -> str:
        """Return what is wrong with the configuration in the answer; "" if nothing is."""
        if result.config is None:
            return f"the new device, {result.device_id}, has no configuration; generate one for it"
        if result.config.mqtt_protocol == self.protocol:
            return ""
        return f"it is for {result.config.mqtt_protocol}, but {self.protocol} was requested"

    def details(self) -> dict[str, Any]:
        """Return the new device's name and its protocol."""
        return {"name": self.name, "protocol": str(self.protocol)}
