"""The arguments of operations on configurations: names, values, and locations of sensitive values.

Each function raises `ArgumentError` if its argument is invalid, and shows no value.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from enapter_async.concealment import Secret
from enapter_async.errors import ArgumentError, ConfigurationError
from enapter_async.operations import arguments

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
REFERENCE: Final = re.compile(r"(env|file):(.+)")
_LONGEST_SECRET: Final = 64 * 1024


def _named(field: str, value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ArgumentError(
        f"{field} must be a name of letters, digits and '_' that starts with a letter; got"
        f" {arguments.shown(value)}"
    )


def group(value: str) -> str:
    """Return the name of a group."""
    return _named("group", value)


def _names(field: str, values: Iterable[str]) -> tuple[str, ...]:
    return arguments.listed(field, values, "names", partial(_named, f"each name in {field}"))


def names(values: Iterable[str]) -> tuple[str, ...]:
    """Return the names of parameters to read."""
    return _names("names", values)


def reset(values: Iterable[str]) -> tuple[str, ...]:
    """Return the names of parameters to reset."""
    return _names("reset", values)


def _values(field: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return names and values that JSON can carry; no value is shown in an error."""
    if not isinstance(values, Mapping):
        raise ArgumentError(f"{field} must be an object; got {arguments.shown(values)}")
    checked = {_named(f"each name in {field}", name): value for name, value in values.items()}
    for name, value in checked.items():
        arguments.json_value(f"{field}.{name}", value)
    return checked


def values_to_set(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return names and values to set; null is refused."""
    checked = _values("set", values)
    for name, value in checked.items():
        if value is None:
            raise ArgumentError(f"set.{name} is null; use reset to remove its value")
    return checked


def defaults(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return default values by name, or None."""
    return None if values is None else _values("defaults", values)


def secrets(values: Mapping[str, Any]) -> dict[str, Secret | str]:
    """Return sensitive values, or their locations, by name."""
    if not isinstance(values, Mapping):
        raise ArgumentError(f"secrets must be an object; got {arguments.shown(values)}")
    for name, value in values.items():
        _named("each name in secrets", name)
        reference = isinstance(value, str) and REFERENCE.fullmatch(value)
        if not reference and not isinstance(value, Secret):
            raise ArgumentError(
                f"secrets.{name} must be the location of the value: env:VARIABLE or file:PATH"
            )
    return dict(values)


def revealed(name: str, value: Secret | str) -> Any:
    """Return a sensitive value: the value itself, or the text that it refers to."""
    if isinstance(value, Secret):
        return json.loads(value.reveal())
    kind, _, place = value.partition(":")
    if kind == "env":
        text = os.environ.get(place)
        if not text:
            raise ConfigurationError(
                f"{name} needs the environment variable {place}, which is not set"
            )
        return text
    try:
        with Path(place).open(encoding="utf-8") as file:
            text = file.read(_LONGEST_SECRET)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"{name} needs {place}, which cannot be read: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; a number never equals a boolean."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)
