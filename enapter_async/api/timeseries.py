"""Time series of any size: divided into requests, read as they arrive, and merged by time."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Self

import attrs

from enapter_async._http.streaming import Stream
from enapter_async.api.data_frames import arrow_table, pandas_frame
from enapter_async.api.executor import Executor
from enapter_async.errors import ConfigurationError, EnapterError, StreamBrokenError
from enapter_async.models.telemetry import TimeseriesColumn, TimeseriesRow, Value
from enapter_async.operations.telemetry import QueryTimeseries


@attrs.define
class _Part:
    """One open answer: some of the columns, for part of the time."""

    query: QueryTimeseries
    stream: Stream[TimeseriesRow]

    @property
    def columns(self) -> tuple[TimeseriesColumn, ...]:
        """The columns of the answer, or the requested ones if it has no header."""
        return self.stream.reader.columns or _asked(self.query)


class TimeseriesTable:
    """A time series that is being read: `columns` are known first, then come the rows.

    ::

        async with client.telemetry.timeseries({"dev-1": ["power"]}, from_=…, to=…) as table:
            print([column.attribute for column in table.columns])
            async for timestamp, values in table:
                ...

    Its size in memory does not depend on the number of rows. `last` is the time of the last row
    that was yielded.
    """

    def __init__(self, executor: Executor, query: QueryTimeseries, after: datetime | None) -> None:
        self._executor = executor
        self._windows: Iterator[QueryTimeseries] = query.by_time()
        self._to = query.to
        self._stack = AsyncExitStack()
        self._parts: list[_Part] = []
        self._rows: AsyncGenerator[TimeseriesRow, None] | None = None
        self.columns: tuple[TimeseriesColumn, ...] = ()
        self.last = after

    async def __aenter__(self) -> Self:
        try:
            # Only an answer with data names the types of its columns.
            while await self._open_next() and not any(
                each.stream.has_items for each in self._parts
            ):
                pass
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._rows is not None:
            await self._rows.aclose()
        await self._stack.aclose()

    def __aiter__(self) -> AsyncIterator[TimeseriesRow]:
        if self._rows is not None:
            raise ConfigurationError("a time series can be read only once; request it again")
        self._rows = self._read()
        return self._rows

    async def to_arrow(self) -> Any:
        """Return the rows as a `pyarrow.Table`; needs the extra `arrow`.

        The first column is `time`; the others are called `device.attribute`, and have the types of
        the API. An empty cell is null.
        """
        return await arrow_table(self)

    async def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`, indexed by time; needs the extra `pandas`.

        Its columns are those of `to_arrow`, with Arrow's types, so that integers stay exact.
        """
        return await pandas_frame(self)

    async def _read(self) -> AsyncGenerator[TimeseriesRow, None]:
        while self._parts:
            try:
                async for batch in self._window():
                    for row in batch:
                        self.last = row.timestamp
                        yield row
                await self._open_next()
            except EnapterError as error:
                raise _broken(error, self.last) from error

    async def _open_next(self) -> bool:
        """Open the answers for the next part of the time; return False if there is none."""
        await self._stack.aclose()
        self._parts = []
        window = next(self._windows, None)
        if window is None:
            return False
        queries = list(window.by_columns())
        streams = await self._stack.enter_async_context(self._executor.streams(queries))
        self._parts = list(map(_Part, queries, streams))
        found = tuple(column for part in self._parts for column in part.columns)
        if not self.columns or all(column.type is None for column in self.columns):
            self.columns = found
        return True

    def _window(self) -> AsyncIterator[Sequence[TimeseriesRow]]:
        """Return the rows of the open answers, several at once, with a value for each column."""
        places = [self._places(part) for part in self._parts]
        if places == [list(range(len(self.columns)))]:
            return self._only_part()
        return self._merged(places)

    async def _only_part(self) -> AsyncGenerator[Sequence[TimeseriesRow], None]:
        async for batch in self._parts[0].stream.batches():
            if self._is_wanted(batch[0].timestamp) and self._is_wanted(batch[-1].timestamp):
                yield batch
            else:
                yield [row for row in batch if self._is_wanted(row.timestamp)]

    async def _merged(
        self, places: Sequence[Sequence[int]]
    ) -> AsyncGenerator[Sequence[TimeseriesRow], None]:
        """Yield the rows of several answers in order of time."""
        readers = [_Rows(*each) for each in zip(self._parts, places, strict=True)]
        for reader in readers:
            await reader.advance()
        width = len(self.columns)
        while times := [reader.row.timestamp for reader in readers if reader.row is not None]:
            time = min(times)
            values: list[Value] = [None] * width
            for reader in readers:
                if reader.row is not None and reader.row.timestamp == time:
                    for place, value in zip(reader.places, reader.row.values, strict=True):
                        values[place] = value
                    await reader.advance()
            if self._is_wanted(time):
                yield (TimeseriesRow(time, tuple(values)),)

    def _is_wanted(self, time: datetime) -> bool:
        """Return whether a row was not yielded yet, and does not belong to the next request.

        A row where a request ends belongs to the next one, which has all of its step.
        """
        end = self._parts[0].query.to
        return (end == self._to or time < end) and (self.last is None or time > self.last)

    def _places(self, part: _Part) -> list[int]:
        """Return where the columns of an answer are in the table."""
        known = {column.name: place for place, column in enumerate(self.columns)}
        places = []
        for column in part.stream.reader.columns:
            place = known.get(column.name)
            if place is None or self.columns[place].type not in (None, column.type):
                raise StreamBrokenError(
                    f"the column {column.attribute} of {column.device} is new or has another type; "
                    f"request the time series again from there"
                )
            places.append(place)
        return places


class _Rows:
    """The rows of one answer, one at a time; `row` is None at the end."""

    def __init__(self, part: _Part, places: Sequence[int]) -> None:
        self._batches = part.stream.batches()
        self._batch: Iterator[TimeseriesRow] = iter(())
        self.places = places
        self.row: TimeseriesRow | None = None

    async def advance(self) -> None:
        self.row = next(self._batch, None)
        if self.row is None:
            async for batch in self._batches:
                self._batch = iter(batch)
                self.row = next(self._batch)
                break


def _asked(query: QueryTimeseries) -> tuple[TimeseriesColumn, ...]:
    return tuple(
        TimeseriesColumn(device=each.device, attribute=name, aggregation=each.aggregation)
        for each in query.selectors
        for name in each.attributes
    )


def _broken(error: Exception, last: datetime | None) -> StreamBrokenError:
    where = "before its first row" if last is None else f"after {last.isoformat()}"
    attempts: Any = getattr(error, "attempts", ())
    reason = str(error).removeprefix("the stream broke: ")
    return StreamBrokenError(
        f"the time series broke off {where}: {reason}", after=last, attempts=attempts
    )
