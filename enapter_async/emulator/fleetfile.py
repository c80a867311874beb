"""Reading and checking fleets in JSON, with device objects as the API returns them."""

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from enapter_async.emulator.seeding import slug_of
from enapter_async.emulator.state import (
    COMMUNICATION_TYPES,
    CONNECTIVITY,
    DEVICE_TYPES,
    ROLES,
    Device,
    Site,
    SlugScope,
    moment,
)

_HOME: Final = "00000000-0000-4000-8000-000000000001"
"""The site of devices that do not name one."""
_NEWER_WORD: Final = re.compile(r"[A-Z][A-Z0-9_]*")
"""A value that a newer API may know: kept unchanged, and returned again."""


KeyT = TypeVar("KeyT", bound=Hashable)


class FleetFileError(ValueError):
    """A fleet could not be read; the message names the place and the error."""


def read(path: Path) -> list[Any]:
    """Read the values of a file: a list, an object with `devices`, or one object per line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FleetFileError(f"{path}: not UTF-8 text") from error
    try:
        values = [json.loads(text)]
    except (ValueError, RecursionError) as whole:
        try:
            values = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise FleetFileError(f"{path}: not JSON: {whole}") from whole
    if len(values) == 1 and isinstance(values[0], list):
        return list(values[0])
    return values


def fleet(
    values: Iterable[Any], *, now: datetime, unique_slugs: SlugScope = "account"
) -> tuple[list[Device], list[Site]]:
    """Convert parsed values to devices and sites.

    `values` are device objects, or one object with `devices` and, optionally, `sites`.
    """
    listed = list(values)
    sites: dict[str, Site] = {}
    place = "devices"
    if len(listed) == 1 and isinstance(listed[0], dict) and "devices" in listed[0]:
        for number, value in enumerate(_list(listed[0].get("sites", []), "sites")):
            site = _site(value, f"sites[{number}]")
            sites[site.id] = site
        listed = _list(listed[0]["devices"], place)
    devices: list[Device] = []
    ids: dict[str, str] = {}
    slugs: dict[tuple[str, str], str] = {}
    for number, value in enumerate(listed):
        where = f"{place}[{number}]"
        device = _device(value, where, now, sites)
        _once(ids, device.id, f"{where}.id")
        scope = device.site_id if unique_slugs == "site" else ""
        _once(slugs, (scope, device.slug), f"{where}.slug")
        devices.append(device)
    return devices, list(sites.values())


def _device(value: Any, where: str, now: datetime, sites: dict[str, Site]) -> Device:
    fields = _object(value, where)
    device_id = _text(fields, "id", where)
    if not device_id:
        raise FleetFileError(f"{where}.id: missing")
    site_id = _text(fields, "site_id", where) or _HOME
    if fields.get("site") is not None:
        sites.setdefault(site_id, _site(fields["site"], f"{where}.site"))
    sites.setdefault(site_id, Site(id=site_id, name="Home" if site_id == _HOME else site_id))
    communication = _object(fields.get("communication") or {}, f"{where}.communication")
    connectivity = _object(fields.get("connectivity") or {}, f"{where}.connectivity")
    inside = f"{where}.communication"
    name = _text(fields, "name", where) or device_id
    return Device(
        id=device_id,
        name=name,
        slug=_text(fields, "slug", where) or f"{slug_of(name)}-{slug_of(device_id)}",
        site_id=site_id,
        updated_at=_time(fields.get("updated_at"), f"{where}.updated_at", now),
        blueprint_id=_text(fields, "blueprint_id", where) or "",
        type=_one_of(fields, "type", where, DEVICE_TYPES) or "STANDALONE",
        authorized_role=_one_of(fields, "authorized_role", where, ROLES) or "OWNER",
        implemented_profiles=_texts(fields, "implemented_profiles", where),
        manifest=_object(fields.get("manifest") or {}, f"{where}.manifest"),
        properties=_object(fields.get("properties") or {}, f"{where}.properties"),
        connectivity=_one_of(connectivity, "status", f"{where}.connectivity", CONNECTIVITY)
        or "UNKNOWN",
        communication_type=_one_of(communication, "type", inside, COMMUNICATION_TYPES),
        upstream_id=_text(communication, "upstream_id", inside) or None,
        hardware_id=_text(communication, "hardware_id", inside) or None,
        channel_id=_text(communication, "channel_id", inside) or None,
        raised_alert_names=_texts(fields, "raised_alert_names", where),
    )


def _site(value: Any, where: str) -> Site:
    fields = _object(value, where)
    site_id = _text(fields, "id", where)
    if not site_id:
        raise FleetFileError(f"{where}.id: missing")
    return Site(
        id=site_id,
        name=_text(fields, "name", where) or site_id,
        timezone=_text(fields, "timezone", where) or "Etc/UTC",
        authorized_role=_one_of(fields, "authorized_role", where, ROLES) or "OWNER",
        location=_object(fields["location"], f"{where}.location")
        if fields.get("location") is not None
        else None,
    )


def _once(seen: dict[KeyT, str], key: KeyT, where: str) -> None:
    if key in seen:
        raise FleetFileError(f"{where}: the same as {seen[key]}")
    seen[key] = where


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FleetFileError(f"{where}: an object is expected")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise FleetFileError(f"{where}: a list is expected")
    return value


def _text(fields: Mapping[str, Any], key: str, where: str) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise FleetFileError(f"{where}.{key}: a string is expected")
    return value


def _texts(fields: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = _list(fields.get(key) or [], f"{where}.{key}")
    if not all(isinstance(item, str) for item in value):
        raise FleetFileError(f"{where}.{key}: a list of strings is expected")
    return tuple(value)


def _one_of(fields: Mapping[str, Any], key: str, where: str, known: tuple[str, ...]) -> str | None:
    value = _text(fields, key, where)
    if not value:
        return None
    if value.upper() in known:
        return value.upper()
    if _NEWER_WORD.fullmatch(value) is None:
        raise FleetFileError(
            f"{where}.{key}: expected one of {', '.join(known)}, or a newer word in capitals"
        )
    return value


def _time(value: Any, where: str, now: datetime) -> datetime:
    if value is None:
        return now
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return moment(value)
    except (ValueError, OverflowError):
        pass
    raise FleetFileError(f"{where}: Unix seconds or an RFC 3339 time is expected")
