"""Bulk changes of devices: those to select, and what each is to become."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.models.configs import MQTTProtocol
from enapter_async.models.devices import Device
from enapter_async.models.manifest import Manifest, Parameter, value_of
from enapter_async.operation import UNSET, Operation
from enapter_async.operations.arguments import shown
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.configuration import UpdateConfiguration
from enapter_async.operations.device_noun import DEVICE
from enapter_async.operations.device_selection import DEVICE_FIELDS, Groups, Selection, Template
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)
from enapter_async.operations.nouns import BulkChange


def _template(value: str | Template | None) -> Template | None:
    return Template(value) if isinstance(value, str) else value


def _by_group(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return values by group and parameter, given by names such as "network.port"."""
    if not isinstance(values, Mapping):
        raise ConfigurationError("parameters are a mapping from names such as network.port")
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        group, dot, parameter = name.partition(".")
        if not dot or not group or not parameter:
            raise ConfigurationError(
                f"{shown(name)} must be a group and a parameter, such as network.port"
            )
        groups.setdefault(group, {})[parameter] = value
    return groups


def _settings(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        group: {name: _template(value) for name, value in parameters.items()}
        for group, parameters in _by_group(values).items()
    }


def _resets(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    return _by_group(dict.fromkeys((names,) if isinstance(names, str) else names))


@attrs.frozen(kw_only=True)
class _OfDevices(BulkChange):
    """A bulk change of the devices that `selection` selects."""

    noun: ClassVar[str] = DEVICE.name

    selection: Selection

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites named by the selection."""
        return self.selection.site_ids


@attrs.frozen(kw_only=True)
class Export(_OfDevices):
    """The devices to write to a file of desired states, for `fleet.export`."""

    @property
    def expand(self) -> tuple[str, ...]:
        """The additional fields to request: the manifest declares the configuration."""
        return ("manifest", *self.selection.expand)

    def operations_for(self, state: Device) -> tuple[Operation[Any], ...] | None:
        """Return no operations if a device is selected, else None."""
        return None if self.selection.match(state) is None else ()


@attrs.frozen(kw_only=True)
class Change(_OfDevices):
    """The change to make to every selected device, for `fleet.plan`.

    `selection` selects the devices; `name` and `slug` are templates for the new values;
    `blueprint_id` is assigned; `settings` sets configuration parameters, by names such as
    "network.port". A string value is a template; its result is read as JSON unless the manifest
    declares the parameter as a string. `secrets` sets sensitive ones, to the text at "env:VARIABLE"
    or "file:PATH"; `reset` names parameters to reset. `protocol` generates a configuration for
    each; `execute` is the name of a command to execute on each, with `arguments`; `delete` deletes
    each, and cannot be combined with other changes.

    Raises:
        ConfigurationError: there is no change, a deletion is combined with another change, or a
            template uses a name that is neither a device field nor a group of the expression.
    """

    name: Template | None = attrs.field(default=None, converter=_template)
    slug: Template | None = attrs.field(default=None, converter=_template)
    blueprint_id: str | None = None
    settings: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, converter=_settings)
    secrets: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict, converter=_by_group)
    reset: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, converter=_resets)
    protocol: MQTTProtocol | None = attrs.field(
        default=None, converter=attrs.converters.optional(MQTTProtocol)
    )
    execute: str | None = None
    arguments: Mapping[str, Any] | str | None = None
    delete: bool = False

    def __attrs_post_init__(self) -> None:
        others = (self.name, self.slug, self.blueprint_id, self.protocol, self.execute)
        asked = sum(value is not None for value in others) + len(self._groups)
        if self.delete and asked:
            raise ConfigurationError("a deletion cannot be combined with other changes")
        if not self.delete and not asked:
            raise ConfigurationError(
                "there is no change: set a name, slug, blueprint_id, settings, protocol or "
                "execute, or delete"
            )
        if self.arguments is not None and self.execute is None:
            raise ConfigurationError("arguments are those of a command; name it with execute")
        known = self.selection.groups | frozenset(DEVICE_FIELDS)
        values = [each for group in self.settings.values() for each in group.values()]
        for template in (self.name, self.slug, *values):
            unknown = template.fields - known if isinstance(template, Template) else ()
            if unknown:
                raise ConfigurationError(
                    f"there is no {{{min(unknown)}}}: a template may use "
                    f"{', '.join(DEVICE_FIELDS)} and the groups of --name-matches"
                )

    @property
    def _groups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.settings, *self.secrets, *self.reset)))

    @property
    def expand(self) -> tuple[str, ...]:
        """The additional fields to request."""
        manifest = ("manifest",) if self._groups or self.execute is not None else ()
        return tuple({"communication", *manifest, *self.selection.expand})

    def operations_for(self, state: Device) -> tuple[Operation[Any], ...] | None:
        """Return the operations for a device, in order; None if it is not selected.

        Raises:
            ConfigurationError: a template cannot be filled in, or its result is not a valid name.
        """
        groups = self.selection.match(state)
        return None if groups is None else self.operations(state, groups)

    def operations(self, device: Device, groups: Groups) -> tuple[Operation[Any], ...]:
        """Return the operations for a selected device; these are its groups of the expression."""
        if self.delete:
            return (DeleteDevice(device_id=device.id),)
        wanted: list[Operation[Any]] = []
        if self.name is not None or self.slug is not None:
            wanted.append(
                UpdateDevice(
                    device_id=device.id,
                    name=UNSET if self.name is None else self.name.render(device, groups),
                    slug=UNSET if self.slug is None else self.slug.render(device, groups),
                )
            )
        if self.blueprint_id is not None:
            wanted.append(AssignBlueprint(device_id=device.id, blueprint_id=self.blueprint_id))
        wanted += [self._configuration(device, group, groups) for group in self._groups]
        if self.protocol is not None:
            wanted.append(GenerateConfig(device_id=device.id, protocol=self.protocol))
        if self.execute is not None:
            wanted.append(
                CreateExecution(device_id=device.id, name=self.execute, arguments=self.arguments)
            )
        return tuple(wanted)

    def _configuration(self, device: Device, group: str, groups: Groups) -> UpdateConfiguration:
        declared = Manifest(device.manifest).configuration.get(group)
        known = {} if declared is None else declared.parameters
        return UpdateConfiguration(
            device_id=device.id,
            group=group,
            set={
                name: _value(value, known.get(name), device, groups)
                for name, value in self.settings.get(group, {}).items()
            },
            secrets=self.secrets.get(group, {}),
            reset=tuple(self.reset.get(group, {})),
        )


def _value(value: Any, parameter: Parameter | None, device: Device, groups: Groups) -> Any:
    return (
        value_of(value.render(device, groups), parameter) if isinstance(value, Template) else value
    )
