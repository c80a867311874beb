"""The emulator's logs of devices (API page "Logs"): those that are kept, and their list."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

import attrs

from enapter_async.emulator.request import Call, Noun, Request, no_endpoint
from enapter_async.emulator.state import Timestamps, invalid_parameter, moment, told
from enapter_async.emulator.world import World

SEVERITIES: Final = ("debug", "info", "warning", "error")
SHOWS: Final = ("ALL", "PERSISTED_ONLY", "TEMPORARY_ONLY")
_ORDERS: Final = ("RECEIVED_AT_ASC", "RECEIVED_AT_DESC")


@attrs.frozen(kw_only=True)
class Record:
    """One log; the API keeps it only if the device asked for that (`persist`)."""

    device_id: str
    message: str
    severity: str
    received_at: datetime
    persist: bool

    def to_json(self, timestamps: Timestamps) -> dict[str, Any]:
        """Return the log as the list shows it."""
        return {
            "timestamp": int(self.received_at.timestamp()),
            "received_at": told(self.received_at, timestamps),
            "severity": self.severity,
            "message": self.message,
        }

    def is_wanted(self, query: Mapping[str, str]) -> bool:
        """Return whether the filters of a request let it pass."""
        show = query.get("show") or "ALL"
        kept = {"ALL": (True, False), "PERSISTED_ONLY": (True,), "TEMPORARY_ONLY": (False,)}[show]
        return self.persist in kept and query.get("severity") in (None, "", self.severity)


class Logs(Noun):
    """The logs of the world's devices. The list has only those that the device asked to keep.

    The API page leaves open whether `severity` is exact or a minimum: here it is exact.
    """

    paths: ClassVar[tuple[str, ...]] = ("devices/{device}/logs",)

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._kept: dict[str, list[Record]] = {}

    def write(
        self, device_id: str, message: str, *, severity: str = "info", persist: bool = True
    ) -> Record:
        """Let a device write a log now, and return it; without a stream, see `Streams.log`."""
        received_at = moment(self.world.now())
        record = Record(
            device_id=device_id,
            message=message,
            severity=severity,
            received_at=received_at,
            persist=persist,
        )
        if persist:
            self._kept.setdefault(device_id, []).append(record)
        return record

    def respond(self, call: Call, request: Request) -> dict[str, Any]:
        """List the logs of a device."""
        if call.method != "GET" or call.device is None:
            raise no_endpoint()
        device = self.world.get(call.device, site_id=call.site_id)
        check(dict(request.query))
        since, until = (request.time(f"received_at_{end}") for end in ("from", "to"))
        found = [
            each
            for each in self._kept.get(device.id, ())
            if each.is_wanted(dict(request.query))
            and (since is None or each.received_at >= since)
            and (until is None or each.received_at <= until)
        ]
        if request.parameter("order") == _ORDERS[1]:
            found.reverse()
        shown = [each.to_json(request.timestamps) for each in found[request.page()]]
        return {"logs": shown, "total_count": len(found)}


def check(query: Mapping[str, str]) -> None:
    """Refuse an unknown severity, selection or order."""
    for name, known in (("severity", SEVERITIES), ("show", SHOWS), ("order", _ORDERS)):
        if query.get(name) and query[name] not in known:
            raise invalid_parameter(name, f"It may be {', '.join(known)}.")
