"""Devices in plans: reading many, selecting them, and the changes to make to each."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Final

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.models.configs import MQTTProtocol
from enapter_async.models.devices import AccessRole, ConnectivityStatus, Device, DeviceType
from enapter_async.operation import UNSET, Operation, Target
from enapter_async.operations.arguments import shown
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)
from enapter_async.operations.nouns import BulkChange, Facts, Noun, define
from enapter_async.operations.pages import LARGEST_PAGE


class _DeviceNoun(Noun[Device]):
    """Devices: read page by page, addressed by id or slug; some depend on others."""

    __slots__ = ()

    name: ClassVar[str] = "device"
    state: ClassVar[Any] = Device
    slug_field: ClassVar[str] = "slug"
    page_size: ClassVar[int] = LARGEST_PAGE
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

    def facts(self, state: Device) -> Facts:
        """Return the facts that a plan needs."""
        way = state.communication
        upstream_id = None if way is None else way.upstream_id
        return Facts(state.id, state.name, state.slug, state.site_id, upstream_id)

    def is_online(self, state: Device) -> bool:
        """Return whether the device is connected."""
        found = state.connectivity
        return found is not None and found.status == ConnectivityStatus.ONLINE


DEVICE: Final = define(_DeviceNoun())

DEVICE_FIELDS: Final = ("name", "slug", "site_id", "id")
"""The fields of a device that a template may use."""

_PART: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,2}")

Groups = Mapping[str, str | None]
"""The groups of a regular expression by name and by number, as text; None did not match."""


@attrs.frozen
class _Field:
    name: str


def _parse(text: str) -> tuple[str | _Field, ...]:
    if not text:
        raise ConfigurationError("a template must not be empty")
    parts: list[str | _Field] = []
    end = 0
    for found in _PART.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        name = found.group(1)
        if found.group() in ("{{", "}}"):
            parts.append(found.group()[0])
        elif name is not None and _FIELD.fullmatch(name):
            parts.append(_Field(name))
        else:
            raise ConfigurationError(
                f"{shown(text)} is not a template, because of {shown(found.group())}: braces "
                f"contain one name from {', '.join(DEVICE_FIELDS)} or a group of --name-matches, "
                f"and nothing "
                "else; write '{{' for a brace"
            )
    parts.append(text[end:])
    return tuple(part for part in parts if part != "")


@attrs.frozen
class Template:
    """Text with names in braces, each replaced by the device's value for it.

    `{name}`, `{slug}`, `{site_id}` and `{id}` are fields of the device; `{1}` or `{place}` are
    groups of the selection's regular expression. `{{` and `}}` are braces. For safety, attributes,
    indexes and format specifications are not supported.

    Raises:
        ConfigurationError: the text is not a valid template.
    """

    text: str
    _parts: tuple[str | _Field, ...] = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_parts", _parse(self.text))

    @property
    def fields(self) -> frozenset[str]:
        """The names in braces."""
        return frozenset(part.name for part in self._parts if isinstance(part, _Field))

    def render(self, device: Device, groups: Groups) -> str:
        """Return the text for a device; a missing field or group is an error.

        Raises:
            ConfigurationError: a field or group is missing; the message names it.
        """
        return "".join(
            part if isinstance(part, str) else _value(part.name, device, groups)
            for part in self._parts
        )


def _value(name: str, device: Device, groups: Groups) -> str:
    value: str | None = getattr(device, name) if name in DEVICE_FIELDS else groups.get(name)
    if value is None:
        raise ConfigurationError(f"the device has no {name} for the template")
    return value


def _texts(values: str | Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _types(values: str | Iterable[str]) -> tuple[DeviceType, ...]:
    return tuple(DeviceType(value) for value in _texts(values))


def _roles(values: str | Iterable[str]) -> tuple[AccessRole, ...]:
    return tuple(AccessRole(value) for value in _texts(values))


def _statuses(values: str | Iterable[str]) -> tuple[ConnectivityStatus, ...]:
    return tuple(ConnectivityStatus(value) for value in _texts(values))


def _pattern(value: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    if value is None or isinstance(value, re.Pattern):
        return value
    try:
        return re.compile(value)
    except re.error as error:
        raise ConfigurationError(
            f"name_matches is not a regular expression: {error}: {shown(value)}"
        ) from None


@attrs.frozen(kw_only=True)
class Selection:
    """Selects devices: those that meet every condition that is set.

    `site_ids`, `types`, `roles` (the caller's role for the device) and `statuses` (of the
    connectivity) each hold one or several alternative values; case is ignored for the last
    three. `name_matches` is a regular expression that is searched for in the name; a device
    without a name never matches. If no condition is set, every device is selected.

    Raises:
        ConfigurationError: the expression is invalid, or a group has the name of a device field.
    """

    site_ids: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    types: tuple[DeviceType, ...] = attrs.field(default=(), converter=_types)
    roles: tuple[AccessRole, ...] = attrs.field(default=(), converter=_roles)
    statuses: tuple[ConnectivityStatus, ...] = attrs.field(default=(), converter=_statuses)
    name_matches: re.Pattern[str] | None = attrs.field(default=None, converter=_pattern)

    def __attrs_post_init__(self) -> None:
        taken = self.groups & frozenset(DEVICE_FIELDS)
        if taken:
            raise ConfigurationError(
                f"the group {min(taken)!r} of name_matches has the name of a device field"
            )

    @property
    def everything(self) -> bool:
        """Whether no condition is set."""
        return self == Selection()

    @property
    def expand(self) -> tuple[str, ...]:
        """The fields that must be requested with `expand` to evaluate the conditions."""
        return ("connectivity",) if self.statuses else ()

    @property
    def groups(self) -> frozenset[str]:
        """The groups of the regular expression, by number and by name."""
        if self.name_matches is None:
            return frozenset()
        numbers = (str(number) for number in range(self.name_matches.groups + 1))
        return frozenset((*numbers, *self.name_matches.groupindex))

    def match(self, device: Device) -> Groups | None:
        """Return the expression's groups if the device is selected ({} without one), else None."""
        status = device.connectivity.status if device.connectivity else ConnectivityStatus.UNKNOWN
        meant = (
            _meets(device.site_id, self.site_ids)
            and _meets(device.type, self.types)
            and _meets(device.authorized_role, self.roles)
            and _meets(status, self.statuses)
        )
        if not meant:
            return None
        if self.name_matches is None:
            return {}
        found = self.name_matches.search(device.name) if device.name is not None else None
        if found is None:
            return None
        numbered = {str(number): found[number] for number in range(self.name_matches.groups + 1)}
        return {**numbered, **found.groupdict()}


def _meets(value: str | None, wanted: Collection[str]) -> bool:
    return not wanted or value in wanted


def _template(value: str | Template | None) -> Template | None:
    return Template(value) if isinstance(value, str) else value


def _protocol(value: str | None) -> MQTTProtocol | None:
    return None if value is None else MQTTProtocol(value)


@attrs.frozen(kw_only=True)
class Change(BulkChange):
    """The change to make to every selected device, for `fleet.plan`.

    `selection` selects the devices; `name` and `slug` are templates for the new values;
    `blueprint_id` is assigned; `protocol` generates a configuration for each; `execute` is the
    name of a command to execute on each, with `arguments`; `delete` deletes each, and cannot be
    combined with other changes.

    Raises:
        ConfigurationError: there is no change, a deletion is combined with another change, or a
            template uses a name that is neither a device field nor a group of the expression.
    """

    noun: ClassVar[str] = DEVICE.name

    selection: Selection
    name: Template | None = attrs.field(default=None, converter=_template)
    slug: Template | None = attrs.field(default=None, converter=_template)
    blueprint_id: str | None = None
    protocol: MQTTProtocol | None = attrs.field(default=None, converter=_protocol)
    execute: str | None = None
    arguments: Mapping[str, Any] | str | None = None
    delete: bool = False

    def __attrs_post_init__(self) -> None:
        others = (self.name, self.slug, self.blueprint_id, self.protocol, self.execute)
        asked = sum(value is not None for value in others)
        if self.delete and asked:
            raise ConfigurationError("a deletion cannot be combined with other changes")
        if not self.delete and not asked:
            raise ConfigurationError(
                "there is no change: set a name, slug, blueprint_id, protocol or execute, or delete"
            )
        if self.arguments is not None and self.execute is None:
            raise ConfigurationError("arguments are those of a command; name it with execute")
        known = self.selection.groups | frozenset(DEVICE_FIELDS)
        for template in (self.name, self.slug):
            unknown = () if template is None else sorted(template.fields - known)
            if unknown:
                raise ConfigurationError(
                    f"there is no {{{unknown[0]}}}: a template may use {', '.join(DEVICE_FIELDS)} "
                    "and the groups of --name-matches"
                )

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites named by the selection."""
        return self.selection.site_ids

    @property
    def expand(self) -> tuple[str, ...]:
        """The additional fields to request."""
        manifest = () if self.execute is None else ("manifest",)
        return tuple({"communication", *manifest, *self.selection.expand})

    def operations_for(self, state: Device) -> tuple[Operation[Any], ...] | None:
        """Return the operations for a device, in order; None if it is not selected.

        Raises:
            ConfigurationError: a template cannot be filled in, or its result is not a valid name.
        """
        groups = self.selection.match(state)
        return None if groups is None else self.operations(state, groups)

    def operations(self, device: Device, groups: Groups) -> tuple[Operation[Any], ...]:
        """Return the operations for a selected device with these groups, as `operations_for`."""
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
        if self.protocol is not None:
            wanted.append(GenerateConfig(device_id=device.id, protocol=self.protocol))
        if self.execute is not None:
            wanted.append(
                CreateExecution(device_id=device.id, name=self.execute, arguments=self.arguments)
            )
        return tuple(wanted)
