"""Selecting devices, and the templates that are filled in for each of them."""

import json
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.models.devices import AccessRole, ConnectivityStatus, Device, DeviceType
from enapter_async.operations.arguments import shown

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
                f"contain one name from {', '.join(DEVICE_FIELDS)} or a group of --name-matches; "
                f"write '{{' for a brace"
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


_CONDITION: Final = re.compile(r"\s*([^=!<>\s]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*")
_VERSION: Final = re.compile(r"[vV]?\d+(\.\d+)*")


@attrs.frozen
class PropertyCondition:
    """A condition on a property, such as `fw_ver<1.2`, `vendor=Acme` or `phases!=3`.

    Two values are compared as versions if both are numbers with dots between them, such as 1.10;
    other values can only be equal or not. A device without the property never meets it.

    Raises:
        ConfigurationError: the text is not a condition.
    """

    text: str
    _parts: tuple[str, str, str] = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        found = _CONDITION.fullmatch(self.text)
        if found is None:
            raise ConfigurationError(
                f"{shown(self.text)} is not a condition on a property; write NAME, one of = != < "
                f"<= > "
                ">=, and a value, such as fw_ver<1.2"
            )
        object.__setattr__(self, "_parts", found.groups())
        _, sign, wanted = self._parts
        if sign not in EQUALITY and _version(wanted) is None:
            raise ConfigurationError(
                f"{shown(self.text)} is never met: {sign} compares versions and positive numbers, "
                f"such as fw_ver<1.2"
            )

    def is_met(self, properties: Mapping[str, Any] | None) -> bool:
        """Return whether the properties of a device meet the condition."""
        name, sign, wanted = self._parts
        value = (properties or {}).get(name)
        if value is None:
            return False
        text = value if isinstance(value, str) else json.dumps(value)
        one, other = _version(text), _version(wanted)
        if one is None or other is None:
            return (text == wanted) is (sign == "=") if sign in EQUALITY else False
        length = max(len(one), len(other))
        return COMPARED[sign](_filled(one, length), _filled(other, length))


EQUALITY: Final = ("=", "!=")
"""The signs that compare any values; the others compare only numbers."""

COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _version(text: str) -> tuple[int, ...] | None:
    if _VERSION.fullmatch(text) is None:
        return None
    return tuple(int(part) for part in text.lstrip("vV").split("."))


def _filled(version: tuple[int, ...], length: int) -> tuple[int, ...]:
    return version + (0,) * (length - len(version))


def _conditions(
    values: str | PropertyCondition | Iterable[str | PropertyCondition],
) -> tuple[PropertyCondition, ...]:
    given = (values,) if isinstance(values, str | PropertyCondition) else values
    return tuple(PropertyCondition(each) if isinstance(each, str) else each for each in given)


@attrs.frozen(kw_only=True)
class Selection:
    """Selects devices: those that meet every condition that is set.

    Each of these holds one or several alternative values: `site_ids`, `site_names`, `names`,
    `slugs`, `blueprint_ids`, `types`, `roles` (the caller's role for the device), `statuses` (of
    the connectivity), `profiles` (one of those that the device implements) and `alerts` (one of
    those that are raised). Case is ignored for types, roles and statuses. `properties` are
    conditions such as "fw_ver<1.2" (see `PropertyCondition`), of which all must be met.
    `name_matches` is a regular expression that is searched for in the name; a device without a name
    never matches. If no condition is set, every device is selected.

    Raises:
        ConfigurationError: the expression or a condition is invalid, or a group has the name of a
            device field.
    """

    site_ids: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    site_names: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    names: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    slugs: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    blueprint_ids: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    types: tuple[DeviceType, ...] = attrs.field(default=(), converter=_types)
    roles: tuple[AccessRole, ...] = attrs.field(default=(), converter=_roles)
    statuses: tuple[ConnectivityStatus, ...] = attrs.field(default=(), converter=_statuses)
    profiles: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    alerts: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    properties: tuple[PropertyCondition, ...] = attrs.field(default=(), converter=_conditions)
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
        needed = {
            "connectivity": self.statuses,
            "raised_alert_names": self.alerts,
            "properties": self.properties,
            "site": self.site_names,
        }
        return tuple(field for field, condition in needed.items() if condition)

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
            and _meets((device.site or {}).get("name"), self.site_names)
            and _meets(device.name, self.names)
            and _meets(device.slug, self.slugs)
            and _meets(device.blueprint_id, self.blueprint_ids)
            and _meets(device.type, self.types)
            and _meets(device.authorized_role, self.roles)
            and _meets(status, self.statuses)
            and _has_one(device.implemented_profiles, self.profiles)
            and _has_one(device.raised_alert_names or (), self.alerts)
            and all(each.is_met(device.properties) for each in self.properties)
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


def _has_one(values: Collection[str], wanted: Collection[str]) -> bool:
    return not wanted or not set(wanted).isdisjoint(values)
