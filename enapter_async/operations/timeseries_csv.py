"""Time series as CSV: the header, the types of its columns, and the rows, part by part.

Source: API page, "Telemetry".
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from enapter_async.models.telemetry import (
    Aggregation,
    DataType,
    TimeseriesColumn,
    TimeseriesRow,
    Value,
)
from enapter_async.operation import MIB

TYPES_HEADER: Final = "X-Enapter-Timeseries-Data-Types"
LARGEST_RECORD: Final = MIB
"""The largest row and the largest header of a table, in bytes."""

_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
_Convert = Callable[[Sequence[str]], Sequence[Value]]


class TimeseriesReader:
    """Reads one answer; `columns` is empty until its header has arrived.

    An answer without a column header, or with nothing else, holds no data.
    """

    def __init__(self, headers: Any) -> None:
        fields = headers.getall(TYPES_HEADER, ())  # repeated, or joined by commas
        names = [name.strip() for field in fields for name in field.split(",")]
        self._types = [DataType(name) for name in names if name]
        self._rest = b""
        self._converters: list[_Convert] = []
        self._last: datetime | None = None
        self._has_header = False
        self.columns: tuple[TimeseriesColumn, ...] = ()

    def feed(self, chunk: bytes) -> Sequence[TimeseriesRow]:
        """Return the rows that are complete with this part of the body."""
        data = self._rest + chunk
        end = _complete(data)
        self._rest = data[end:]
        if len(self._rest) > LARGEST_RECORD:
            raise ValueError(f"a row is larger than {LARGEST_RECORD} bytes")
        return self._rows(data[:end])

    def end(self) -> Sequence[TimeseriesRow]:
        """Return the last row if it ends without a line break."""
        rest, self._rest = self._rest, b""
        if rest.count(b'"') % 2:
            raise ValueError("the response ends within a row")
        return self._rows(rest)

    def _rows(self, data: bytes) -> Sequence[TimeseriesRow]:
        if not data:
            return ()
        records = [record for record in csv.reader(io.StringIO(_text(data), newline="")) if record]
        if not self._has_header and records:
            self._take_header(records.pop(0))
        if not records:
            return ()
        if self.columns and not self._converters:
            raise ValueError(f"the response has rows, but no header {TYPES_HEADER}")
        width = len(self.columns) + 1
        if any(len(record) != width for record in records):
            raise ValueError(f"a row does not have one cell for each of the {width} columns")
        cells = list(zip(*records, strict=True))
        times = self._times(cells[0])
        if not self.columns:
            return [TimeseriesRow(time, ()) for time in times]
        values = [self._converted(index, column) for index, column in enumerate(cells[1:])]
        pairs = zip(times, zip(*values, strict=True), strict=True)
        return list(map(TimeseriesRow._make, pairs))

    def _take_header(self, names: Sequence[str]) -> None:
        self._has_header = True
        if names[0].removeprefix("\ufeff") != "ts":
            raise ValueError("the first column is not ts")
        types: Sequence[DataType | None] = self._types
        if not types:
            types = [None] * (len(names) - 1)
        if len(types) != len(names) - 1:
            raise ValueError(f"the response names {len(types)} types for {len(names) - 1} columns")
        self.columns = tuple(map(_column, names[1:], types))
        self._converters = [_CONVERTERS.get(each, _texts) for each in self._types]

    def _times(self, cells: Sequence[str]) -> list[datetime]:
        try:
            times = [datetime.fromtimestamp(float(cell), UTC) for cell in cells]
        except (ValueError, OverflowError, OSError):
            times = []
        if not times:
            raise ValueError("a time is not a number of seconds since 1970")
        known = times if self._last is None else [self._last, *times]
        if any(before >= after for before, after in pairwise(known)):
            raise ValueError("the rows are not in order of time")
        self._last = times[-1]
        return times

    def _converted(self, index: int, cells: Sequence[str]) -> Sequence[Value]:
        try:
            return self._converters[index](cells)
        except (ValueError, KeyError):
            pass  # raised below, because its text and context hold a value
        column = self.columns[index]
        raise ValueError(
            f"a value of {column.device} {column.attribute} is not of type {column.type}"
        )


def read_whole(reply: Any) -> tuple[tuple[TimeseriesColumn, ...], tuple[TimeseriesRow, ...]]:
    """Return the columns and the rows of a whole answer."""
    reader = TimeseriesReader(reply.headers)
    rows = (*reader.feed(reply.body), *reader.end())
    return reader.columns, rows


def _complete(data: bytes) -> int:
    """Return where the last complete row ends; a line break within quotes belongs to its cell."""
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end)
    while quotes % 2:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass  # raised below, because it holds the data
    raise ValueError("the response is not UTF-8")


def _column(name: str, kind: DataType | None) -> TimeseriesColumn:
    parts = [label.partition("=") for label in name.split(" ")]
    labels = {label: value for label, _, value in parts}
    if not labels.get("device") or not labels.get("telemetry"):
        raise ValueError("the header of a column names no device or no telemetry")
    aggregation = labels.get("aggregation")
    return TimeseriesColumn(
        device=labels["device"],
        attribute=labels["telemetry"],
        aggregation=Aggregation(aggregation) if aggregation else None,
        type=kind,
        name=name,
    )


def _floats(cells: Sequence[str]) -> Sequence[Value]:
    return [float(cell) if cell else None for cell in cells]


def _integers(cells: Sequence[str]) -> Sequence[Value]:
    try:
        return [int(cell) if cell else None for cell in cells]
    except ValueError:
        return [_integer(cell) if cell else None for cell in cells]


def _integer(cell: str) -> int:
    number = float(cell)  # some servers write whole numbers as 900.0
    if not number.is_integer():
        raise ValueError
    return int(number)


def _booleans(cells: Sequence[str]) -> Sequence[Value]:
    return [_BOOLEANS[cell.lower()] if cell else None for cell in cells]


def _texts(cells: Sequence[str]) -> Sequence[Value]:
    return [cell or None for cell in cells]


def _arrays(cells: Sequence[str]) -> Sequence[Value]:
    return [_array(cell) if cell else None for cell in cells]


def _array(cell: str) -> tuple[str, ...] | None:
    value = json.loads(cell)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError
    return tuple(value)


_CONVERTERS: Final[dict[DataType, _Convert]] = {
    DataType.FLOAT: _floats,
    DataType.INTEGER: _integers,
    DataType.BOOLEAN: _booleans,
    DataType.STRING: _texts,
    DataType.STRING_ARRAY: _arrays,
}
"""How each type is read; a type that this version does not know is kept as text."""
