"""Models of telemetry as the API returns it.

Source: API page, "Telemetry" and "Device Telemetry".
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple, Self

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.enumerations import OpenEnum

Value = float | int | str | bool | tuple[str, ...] | None
"""A value of a time series; None if there is none at that time."""


class Aggregation(OpenEnum):
    """How the values within one step of a time series become one value.

    Source: API page "Telemetry".
    """

    AUTO: ClassVar[Self]
    AVG: ClassVar[Self]
    LAST: ClassVar[Self]
    MIN: ClassVar[Self]
    MAX: ClassVar[Self]
    BOOL_OR: ClassVar[Self]


class GapFillingMethod(OpenEnum):
    """How a step of a time series without a value is filled: not at all, or with the last value.

    Source: API page "Telemetry".
    """

    NONE: ClassVar[Self]
    LOCF: ClassVar[Self]


class DataType(OpenEnum):
    """The type of the values in a column of a time series.

    Source: API page "Telemetry".
    """

    FLOAT: ClassVar[Self]
    INTEGER: ClassVar[Self]
    STRING: ClassVar[Self]
    STRING_ARRAY: ClassVar[Self]
    BOOLEAN: ClassVar[Self]


@attrs.frozen(kw_only=True)
class TelemetryPoint:
    """The latest value of one attribute of a device.

    If the API could not obtain it, `timestamp` is None and `warning` says why. `value` is a number,
    a boolean, a string or a list of strings.
    """

    value: Any = attrs.field(default=None, hash=False)
    timestamp: datetime | None = None
    warning: str | None = None


@attrs.frozen
class GapFilling:
    """How gaps in a time series are filled; `look_around` is how far back a value is searched."""

    method: GapFillingMethod = attrs.field(converter=GapFillingMethod)
    look_around: timedelta = timedelta()


def _names(values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ArgumentError(f"attributes must be a list of names; got {values!r}")
    return tuple(values)


@attrs.frozen
class TelemetrySelector:
    """Attributes of one device, by its id or slug, for a time series.

    Without `aggregation` the API chooses one for each attribute.
    """

    device: str
    attributes: tuple[str, ...] = attrs.field(converter=_names)
    aggregation: Aggregation | None = attrs.field(
        default=None, converter=attrs.converters.optional(Aggregation)
    )
    gap_filling: GapFilling | None = None


@attrs.frozen(kw_only=True)
class TimeseriesColumn:
    """A column of a time series; `type` is None as long as no response named it.

    `name` is the column's header in the API's answer, with all of its labels.
    """

    device: str
    attribute: str
    aggregation: Aggregation | None = None
    type: DataType | None = None
    name: str = ""


class TimeseriesRow(NamedTuple):
    """One step of a time series: its start, and a value for each column."""

    timestamp: datetime
    values: tuple[Value, ...]


@attrs.frozen
class Timeseries:
    """A whole time series in memory: its columns, and its rows in order of time."""

    columns: tuple[TimeseriesColumn, ...]
    rows: tuple[TimeseriesRow, ...]
