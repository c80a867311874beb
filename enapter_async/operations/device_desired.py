"""Desired states of devices as rows of a file: a row's operations, and a device's row."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from enapter_async.errors import ConfigurationError
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.models.devices import Device
from enapter_async.models.manifest import Manifest, Parameter
from enapter_async.operation import UNSET, Operation
from enapter_async.operations.configuration import GetConfiguration, UpdateConfiguration
from enapter_async.operations.devices import AssignBlueprint, UpdateDevice

FIELDS: Final = ("name", "slug", "blueprint_id")


def operations_of(row: Mapping[str, Any]) -> tuple[Operation[Any], ...]:
    """Return the operations that bring a device to the state in a row; missing keys are ignored.

    The device is that of `device_id`, or else that of `slug`. A key such as "network.port" is a
    configuration parameter; its value is a string, which is converted as the manifest declares.

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


def row_of(device: Device) -> dict[str, str]:
    """Return the state of a device, without its configuration, as a row."""
    fields = {field: getattr(device, field) for field in FIELDS}
    return {"device_id": device.id, **{field: text for field, text in fields.items() if text}}


def configurations(device: Device) -> Iterator[GetConfiguration]:
    """Yield the operations that read the configuration groups of a device."""
    for group, declared in Manifest(device.manifest).configuration.items():
        names = [name for name, each in declared.parameters.items() if not each.sensitive]
        if names:
            yield GetConfiguration(device_id=device.id, group=group, names=names)


def cells_of(device: Device, reading: Operation[Any], values: Any) -> dict[str, str]:
    """Return the values of a configuration group as cells of a row, except sensitive values."""
    if not isinstance(reading, GetConfiguration) or not isinstance(values, ConfigurationValues):
        return {}
    known = Manifest(device.manifest).configuration[reading.group].parameters
    cells = ((name, _cell(known[name], values[name])) for name in values if name in reading.names)
    return {f"{reading.group}.{name}": cell for name, cell in cells if cell}


def _cell(parameter: Parameter, value: Any) -> str:
    """Return a value as text that reads back as the same value; "" if there is none."""
    if parameter.value_type == "string":
        return value if isinstance(value, str) else ""
    return "" if value is None else json.dumps(value, ensure_ascii=False)
