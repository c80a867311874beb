"""One request to the emulator, split into parts, and the interface of the nouns that answer it.

To add a noun, write one file with a subclass of `Noun`, and list it in `routes.NOUNS`.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import attrs

from enapter_async.emulator.state import (
    EXPANDABLE,
    Refusal,
    Timestamps,
    invalid_parameter,
    not_found,
)
from enapter_async.emulator.world import World

PAGE_LIMIT: Final = 50
"""The largest page of any list; a larger `limit` is reduced to it."""


@attrs.frozen(kw_only=True)
class Call:
    """One request's method and path.

    `path` is as sent, without the query. `noun` is the class that answers it, or None if no
    endpoint has such a path; `ids` are the parts of the path that match the braces in its shape.
    """

    method: str
    path: str
    noun: "type[Noun] | None" = None
    ids: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def known(self) -> bool:
        """Whether an endpoint has this path."""
        return self.noun is not None

    @property
    def device(self) -> str | None:
        """The id or slug of the addressed device, if any."""
        return self.ids.get("device")

    @property
    def site_id(self) -> str | None:
        """The id of the site in the path, if any."""
        return self.ids.get("site_id")

    @property
    def verb(self) -> str | None:
        """The part of the path after the device, if any."""
        return self.ids.get("verb")


@attrs.frozen(kw_only=True)
class Request:
    """A request without its path: the role of its token, the query and the body.

    `role` is None if the fleet's own roles apply. `timestamps` is the form of times in the answer.
    """

    role: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    timestamps: Timestamps = "rfc3339"
    content_type: str = ""

    def parameter(self, name: str) -> str:
        """Return a parameter of the query, or "" if it is missing; of several, the last one."""
        return dict(self.query).get(name, "")

    def names(self, name: str) -> tuple[str, ...]:
        """Return the comma-separated names in all parameters of this name."""
        values = [value for key, value in self.query if key == name]
        return tuple(each.strip() for value in values for each in value.split(",") if each.strip())

    def expand(self, known: tuple[str, ...] = EXPANDABLE) -> frozenset[str]:
        """Return the names in `expand`; an unknown name is refused."""
        wanted = frozenset(self.names("expand"))
        if not wanted <= set(known):
            raise invalid_parameter("expand", f"It may name {', '.join(known)}.")
        return wanted

    def count(self, name: str, *, default: int, least: int) -> int:
        """Return a whole number of the query."""
        text = self.parameter(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
            raise invalid_parameter(name, f"It must be a whole number of at least {least}.")
        return int(text)

    def time(self, name: str) -> datetime | None:
        """Return a time of the query, or None; without an offset, it is UTC."""
        text = self.parameter(name)
        try:
            found = datetime.fromisoformat(text) if text else None
        except ValueError:
            raise invalid_parameter(name, "It must be an RFC 3339 time.") from None
        return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found

    def page(self) -> slice:
        """Return the slice of a list that `offset` and `limit` select."""
        offset = self.count("offset", default=0, least=0)
        limit = self.count("limit", default=PAGE_LIMIT, least=1)
        return slice(offset, offset + min(limit, PAGE_LIMIT))

    def object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise _invalid_json("The body is not valid JSON.") from None
        if not isinstance(value, dict):
            raise _invalid_json("The body is not a JSON object.")
        return value


@attrs.frozen
class Raw:
    """An answer that is not JSON: its body and its headers, each with a name and a value."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


def text(asked: Mapping[str, Any], name: str) -> str | None:
    """Return a string member of a JSON object, or None if it is missing or null."""
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid_parameter(name, "It must be a string.")
    if value and any("\ud800" <= character <= "\udfff" for character in value):
        raise invalid_parameter(name, "It must be valid Unicode.")
    return value


def needed_text(asked: Mapping[str, Any], name: str) -> str:
    """Return a string member of a JSON object, which must not be missing or empty."""
    value = text(asked, name)
    if not value:
        raise invalid_parameter(name, "It must not be empty.")
    return value


def fits(value: Any, kind: Any) -> bool:
    """Return whether a value has a type of the manifest; it has any that is not known."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "boolean" | "string":
            return isinstance(value, bool if kind == "boolean" else str)
        case "integer" | "float":
            return number and (kind == "float" or not value % 1)
        case "array_of_strings":
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return True


def no_endpoint() -> Refusal:
    """Return the 404 for a method and path that no endpoint has."""
    return not_found("There is no such endpoint.")


def _invalid_json(message: str) -> Refusal:
    return Refusal(400, "invalid_json", message)


class Noun:
    """The endpoints of one noun, with their own state and switches.

    `paths` are the shapes of its paths below `/v3`, with ids in braces. Each path that starts with
    `devices` also exists below `sites/{site_id}/`. `respond` answers one request with the JSON of a
    200, or with a `Raw` one, or raises `Refusal`. Effects go to `world.log`.
    """

    paths: ClassVar[tuple[str, ...]]

    def __init__(self, world: World) -> None:
        self.world = world

    def respond(self, call: Call, request: Request) -> dict[str, Any] | Raw:
        """Carry out a request whose path has one of the shapes."""
        raise NotImplementedError(f"{type(self).__name__} must define respond()")
