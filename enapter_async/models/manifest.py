"""A view of a device's manifest: the capabilities that its blueprint declares.

Source: API page "Fetch Devices" (`manifest`); the sections are those of a compiled blueprint.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs

from enapter_async.models.devices import AccessRole

T = TypeVar("T")

_LEAST_ROLE: Final = AccessRole.READONLY
_COMMAND_ROLE: Final = AccessRole.USER
_NUMBERS: Final = ("integer", "float")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(each for each in names if isinstance(each, str))


@attrs.frozen
class Declared:
    """One declared item of a manifest; `json` is its section as sent, or {} if it is not an object.

    A key that is missing or has an unexpected type counts as not declared.
    """

    name: str
    json: Mapping[str, Any] = attrs.field(converter=_object, hash=False, repr=False)

    @property
    def display_name(self) -> str | None:
        """The name shown to people, or None."""
        return _text(self.json.get("display_name"))

    @property
    def value_type(self) -> str | None:
        """The type of its values, such as "integer", or None."""
        return _text(self.json.get("type"))

    @property
    def access_level(self) -> AccessRole:
        """The lowest role that may read it; READONLY if the manifest does not declare one."""
        return _role(self.json, _LEAST_ROLE)


def _role(declared: Mapping[str, Any], default: AccessRole) -> AccessRole:
    level = _text(declared.get("access_level"))
    return AccessRole(level) if level else default


@attrs.frozen
class Alert(Declared):
    """An alert that a device may raise."""

    @property
    def severity(self) -> str | None:
        """How severe it is, such as "warning", or None."""
        return _text(self.json.get("severity"))


@attrs.frozen
class Parameter(Declared):
    """A value that a device takes: a configuration parameter, or an argument of a command."""

    @property
    def required(self) -> bool:
        """Whether it must have a value."""
        return self.json.get("required") is True

    @property
    def sensitive(self) -> bool:
        """Whether its value is a secret."""
        return self.json.get("sensitive") is True

    @property
    def default(self) -> Any:
        """Its value if none was set, or None if there is no default."""
        return self.json.get("default")

    def problem(self, value: Any) -> str:
        """Return the reason why it cannot have a value, without the value itself, or "".

        A type that this version does not know accepts any value.
        """
        fits = _FITS.get(self.value_type or "")
        if fits is not None and not fits(value):
            return f"{self.name} must be of type {self.value_type}, not {_type_of(value)}"
        options = self.json.get("enum")
        if isinstance(options, list) and options and value not in options:
            return f"{self.name} must be one of {', '.join(map(repr, options))}"
        if self.value_type in _NUMBERS:
            least, most = self.json.get("min"), self.json.get("max")
            if _is_number(least) and value < least:
                return f"{self.name} must be at least {least}"
            if _is_number(most) and value > most:
                return f"{self.name} must be at most {most}"
        return ""


@attrs.frozen
class Parameters(Declared):
    """A declared item that takes named values."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The values that it takes, by name."""
        return _declared(self.json, "parameters", Parameter)

    def problem(self, values: Mapping[str, Any]) -> str:
        """Return the reason why it cannot take these values, or ""."""
        known = self.parameters
        for name, value in values.items():
            parameter = known.get(name)
            if parameter is None:
                names = ", ".join(known) or "none"
                return f"{self.name} has no parameter {name!r}; it has {names}"
            if found := parameter.problem(value):
                return found
        return ""


@attrs.frozen
class ConfigurationGroup(Parameters):
    """A group of configuration parameters."""


@attrs.frozen
class Command(Parameters):
    """A command that a device carries out; its parameters are its arguments."""

    @property
    def access_level(self) -> AccessRole:
        """The lowest role that may execute it; USER if the manifest does not declare one."""
        return _role(self.json, _COMMAND_ROLE)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its other names, from the manifest and from profiles."""
        return _names(self.json.get("aliases")) + _names(self.json.get("implements"))

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The arguments that it takes, by name."""
        return _declared(self.json, "arguments", Parameter)

    @property
    def confirmation(self) -> Mapping[str, Any]:
        """The confirmation to request from a person before execution, or {}."""
        return _object(self.json.get("confirmation"))

    def problem(self, values: Mapping[str, Any]) -> str:
        """Return the reason why the command refuses these arguments, or ""."""
        for name, parameter in self.parameters.items():
            if parameter.required and parameter.default is None and name not in values:
                return f"{self.name} needs the argument {name!r}"
        return Parameters.problem(self, values)


@attrs.frozen
class Manifest:
    """A typed view of a manifest; `json` is the manifest as sent.

    Reading never raises: a section that is missing or has an unexpected form counts as empty, so
    one manifest cannot make a page of devices fail.
    """

    json: Mapping[str, Any] = attrs.field(converter=_object, hash=False, repr=False)

    @property
    def display_name(self) -> str | None:
        """The name of the blueprint, or None."""
        return _text(self.json.get("display_name"))

    @property
    def implements(self) -> tuple[str, ...]:
        """The profiles that the device implements."""
        return _names(self.json.get("implements"))

    @property
    def properties(self) -> dict[str, Declared]:
        """The properties, by name."""
        return _declared(self.json, "properties", Declared)

    @property
    def telemetry(self) -> dict[str, Declared]:
        """The telemetry attributes, by name."""
        return _declared(self.json, "telemetry", Declared)

    @property
    def alerts(self) -> dict[str, Alert]:
        """The alerts, by name."""
        return _declared(self.json, "alerts", Alert)

    @property
    def commands(self) -> dict[str, Command]:
        """The commands, by name."""
        return _declared(self.json, "commands", Command)

    @property
    def configuration(self) -> dict[str, ConfigurationGroup]:
        """The groups of configuration parameters, by name."""
        return _declared(self.json, "configuration", ConfigurationGroup)

    def command(self, name: str) -> Command | None:
        """Return the command with this name or alias, or None."""
        commands = self.commands
        found = commands.get(name)
        others = (each for each in commands.values() if name in each.aliases)
        return found or next(others, None)


def value_of(text: str, parameter: Parameter | None) -> Any:
    """Return the value in a text: the text itself for a string, otherwise the JSON in it.

    Text that is not JSON is returned unchanged; the check then explains the error.
    """
    if parameter is not None and parameter.value_type == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _declared(
    section_of: Mapping[str, Any], section: str, kind: Callable[[str, Any], T]
) -> dict[str, T]:
    found = _object(section_of.get(section))
    return {name: kind(name, value) for name, value in found.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _type_of(value: Any) -> str:
    """Return the JSON type of a value in the manifest's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "float"
    return "string" if isinstance(value, str) else "json"


_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "float": _is_number,
    "array_of_strings": lambda value: (
        isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    ),
}
"""Whether a value has a type of the manifest; a whole number counts as an integer, as in JSON."""
