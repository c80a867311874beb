"""The rules for the arguments of all operations.

They are attrs converters, not validators: validators can be disabled for a whole process, but an id
must never break out of its path segment. Each raises `ArgumentError`, whose message shows a value
only as `shown` returns it.
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from enapter_async.errors import ArgumentError
from enapter_async.models.enumerations import OpenEnum
from enapter_async.operation import Unset

T = TypeVar("T")
EnumT = TypeVar("EnumT", bound=OpenEnum)

LONGEST_TEXT: Final = 1024
"""The maximum length of a name or a slug, in characters."""

AMBIGUOUS_SITE: Final = "without site_id, it is the site of whichever gateway answers; set site_id"
"""Why a job refuses a change that names no site."""

_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_UNSENDABLE: Final = r"[\x00\ud800-\udfff]"
_SHOWN_CHARACTERS: Final = 60


def shown(value: object) -> str:
    """Return a value as text that is short and safe for any terminal or log."""
    if not isinstance(value, str):
        return f"a value of type {type(value).__name__}"
    text = ascii(value[:_SHOWN_CHARACTERS])
    return text if len(value) <= _SHOWN_CHARACTERS else f"{text}... ({len(value)} characters)"


def identifier(field: str, value: object) -> str:
    """Return an id or a slug that is valid as one segment of a path; refuse anything else."""
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value):
        return value
    raise ArgumentError(
        f"{field} must be 1 to 128 letters, digits, '_' or '-', starting with a letter or a digit; "
        f"got {shown(value)}"
    )


def address(field: str, value: object) -> str:
    r"""Return an id or a slug for the path of a request; refuse one that could change the path.

    The API page gives no rule for slugs, so a device may have any. A '/', '\' or '%' is refused
    even though it would be escaped, because a proxy may reverse that and reach another path.
    """
    if isinstance(value, str) and (_IDENTIFIER.fullmatch(value) or _is_address(value)):
        return value
    raise ArgumentError(
        f"{field} must be 1 to {LONGEST_TEXT} printable characters that can be part of an address: "
        "without '/', '\\', '%' and white space at its edges, and neither '.' nor '..'; got "
        f"{shown(value)}"
    )


def _is_address(slug: str) -> bool:
    return (
        0 < len(slug) <= LONGEST_TEXT
        and slug.isprintable()
        and slug == slug.strip()
        and not re.search(r"[/\\%]|^\.\.?$", slug)
    )


def is_uuid(address: str) -> bool:
    """Return whether an address is an id in the API's form, and therefore not a slug."""
    return _UUID.fullmatch(address) is not None


def text(field: str, value: object) -> str | Unset | None:
    """Return text that JSON can carry, or None or `UNSET`; refuse anything else."""
    if isinstance(value, str):
        # Printable text has no NUL or surrogate; only other text needs the search.
        if len(value) <= LONGEST_TEXT and (
            value.isprintable() or not re.search(_UNSENDABLE, value)
        ):
            return value
    elif value is None or isinstance(value, Unset):
        return value
    raise ArgumentError(
        f"{field} must be None or at most {LONGEST_TEXT} characters of valid text without NUL;"
        f" got {shown(value)}"
    )


def needed_text(field: str, value: object, what: str) -> str:
    """Return text that is not empty; `what` is the object that needs it."""
    given = text(field, value)
    if isinstance(given, str) and given:
        return given
    raise ArgumentError(f"{field} must not be empty; {what} needs one")


def moment(field: str, value: object) -> datetime:
    """Return an aware time in UTC; a naive one is refused, because its zone would be a guess."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    got = "a time without a zone" if isinstance(value, datetime) else shown(value)
    raise ArgumentError(f"{field} must be a datetime with a time zone, such as UTC; got {got}")


def one_of(field: str, value: object, kind: type[EnumT]) -> EnumT:
    """Return the known member of an enumeration that a string names, in any case."""
    if isinstance(value, str) and (member := kind(value)) in kind.known():
        return member
    raise ArgumentError(f"{field} must be one of {', '.join(kind.known())}; got {shown(value)}")


def integer(field: str, value: object, *, least: int, most: int) -> int:
    """Return a whole number within bounds; booleans are refused."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ArgumentError(f"{field} must be a whole number; got {shown(value)}")
    if not least <= value <= most:
        got = value if abs(value) <= most * 10 else "a number far out of range"
        raise ArgumentError(f"{field} must be {least} to {most}; got {got}")
    return value


def json_value(field: str, value: object) -> None:
    """Refuse a value that JSON cannot represent, such as a date or NaN; the value is not shown."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ArgumentError(f"{field} is not a value that JSON can represent") from None


def listed(field: str, values: object, what: str, read: Callable[[Any], T]) -> tuple[T, ...]:
    """Return the elements of any iterable as `read` returns them, in order, without duplicates.

    A plain string is refused: it is an iterable of letters, which is never intended.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ArgumentError(f"{field} must be a list of {what}; got {shown(values)}")
    return tuple(dict.fromkeys(read(each) for each in values))


def names(field: str, values: object, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return known names from any iterable, without duplicates, in their original order."""
    choices = ", ".join(known)

    def name(value: object) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise ArgumentError(f"{field} may contain {choices}; got {shown(value)}")

    return listed(field, values, f"names from {choices}", name)
