"""The operations on telemetry, and how large queries are divided.

Source: API page, "Telemetry" and "Device Telemetry".
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import quote

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.telemetry import (
    TelemetryPoint,
    TelemetrySelector,
    Timeseries,
    TimeseriesRow,
)
from enapter_async.operation import (
    MIB,
    UNSET,
    Answer,
    Operation,
    Repeat,
    RequestParts,
    Unset,
)
from enapter_async.operations import arguments
from enapter_async.operations.on_device import OnDevice
from enapter_async.operations.timeseries_csv import TimeseriesReader, read_whole
from enapter_async.streaming import StreamedOperation
from enapter_async.text import rfc3339

MOST_DEVICES: Final = 50
"""The most devices in one request for latest values."""
LONGEST_QUERY: Final = 6_000
"""The longest query of one request for latest values, in characters."""
MOST_COLUMNS: Final = 100
"""How many columns of a time series are requested at once."""
MOST_REQUESTS: Final = 4
"""How many requests for columns are open at once; beyond that, each asks for more columns."""
MOST_ROWS: Final = 50_000
"""How many rows of a time series are requested at once."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ATTRIBUTE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")

Points = Mapping[str, TelemetryPoint]


def attribute_names(values: object) -> tuple[str, ...]:
    """Return names of attributes, without duplicates, in their original order."""
    return arguments.listed("attributes", values, "names", _attribute)


def _attribute(value: object) -> str:
    if isinstance(value, str) and _ATTRIBUTE.fullmatch(value):
        return value
    raise ArgumentError(
        "an attribute must be 1 to 128 letters, digits, '_', '.' or '-', starting with a "
        f"letter or '_'; got {arguments.shown(value)}"
    )


def _by_device(values: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(values, Mapping) or not values:
        raise ArgumentError(
            "attributes_by_device must map ids of devices to lists of attributes, such as"
            f' {{"dev-1": ["power"]}}; got {arguments.shown(values)}'
        )
    asked = {
        arguments.identifier("device", device): attribute_names(names)
        for device, names in values.items()
    }
    if not all(asked.values()):
        raise ArgumentError("attributes_by_device names a device without attributes")
    return asked


def _interval(value: object) -> timedelta | None:
    return None if value is None else seconds_of("relevance_interval", value)


def seconds_of(field: str, value: object) -> timedelta:
    """Return a duration of whole seconds, at least one."""
    if isinstance(value, timedelta) and value >= timedelta(seconds=1) and not value.microseconds:
        return value
    raise ArgumentError(
        f"{field} must be a timedelta of whole seconds, at least one; got {_told(value)}"
    )


def _told(value: object) -> str:
    return str(value) if isinstance(value, timedelta | datetime) else arguments.shown(value)


def _text_of(duration: timedelta) -> str:
    return f"{duration // timedelta(seconds=1)}s"


def _granularity(value: object) -> timedelta:
    return seconds_of("granularity", value)


def _from(value: datetime) -> datetime:
    return arguments.moment("from_", value)


def _to(value: datetime) -> datetime:
    return arguments.moment("to", value)


def _selectors(values: object) -> tuple[TelemetrySelector, ...]:
    """Return selectors, given as such or as a mapping of devices to attributes."""
    if isinstance(values, Mapping):
        values = [TelemetrySelector(device, names) for device, names in values.items()]
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ArgumentError(
            f"selectors must map devices to attributes, or be TelemetrySelectors; got "
            f"{arguments.shown(values)}"
        )
    given = tuple(values)
    for each in given:
        if not isinstance(each, TelemetrySelector):
            raise ArgumentError(f"a selector must be a TelemetrySelector; got {_told(each)}")
        arguments.identifier("device", each.device)
        if not attribute_names(each.attributes):
            raise ArgumentError("a selector must name attributes; it names none")
    if not given:
        raise ArgumentError("selectors must name attributes; they name none")
    return given


@attrs.frozen(kw_only=True)
class GetLatestTelemetry(Operation[Mapping[str, Points]]):
    """Read the latest values of attributes of up to 50 devices, by id.

    A value that is older than `relevance_interval` (by default 30 s) is not returned. Changes
    nothing, so it is safe to repeat.

    Source: API page "Telemetry", `GET telemetry/latest`.
    """

    kind: ClassVar[str] = "telemetry.latest"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Mapping[str, Points]]] = Answer(
        key="telemetry", type=Mapping[str, Points]
    )

    attributes_by_device: Mapping[str, tuple[str, ...]] = attrs.field(
        converter=_by_device, hash=False
    )
    relevance_interval: timedelta | None = attrs.field(default=None, converter=_interval)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        query = tuple(
            (f"devices[{device}]", ",".join(names))
            for device, names in self.attributes_by_device.items()
        )
        if self.relevance_interval is not None:
            query += (("relevance_interval", _text_of(self.relevance_interval)),)
        return RequestParts(method="GET", path=("telemetry", "latest"), query=query)

    def when_missing(self, envelope: Mapping[str, Any]) -> Mapping[str, Points] | Unset:
        """Return no values if the answer is empty."""
        return UNSET if envelope else {}


def latest_in_batches(
    attributes_by_device: Mapping[str, Iterable[str]], relevance_interval: timedelta | None
) -> Iterator[GetLatestTelemetry]:
    """Yield requests for latest values, none of them too long for a URL."""
    batch: dict[str, tuple[str, ...]] = {}
    size = 0
    asked = _by_device(attributes_by_device)
    for device, name in ((each, name) for each, names in asked.items() for name in names):
        new = 0 if device in batch else len(quote(f"&devices[{device}]="))
        added = new + len(name) + 1
        if size + added > LONGEST_QUERY or (new and len(batch) == MOST_DEVICES):
            yield GetLatestTelemetry(
                attributes_by_device=batch, relevance_interval=relevance_interval
            )
            batch, size = {}, 0
            added = len(quote(f"&devices[{device}]=")) + len(name) + 1
        batch[device] = (*batch.get(device, ()), name)
        size += added
    yield GetLatestTelemetry(attributes_by_device=batch, relevance_interval=relevance_interval)


@attrs.frozen(kw_only=True)
class GetDeviceTelemetry(OnDevice[Points]):
    """Read the latest values of attributes of one device; without `attributes`, of all.

    Changes nothing, so it is safe to repeat.

    Source: API page "Device Telemetry", `GET devices/{device_id}/telemetry`.
    """

    kind: ClassVar[str] = "telemetry.get"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Points]] = Answer(key="telemetry", type=Points, default={})

    attributes: tuple[str, ...] = attrs.field(default=(), converter=attribute_names)
    relevance_interval: timedelta | None = attrs.field(default=None, converter=_interval)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        query: tuple[tuple[str, str], ...] = ()
        if self.attributes:
            query = (("attribute.in", ",".join(self.attributes)),)
        if self.relevance_interval is not None:
            query += (("relevance_interval", _text_of(self.relevance_interval)),)
        return RequestParts(method="GET", path=self.path("telemetry"), query=query)


def _whole(reply: Any) -> Timeseries:
    return Timeseries(*read_whole(reply))


@attrs.frozen(kw_only=True)
class QueryTimeseries(StreamedOperation[TimeseriesRow]):
    """Read values of attributes over time, one row for each step of `granularity`.

    `selectors` name the attributes, or are a mapping of devices to attributes. Changes nothing, so
    it is safe to repeat.

    Source: API page "Telemetry", `POST telemetry/query_timeseries`.
    """

    kind: ClassVar[str] = "telemetry.query_timeseries"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Timeseries]] = Answer(
        type=Timeseries, max_bytes=64 * MIB, media=("text/csv",), decode=_whole
    )

    selectors: tuple[TelemetrySelector, ...] = attrs.field(converter=_selectors)
    from_: datetime = attrs.field(converter=_from)
    to: datetime = attrs.field(converter=_to)
    granularity: timedelta = attrs.field(default=timedelta(minutes=1), converter=_granularity)

    def __attrs_post_init__(self) -> None:
        if self.to <= self.from_:
            raise ArgumentError(f"to ({self.to}) must be later than from_ ({self.from_})")

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        body = {
            "from": rfc3339(self.from_),
            "to": rfc3339(self.to),
            "granularity": _text_of(self.granularity),
            "telemetry": [_item(each) for each in self.selectors],
        }
        return RequestParts(method="POST", path=("telemetry", "query_timeseries"), body=body)

    @staticmethod
    def reader(headers: Any) -> TimeseriesReader:
        """Return a reader of CSV."""
        return TimeseriesReader(headers)

    def by_columns(self) -> "tuple[QueryTimeseries, ...]":
        """Return queries that each ask for a part of the columns."""
        pairs = [(each, name) for each in self.selectors for name in each.attributes]
        size = max(MOST_COLUMNS, -(-len(pairs) // MOST_REQUESTS))
        return tuple(
            attrs.evolve(self, selectors=_joined(pairs[start : start + size]))
            for start in range(0, len(pairs), size)
        )

    def by_time(self) -> "Iterator[QueryTimeseries]":
        """Yield queries that each ask for a part of the time, cut where a step begins."""
        start = self.from_
        while True:
            steps = (start - _EPOCH) // self.granularity + MOST_ROWS
            cut = _EPOCH + steps * self.granularity
            if cut >= self.to:
                yield attrs.evolve(self, from_=start)
                return
            yield attrs.evolve(self, from_=start, to=cut)
            start = cut


def _joined(pairs: Iterable[tuple[TelemetrySelector, str]]) -> tuple[TelemetrySelector, ...]:
    """Return selectors for these attributes, in the same order."""
    found: list[tuple[TelemetrySelector, list[str]]] = []
    for selector, name in pairs:
        if not found or found[-1][0] is not selector:
            found.append((selector, []))
        found[-1][1].append(name)
    return tuple(attrs.evolve(selector, attributes=tuple(names)) for selector, names in found)


def _item(selector: TelemetrySelector) -> dict[str, Any]:
    item: dict[str, Any] = {"device": selector.device, "attribute": list(selector.attributes)}
    if selector.aggregation is not None:
        item["aggregation"] = selector.aggregation.lower()
    if selector.gap_filling is not None:
        filling = selector.gap_filling
        item["gap_filling"] = {
            "method": filling.method.lower(),
            "look_around": _text_of(filling.look_around),
        }
    return item
