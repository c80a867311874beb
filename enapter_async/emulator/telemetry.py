"""The emulator's endpoints for telemetry (API page "Telemetry" and "Device Telemetry")."""

import csv
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from enapter_async.emulator.request import Call, Noun, Raw, Request, no_endpoint
from enapter_async.emulator.state import (
    Device,
    Refusal,
    invalid_parameter,
    not_found,
    unprocessable,
)
from enapter_async.emulator.world import World

DEFAULT = {
    "status": "string",
    "power": "float",
    "temperature": "float",
    "total_energy": "integer",
    "running": "boolean",
    "alerts": "array_of_strings",
}
"""The attributes, with their types, of a device whose manifest declares no telemetry."""
TYPES = {"array_of_strings": "string_array"}
"""The types of columns that are named differently from those of manifests."""
LARGEST_TABLE = 1_000_000
STATUSES = ("ok", "warning", "idle\nstandby", 'a "test", only')
ALERTS = ("overheat", "no,connection", "not_configured")


class Telemetry(Noun):
    """The telemetry of all devices, which follows from the seed, the attribute and the time.

    A device has the attributes of its manifest, or else `DEFAULT`. Each has a value for each full
    second, except that a tenth of the steps is empty; `silent` names devices that have none at all.
    Switches for choices that the API page leaves open: `types_in_one_field` is the form of the
    header with the types, `no_data` that of a table without rows, and `line_end` ends a row. With
    `includes_end`, a table also has a row at its end, with the value of a part of the step.
    """

    paths: ClassVar[tuple[str, ...]] = (
        "telemetry/latest",
        "telemetry/query_timeseries",
        "devices/{device}/telemetry",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.seed = 1
        self.silent: set[str] = set()
        self.types_in_one_field = True
        self.no_data = "header"
        self.line_end = "\n"
        self.includes_end = False

    def respond(self, call: Call, request: Request) -> dict[str, Any] | Raw:
        """Carry out a request for telemetry."""
        if call.device is not None and call.method == "GET":
            device = self._device(call.device, call.site_id)
            names = request.names("attribute.in") or tuple(attributes_of(device))
            return {"telemetry": self._latest(device, names)}
        if call.path.endswith("/latest") and call.method == "GET":
            return {"telemetry": self._latest_of_many(request)}
        if call.path.endswith("/query_timeseries") and call.method == "POST":
            return self._table(request.object())
        raise no_endpoint()

    def value(self, device_id: str, attribute: str, kind: str, time: int) -> Any:
        """Return the value of an attribute at a time; None if there is none."""
        drawn = zlib.crc32(f"{self.seed}/{device_id}/{attribute}/{time}".encode())
        if device_id in self.silent or drawn % 10 == 0:
            return None
        match kind:
            case "float":
                return drawn % 100_000 / 8
            case "integer":
                return drawn % 1_000_000 - 500_000
            case "boolean":
                return drawn % 2 == 0
            case "array_of_strings":
                return [name for bit, name in enumerate(ALERTS) if drawn >> bit + 4 & 1]
        return STATUSES[drawn % len(STATUSES)]

    def _device(self, name: str, site_id: str | None = None) -> Device:
        device_id = self.world.id_of(name, site_id=site_id)
        if device_id is None:
            raise not_found("There is no such device.")
        return self.world.get(device_id)

    def _latest_of_many(self, request: Request) -> dict[str, Any]:
        asked = {
            name.removeprefix("devices[").removesuffix("]"): request.names(name)
            for name, _ in request.query
            if name.startswith("devices[") and name.endswith("]")
        }
        if not asked:
            raise invalid_parameter("devices", "It must name devices.")
        if len(asked) > 50:
            raise invalid_parameter("devices", "It may name 50 devices.")
        return {name: self._latest(self._device(name), names) for name, names in asked.items()}

    def _latest(self, device: Device, names: tuple[str, ...]) -> dict[str, Any]:
        known, now = attributes_of(device), int(self.world.now())
        found: dict[str, Any] = {}
        for name in names:
            if name not in known:
                found[name] = {"warning": "There is no such attribute."}
                continue
            value = self.value(device.id, name, known[name], now)
            if value is None:
                found[name] = {"warning": "There is no value."}
            else:
                found[name] = {"value": value, "timestamp": now}
        return found

    def _table(self, asked: dict[str, Any]) -> Raw:
        start, end, step = _time(asked, "from"), _time(asked, "to"), _step(asked)
        columns = list(self._columns(asked))
        if not columns:
            code = "telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND"
            raise Refusal(404, code, "There is nothing to query.")
        if (end - start) // step * len(columns) > LARGEST_TABLE:
            raise unprocessable("It is too much.")
        rows = []
        for time in range(start // step * step, end + self.includes_end, step):
            at = time + (time == end)  # another value than that of the whole step
            cells = [self.value(device, name, kind, at) for device, name, kind, _ in columns]
            if any(cell is not None for cell in cells):
                rows.append([str(time), *map(_cell, cells)])
        return self._written([label for *_, label in columns], [each[2] for each in columns], rows)

    def _written(self, labels: list[str], kinds: list[str], rows: list[list[str]]) -> Raw:
        names = [TYPES.get(kind, kind) for kind in kinds]
        fields = [",".join(names)] if self.types_in_one_field else names
        headers = [("Content-Type", "text/csv")]
        headers += [("X-Enapter-Timeseries-Data-Types", field) for field in fields]
        if not rows and self.no_data == "nothing":
            return Raw(b"", tuple(headers[:1]))
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=self.line_end).writerows([["ts", *labels], *rows])
        return Raw(text.getvalue().encode(), tuple(headers))

    def _columns(self, asked: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
        """Yield each column that exists: its device, attribute, type and header."""
        items = asked.get("telemetry")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise invalid_parameter("telemetry", "It must be a list of objects.")
        for item in items:
            found = self.world.id_of(str(item.get("device")))
            names = item.get("attribute")
            aggregation = item.get("aggregation") or asked.get("aggregation") or "auto"
            known = {} if found is None else attributes_of(self.world.get(found))
            for name in [names] if isinstance(names, str) else names or []:
                if found is not None and name in known:
                    label = f"device={found} telemetry={name} aggregation={aggregation}"
                    yield found, name, known[name], label


def attributes_of(device: Device) -> dict[str, str]:
    """Return the attributes of a device, with their types in the words of manifests."""
    declared = device.manifest.get("telemetry")
    if not isinstance(declared, Mapping):
        return DEFAULT
    return {name: str(each.get("type", "string")) for name, each in declared.items()}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | list):
        return json.dumps(value)
    return str(value)


def _time(asked: Mapping[str, Any], name: str) -> int:
    value = asked.get(name)
    try:
        if isinstance(value, str):
            return int(datetime.fromisoformat(value).timestamp())
        if isinstance(value, int | float):
            return int(value)
    except (OverflowError, ValueError):
        pass  # refused below
    raise invalid_parameter(name, "It must be a time.")


def _step(asked: Mapping[str, Any]) -> int:
    text = str(asked.get("granularity") or "60s")
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if text[-1] not in units or not text[:-1].isdigit() or int(text[:-1]) < 1:
        raise invalid_parameter("granularity", "It must be a duration such as 60s.")
    return int(text[:-1]) * units[text[-1]]
