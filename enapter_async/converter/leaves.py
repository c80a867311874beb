"""Reads and writes single JSON values; strict if a guess could be wrong.

These are pure functions, independent of the package's classes. They have an unused second argument
because cattrs passes it to every hook.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any, Final, get_args, get_origin

from cattrs import Converter

JSONObject = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Rarely needed patterns are compiled on first use, because this takes longer than the import.
_NUMERIC: Final = r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_from_iso: Final = datetime.fromisoformat
_DIGITS: Final = r"[0-9]{1,5}"
_LARGEST_PORT: Final = 65535


class Mismatch(Exception):  # noqa: N818  # it never leaves this package
    """A value that does not fit. `args[0]` is the reason; notes are the steps of the path to it."""


class Step(str):
    """A note on an exception: one step of the path to the value."""

    __slots__ = ()


_KINDS: Final = {
    NoneType: "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def mismatch(expected: str, value: object) -> Mismatch:
    """Return a mismatch with the expectation and the JSON kind of a value, but not the value."""
    kind = _KINDS.get(type(value), f"a value of type {type(value).__name__}")
    return Mismatch(f"expected {expected}, got {kind}")


def string(value: Any, _: Any) -> str:
    """Read a string."""
    if isinstance(value, str):
        return value
    raise mismatch("a string", value)


def optional_string(value: Any, _: Any) -> str | None:
    """Read a string or null."""
    if isinstance(value, str) or value is None:
        return value
    raise mismatch("a string", value)


def optional_label(value: Any, _: Any) -> str | None:
    """Read a string, a whole number as some servers write it, or null."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return optional_string(value, _)


def base64_text(value: Any, _: Any) -> str:
    """Read UTF-8 text that the API carries as base64; null is the empty text."""
    try:
        return base64.b64decode(optional_string(value, _) or "", validate=True).decode()
    except (binascii.Error, ValueError):
        raise Mismatch("expected UTF-8 text in base64") from None


def boolean(value: Any, _: Any) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    raise mismatch("a boolean", value)


def integer(value: Any, _: Any) -> int:
    """Read a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise mismatch("a whole number", value)


def number(value: Any, _: Any) -> float:
    """Read a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise mismatch("a number", value)


def optional_coordinate(value: Any, _: Any) -> float | None:
    """Read a number, which some servers write as text, or None if it is null or empty."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch(_NUMERIC, value):
        value = float(value)
    return number(value, _)


def json_object(value: Any, _: Any) -> JSONObject:
    """Read an object, leaving its contents unchanged."""
    if isinstance(value, dict):
        return value
    raise mismatch("an object", value)


def is_mapping(kind: Any) -> bool:
    """Return whether a type is `Mapping[str, …]`, whose values are read; those of dict are not."""
    return get_origin(kind) is Mapping


def mapping_hook(kind: Any, converter: Converter) -> Callable[[Any, Any], dict[str, Any]]:
    """Return a hook that reads an object of values of one type; a value of null is an empty one."""
    inner = get_args(kind)[1]
    read_inner = converter.get_structure_hook(inner)

    def read(value: Any, _: Any) -> dict[str, Any]:
        found = {}
        for name, item in json_object(value, _).items():
            try:
                found[name] = read_inner({} if item is None else item, inner)
            except Exception as error:
                error.add_note(Step(f".{name}"))
                raise
        return found

    return read


def nothing(value: Any, _: Any) -> None:
    """Accept any value and return None."""


def port(value: Any, _: Any) -> int:
    """Read a port; some servers write it as a string, or as 8883.0."""
    text = isinstance(value, str) and re.fullmatch(_DIGITS, value)
    if text or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise mismatch("a port number", value)
    if not 0 <= value <= _LARGEST_PORT:
        raise Mismatch(f"expected a port number, 0 to {_LARGEST_PORT}")
    return value


def optional_port(value: Any, _: Any) -> int | None:
    """Read a port, or None if it is null or empty."""
    return None if value is None or value == "" else port(value, _)


def moment(value: Any, _: Any) -> datetime:
    """Read a time: seconds since 1970 as on the API page, or RFC 3339 as live servers write.

    Text without an offset is taken as UTC; digits beyond microseconds are cut off.
    """
    try:
        if isinstance(value, str):
            if _RFC3339.fullmatch(value):
                moment = datetime.fromisoformat(value.upper())
                if moment.tzinfo is UTC:
                    return moment
                return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
            if re.fullmatch(_NUMERIC, value):
                return _EPOCH + timedelta(seconds=float(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            return _EPOCH + timedelta(seconds=value)
    except (ValueError, OverflowError):
        raise Mismatch("expected a time, got one that does not exist or is out of range") from None
    raise mismatch("a time (seconds since 1970, or RFC 3339)", value)


def optional_moment(value: Any, _: Any) -> datetime | None:
    """Read a time, or None if it is null or empty."""
    if isinstance(value, str) and value[4::3] == "--T::Z" and len(value) == 20:
        try:
            return _from_iso(value)  # as live servers write it, without a regular expression
        except ValueError:
            pass  # `moment` raises an error with the reason
    return None if value is None or value == "" else moment(value, _)


def as_it_is(value: Any) -> Any:
    """Write plain JSON unchanged."""
    return value
