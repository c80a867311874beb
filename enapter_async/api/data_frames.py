"""Time series as Arrow tables and pandas data frames; both packages are optional."""

import importlib
from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final, Protocol

from enapter_async.errors import ConfigurationError
from enapter_async.models.telemetry import DataType, TimeseriesColumn, TimeseriesRow

TIME: Final = "time"
CHUNK_ROWS: Final = 10_000
"""After this many rows they are converted, because Python's values take much more memory."""


class Rows(Protocol):
    """An open time series."""

    @property
    def columns(self) -> tuple[TimeseriesColumn, ...]:
        """Its columns, known before the first row."""
        ...

    def __aiter__(self) -> Any: ...


async def arrow_table(rows: Rows) -> Any:
    """Return the rows as a `pyarrow.Table`.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    arrow = _imported("pyarrow", extra="arrow")
    chunks: list[Any] = []
    gathered: list[TimeseriesRow] = []
    async for row in rows:
        gathered.append(row)
        if len(gathered) == CHUNK_ROWS:
            chunks.append(_chunk(arrow, rows.columns, gathered))
            gathered.clear()
    if gathered or not chunks:
        chunks.append(_chunk(arrow, rows.columns, gathered))
    # A column without a type has one once it has a value.
    table = arrow.concat_tables(chunks, promote_options="default")
    return table.rename_columns([TIME, *_names(rows.columns)])


async def pandas_frame(rows: Rows) -> Any:
    """Return the rows as a `pandas.DataFrame`, indexed by time.

    Raises:
        ConfigurationError: pandas or pyarrow is not installed.
    """
    pandas = _imported("pandas", extra="pandas")
    table = await arrow_table(rows)
    time = table.schema.field(TIME).type
    # Arrow's types keep integers exact, and empty cells apart from values.
    frame = table.to_pandas(
        types_mapper=lambda kind: None if kind == time else pandas.ArrowDtype(kind)
    )
    return frame.set_index(TIME)


def _chunk(
    arrow: ModuleType, columns: Sequence[TimeseriesColumn], rows: Sequence[TimeseriesRow]
) -> Any:
    kinds: dict[Any, Any] = {
        DataType.FLOAT: arrow.float64(),
        DataType.INTEGER: arrow.int64(),
        DataType.STRING: arrow.string(),
        DataType.BOOLEAN: arrow.bool_(),
        DataType.STRING_ARRAY: arrow.list_(arrow.string()),
    }
    times = arrow.array([row.timestamp for row in rows], arrow.timestamp("us", tz="UTC"))
    values = zip(*(row.values for row in rows), strict=True) if rows else [()] * len(columns)
    arrays = [
        arrow.array(column_values, kinds.get(column.type))
        for column, column_values in zip(columns, values, strict=True)
    ]
    # Not by their names, which two columns may share if somebody asks twice for one.
    numbers = [str(number) for number in range(len(columns))]
    return arrow.table([times, *arrays], names=[TIME, *numbers])


def _names(columns: Sequence[TimeseriesColumn]) -> list[str]:
    """Return a name for each column: its device and attribute, and the aggregation if needed."""
    short = [f"{each.device}.{each.attribute}" for each in columns]
    times = Counter(short)
    return [
        name if times[name] == 1 else f"{name}.{column.aggregation}"
        for name, column in zip(short, columns, strict=True)
    ]


def _imported(name: str, *, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"this needs {name}: install it with `pip install 'enapter-async[{extra}]'` ({error})"
        ) from None
