"""Devices as plans and files know them: how they are read, and a desired state as a row."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

from enapter_async.errors import ConfigurationError
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.models.devices import ConnectivityStatus, Device
from enapter_async.models.manifest import Manifest, Parameter
from enapter_async.operation import UNSET, Operation, Target
from enapter_async.operations.configuration import GetConfiguration, UpdateConfiguration
from enapter_async.operations.device_conditions import device_condition
from enapter_async.operations.devices import (
    AssignBlueprint,
    GetDevice,
    ListDevices,
    UpdateDevice,
)
from enapter_async.operations.nouns import Condition, Facts, Noun, define
from enapter_async.operations.pages import LARGEST_PAGE

_FIELDS: Final = ("name", "slug", "blueprint_id")


class _DeviceNoun(Noun[Device]):
    """Devices: read page by page, addressed by id or slug; some depend on others."""

    __slots__ = ()

    name: ClassVar[str] = "device"
    state: ClassVar[Any] = Device
    slug_field: ClassVar[str] = "slug"
    page_size: ClassVar[int] = LARGEST_PAGE
    columns: ClassVar[tuple[str, ...]] = ("device_id", "site_id", *_FIELDS)
    health: ClassVar[tuple[str, ...]] = ("connectivity",)

    def get(self, name: str, expand: Iterable[str] = ()) -> GetDevice:
        """Return the operation that reads a device."""
        return GetDevice(device_id=name, expand=expand)

    def get_at(self, target: Target, expand: Iterable[str] = ()) -> GetDevice | None:
        """Return the operation that reads a device, through its site if the target names one."""
        if target.id is None:
            return None
        return GetDevice(device_id=target.id, site_id=target.site_id, expand=expand)

    def page(
        self, offset: int, limit: int, *, site_id: str | None, expand: Iterable[str]
    ) -> ListDevices:
        """Return the operation that reads a page of devices."""
        return ListDevices(site_id=site_id, expand=expand, offset=offset, limit=limit)

    def with_slug(self, target: Target, slug: str) -> UpdateDevice | None:
        """Return the operation that gives a device another slug."""
        return UpdateDevice(device_id=target.id or "", site_id=target.site_id, slug=slug)

    def desired(self, row: Mapping[str, Any]) -> tuple[Operation[Any], ...]:
        """Return the operations that bring a device to the state in a row; ignore missing keys.

        The device is that of `device_id`, or else that of `slug`. A key such as "network.port" is
        a configuration parameter; its value is a string, which is converted as the manifest
        declares.

        Raises:
            ConfigurationError: the row names no device, or an invalid value.
        """
        device_id = row.get("device_id") or row.get("slug")
        if not device_id:
            raise ConfigurationError("a row needs a device_id or a slug")
        address = {"device_id": device_id, "site_id": row.get("site_id") or None}
        found: list[Operation[Any]] = []
        name, slug = row.get("name"), row.get("slug")
        if name or slug:
            found.append(UpdateDevice(**address, name=name or UNSET, slug=slug or UNSET))
        if blueprint_id := row.get("blueprint_id"):
            found.append(AssignBlueprint(**address, blueprint_id=blueprint_id))
        groups: dict[str, dict[str, str]] = {}
        for key, value in row.items():
            group, dot, parameter = key.partition(".")
            if dot and value:
                groups.setdefault(group, {})[parameter] = value
        found += [
            UpdateConfiguration(**address, group=group, set=values, untyped=True)
            for group, values in groups.items()
        ]
        return tuple(found)

    def condition(self, text: str) -> Condition:
        """Return the condition on devices that a string describes."""
        return device_condition(text)

    def row(self, state: Device) -> dict[str, str]:
        """Return the row of a device, without its configuration."""
        fields = {field: getattr(state, field) for field in _FIELDS}
        return {"device_id": state.id, **{field: text for field, text in fields.items() if text}}

    def parts(self, state: Device) -> Iterator[GetConfiguration]:
        """Yield the operations that read the configuration groups of a device."""
        for group, declared in Manifest(state.manifest).configuration.items():
            names = [name for name, each in declared.parameters.items() if not each.sensitive]
            if names:
                yield GetConfiguration(device_id=state.id, group=group, names=names)

    def cells(self, state: Device, reading: Operation[Any], part: Any) -> dict[str, str]:
        """Return the values of a configuration group as cells of a row, except sensitive ones."""
        if not isinstance(reading, GetConfiguration) or not isinstance(part, ConfigurationValues):
            return {}
        known = Manifest(state.manifest).configuration[reading.group].parameters
        cells = ((name, _cell(known[name], part[name])) for name in part if name in reading.names)
        return {f"{reading.group}.{name}": cell for name, cell in cells if cell}

    def facts(self, state: Device) -> Facts:
        """Return the facts that a plan needs."""
        way = state.communication
        upstream_id = None if way is None else way.upstream_id
        kind = None if state.type is None else str(state.type)
        return Facts(state.id, state.name, state.slug, state.site_id, upstream_id, kind)

    def is_online(self, state: Device) -> bool:
        """Return whether the device is connected."""
        found = state.connectivity
        return found is not None and found.status == ConnectivityStatus.ONLINE


DEVICE: Final = define(_DeviceNoun())


def _cell(parameter: Parameter, value: Any) -> str:
    """Return a value as text that reads back as the same value; "" if there is none."""
    if parameter.value_type == "string":
        return value if isinstance(value, str) else ""
    return "" if value is None else json.dumps(value, ensure_ascii=False)
