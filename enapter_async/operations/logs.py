"""The operations on logs: the list, and the requests that open streams.

Source: API page, "Logs" and the websockets.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.logs import DeviceEvent, LogRecord, LogSeverity, LogsOrder, LogsShow
from enapter_async.operation import Answer, Operation, Repeat, RequestParts, Target
from enapter_async.operations import arguments, device_arguments
from enapter_async.operations.devices import ListDevices
from enapter_async.operations.on_device import OnDevice
from enapter_async.operations.pages import Page
from enapter_async.operations.rule_arguments import rule_id
from enapter_async.operations.rule_engine import AtSite
from enapter_async.streaming import Streamed
from enapter_async.text import rfc3339

MOST_WATCHED: Final = 100
"""How many devices one stream may watch: their ids must fit in one address."""


def _severity(value: str | None) -> LogSeverity | None:
    return None if value is None else arguments.one_of("severity", value, LogSeverity)


def _show(value: str) -> LogsShow:
    return arguments.one_of("show", value, LogsShow)


def _order(value: str) -> LogsOrder:
    return arguments.one_of("order", value, LogsOrder)


def _from(value: datetime | None) -> datetime | None:
    return None if value is None else arguments.moment("received_at_from", value)


def _to(value: datetime | None) -> datetime | None:
    return None if value is None else arguments.moment("received_at_to", value)


def _device_ids(values: Iterable[str]) -> tuple[str, ...]:
    ids = arguments.listed("device_ids", values, "ids", _listed_id)
    if not 1 <= len(ids) <= MOST_WATCHED:
        raise ArgumentError(f"device_ids must be 1 to {MOST_WATCHED} ids; got {len(ids)}")
    return ids


def _listed_id(value: object) -> str:
    return arguments.identifier("device_ids", value)


def _filters(severity: LogSeverity | None, show: LogsShow) -> tuple[tuple[str, str], ...]:
    """Return the filters of lists and streams; severities are in lower case there."""
    asked = (
        ("severity", "" if severity is None else severity.lower()),
        ("show", "" if show == LogsShow.ALL else str(show)),
    )
    return tuple((name, value) for name, value in asked if value)


@attrs.frozen(kw_only=True)
class ListLogs(Page[LogRecord]):
    """Read one page of a device's logs, those received first unless `order` says otherwise.

    `received_at_from` and `received_at_to` are datetimes with a time zone. Changes nothing, so it
    is safe to repeat.

    Source: API page "Logs", `GET devices/{device_id}/logs`.
    """

    kind: ClassVar[str] = "log.list"
    proof: ClassVar[Operation[Any] | None] = ListDevices.proof
    answer: ClassVar[Answer[tuple[LogRecord, ...]]] = Answer(
        key="logs", type=tuple[LogRecord, ...], default=()
    )

    device_id: str = attrs.field(converter=device_arguments.device_id)
    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)
    severity: LogSeverity | None = attrs.field(default=None, converter=_severity)
    show: LogsShow = attrs.field(default=LogsShow.ALL, converter=_show)
    order: LogsOrder = attrs.field(default=LogsOrder.RECEIVED_AT_ASC, converter=_order)
    received_at_from: datetime | None = attrs.field(default=None, converter=_from)
    received_at_to: datetime | None = attrs.field(default=None, converter=_to)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        site = () if self.site_id is None else ("sites", self.site_id)
        times = (
            (name, rfc3339(moment))
            for name in ("received_at_from", "received_at_to")
            if (moment := getattr(self, name)) is not None
        )
        order = () if self.order == LogsOrder.RECEIVED_AT_ASC else (("order", str(self.order)),)
        query = (*times, *_filters(self.severity, self.show), *order, *self.paging())
        return RequestParts("GET", (*site, "devices", self.device_id, "logs"), query=query)

    def target(self) -> Target:
        """Return the device."""
        return Target("device", self.device_id, self.site_id)

    def proven_by(self) -> Operation[Any] | None:
        """Return a list of devices, of the same site if there is one."""
        return self.proof if self.site_id is None else ListDevices(site_id=self.site_id, limit=1)


@attrs.frozen(kw_only=True)
class StreamLogs(OnDevice[LogRecord], Streamed[LogRecord]):
    """Open the stream of a device's logs.

    Source: API page, the websocket `devices/{device_id}/logs`.
    """

    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[LogRecord]] = Answer(type=LogRecord)

    severity: LogSeverity | None = attrs.field(default=None, converter=_severity)
    show: LogsShow = attrs.field(default=LogsShow.ALL, converter=_show)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts("GET", self.path("logs"), query=_filters(self.severity, self.show))


@attrs.frozen(kw_only=True)
class StreamTelemetry(OnDevice[dict[str, Any]], Streamed[dict[str, Any]]):
    """Open the stream of a device's telemetry; its frames are JSON objects as the device sent them.

    Source: API page, the websocket `devices/{device_id}/telemetry`.
    """

    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[dict[str, Any]]] = Answer(type=dict[str, Any])

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts("GET", self.path("telemetry"))

    def flat(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the frame unchanged."""
        return frame


@attrs.frozen(kw_only=True)
class WatchDevices(Streamed[DeviceEvent]):
    """Open the stream of everything that some devices send.

    Source: API page, the websocket `devices/?id.in=…`.
    """

    answer: ClassVar[Answer[DeviceEvent]] = Answer(type=DeviceEvent)
    slash: ClassVar[bool] = True

    device_ids: tuple[str, ...] = attrs.field(converter=_device_ids)
    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        site = () if self.site_id is None else ("sites", self.site_id)
        query = tuple(("id.in", each) for each in self.device_ids)
        return RequestParts("GET", (*site, "devices"), query=query)

    def target(self) -> Target:
        """Return the devices."""
        return Target("device", site_id=self.site_id)

    def flat(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the frame unchanged: its log is one of three kinds of content."""
        return frame


@attrs.frozen(kw_only=True)
class StreamRuleLogs(AtSite[LogRecord], Streamed[LogRecord]):
    """Open the stream of a rule's logs.

    Source: API page, the websocket `sites/{site_id}/rule_engine/rules/{rule_id}/logs`.
    """

    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[LogRecord]] = Answer(type=LogRecord)

    rule_id: str = attrs.field(converter=rule_id)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts("GET", self.path("rules", self.rule_id, "logs"))

    def target(self) -> Target:
        """Return the rule."""
        return Target("rule", self.rule_id, self.site_id)
