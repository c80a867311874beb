"""The API's answer to one request, without any network: tokens, paths, queries and bodies.

`server` adds the network; this file is independent of sockets and aiohttp.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import attrs

from enapter_async.emulator.state import EXPANDABLE, ROLES, Device, Refusal, Timestamps
from enapter_async.emulator.world import PAGE_LIMIT, World, invalid_parameter

TOKEN_HEADER: Final = "X-Enapter-Auth-Token"  # noqa: S105 - a header's name


_SHAPES: Final = tuple(
    (noun, tuple(path.split("/")))
    for noun, path in (
        ("devices", "v3/devices"),
        ("devices", "v3/devices/{device}"),
        ("devices", "v3/devices/{device}/{verb}"),
        ("devices", "v3/sites/{site_id}/devices"),
        ("devices", "v3/sites/{site_id}/devices/{device}"),
        ("devices", "v3/sites/{site_id}/devices/{device}/{verb}"),
    )
)
"""The existing paths, each with its noun."""


@attrs.frozen(kw_only=True)
class Call:
    """One request, split into its parts.

    `path` is as sent, without the query. `noun` is the kind of object; `device` and `site_id`
    are the addressed objects, or None; `verb` is the part after the device. `known` is False
    if no endpoint has such a path.
    """

    method: str
    path: str
    known: bool = False
    noun: str = ""
    site_id: str | None = None
    device: str | None = None
    verb: str | None = None


def parse(method: str, path: str) -> Call:
    """Split a path into its parts; it starts with `/v3`, or with `/api/v3` as on a gateway."""
    raw = path.split("/")[1:]
    segments = [unquote(each) for each in (raw[1:] if raw[:1] == ["api"] else raw)]
    for noun, shape in _SHAPES:
        if len(shape) == len(segments):
            found = dict(zip(shape, segments, strict=True))
            ids = {name.strip("{}"): text for name, text in found.items() if name[0] == "{"}
            if all(name == text for name, text in found.items() if name[0] != "{"):
                return Call(method=method, path=path, known=True, noun=noun, **ids)
    return Call(method=method, path=path)


class Routes:
    """The endpoints of the API over a world.

    `tokens` maps each accepted token to its role on every device; None means the role that
    the fleet defines for each device. `timestamps` is "unix" or "rfc3339".
    """

    def __init__(
        self, world: World, *, tokens: Mapping[str, str | None], timestamps: Timestamps = "unix"
    ) -> None:
        if timestamps not in ("unix", "rfc3339"):
            raise ValueError('timestamps are "unix" or "rfc3339"')
        unknown = {role for role in tokens.values() if role is not None} - set(ROLES)
        if unknown:
            raise ValueError(f"no such role: {', '.join(sorted(unknown))}")
        self._world = world
        self._tokens = dict(tokens)
        self._timestamps: Timestamps = timestamps

    def respond(
        self, call: Call, *, token: str | None, query: Iterable[tuple[str, str]] = (), body: bytes
    ) -> tuple[int, dict[str, Any]]:
        """Carry out a request; return the status and the JSON of the answer."""
        try:
            return 200, self._apply(call, self._role(token), query, body)
        except Refusal as refusal:
            return refusal.status, refusal.envelope()

    def _role(self, token: str | None) -> str | None:
        if not token:
            raise _invalid_token(401, "A token is needed.")
        if token not in self._tokens:
            raise _invalid_token(403, "The token is not accepted.")
        return self._tokens[token]

    def _apply(
        self, call: Call, role: str | None, query: Iterable[tuple[str, str]], body: bytes
    ) -> dict[str, Any]:
        match call:
            case Call(method="GET", noun="devices", device=None):
                return self._page(call, role, query)
            case Call(method="GET", device=str(device), verb=None):
                found = self._world.get(device, site_id=call.site_id)
                return {"device": self._show(found, role, _expand(query))}
            case Call(method="DELETE", device=str(device), verb=None):
                self._world.delete(device, role=role, site_id=call.site_id)
                return {}
            case Call(device=str(device)):
                return self._change(call, device, role, body)
        raise _no_endpoint()

    def _change(self, call: Call, device: str, role: str | None, body: bytes) -> dict[str, Any]:
        world, site_id = self._world, call.site_id
        match call.method, call.verb:
            case "PATCH", None:
                asked = _object(body)
                name, slug = _text(asked, "name"), _text(asked, "slug")
                changed = world.update(device, name=name, slug=slug, role=role, site_id=site_id)
                return {"device": self._show(changed, role)}
            case "POST", "generate_config":
                protocol = _text(_object(body), "protocol") or ""
                config = world.generate_config(
                    device, protocol=protocol, role=role, site_id=site_id
                )
                return {"config": config}
            case "POST", "assign_blueprint":
                blueprint_id = _text(_object(body), "blueprint_id") or ""
                changed = world.assign_blueprint(
                    device, blueprint_id=blueprint_id, role=role, site_id=site_id
                )
                return {"device": self._show(changed, role)}
        raise _no_endpoint()

    def _page(
        self, call: Call, role: str | None, query: Iterable[tuple[str, str]]
    ) -> dict[str, Any]:
        expand = _expand(query)
        asked = dict(query)
        offset = _count(asked, "offset", default=0, least=0)
        limit = _count(asked, "limit", default=PAGE_LIMIT, least=1)
        found, total = self._world.page(offset=offset, limit=limit, site_id=call.site_id)
        shown = [self._show(device, role, expand) for device in found]
        return {"devices": shown, "total_count": total}

    def _show(
        self, device: Device, role: str | None, expand: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        site = self._world.site(device.site_id) if "site" in expand else None
        return device.to_json(expand=expand, timestamps=self._timestamps, role=role, site=site)


def _no_endpoint() -> Refusal:
    return Refusal(status=404, code="not_found", message="There is no such endpoint.")


def _invalid_token(status: int, message: str) -> Refusal:
    details = {"header": TOKEN_HEADER}
    return Refusal(status=status, code="invalid_header", message=message, details=details)


def _expand(query: Iterable[tuple[str, str]]) -> frozenset[str]:
    values = [value for name, value in query if name == "expand"]
    wanted = {name.strip() for value in values for name in value.split(",")} - {""}
    if not wanted <= set(EXPANDABLE):
        raise invalid_parameter("expand", f"It may name {', '.join(EXPANDABLE)}.")
    return frozenset(wanted)


def _count(asked: Mapping[str, str], name: str, *, default: int, least: int) -> int:
    text = asked.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise invalid_parameter(name, f"It must be a whole number of at least {least}.")
    return int(text)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid_json("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise _invalid_json("The body is not a JSON object.")
    return value


def _invalid_json(message: str) -> Refusal:
    return Refusal(status=400, code="invalid_json", message=message)


def _text(asked: Mapping[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid_parameter(name, "It must be a string.")
    if value and any("\ud800" <= character <= "\udfff" for character in value):
        raise invalid_parameter(name, "It must be valid Unicode.")
    return value
