"""The methods for telemetry: `client.telemetry`.

Source: API page, "Telemetry" and "Device Telemetry".
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import attrs

from enapter_async.api.executor import Executor
from enapter_async.api.streams import BUFFER, follow
from enapter_async.api.timeseries import TimeseriesTable
from enapter_async.models.logs import Gap
from enapter_async.models.telemetry import TelemetryPoint, TelemetrySelector
from enapter_async.operations.logs import StreamTelemetry
from enapter_async.operations.telemetry import (
    GetDeviceTelemetry,
    QueryTimeseries,
    latest_in_batches,
)

_MINUTE = timedelta(minutes=1)


@attrs.frozen
class Telemetry:
    """The methods for telemetry; they raise the same errors as the methods of `Devices`."""

    _executor: Executor

    async def latest(
        self,
        attributes_by_device: Mapping[str, Iterable[str]],
        *,
        relevance_interval: timedelta | None = None,
    ) -> Mapping[str, Mapping[str, TelemetryPoint]]:
        """Return the latest values of attributes of any number of devices.

        For each device and attribute there is a `TelemetryPoint`; if the API could not obtain a
        value, or it is older than `relevance_interval` (by default 30 s), its `timestamp` is None.
        Many devices are read with several concurrent requests; if one of them fails, the call
        fails. Changes nothing; safe to repeat.
        """
        execute = self._executor.execute
        first, *more = latest_in_batches(attributes_by_device, relevance_interval)
        if not more:
            return await execute(first)
        tasks = [asyncio.ensure_future(execute(batch)) for batch in (first, *more)]
        try:
            results = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        found: dict[str, dict[str, TelemetryPoint]] = {}
        for result in results:
            for device, points in result.items():
                found.setdefault(device, {}).update(points)
        return found

    async def get(
        self,
        device_id: str,
        *,
        attributes: Iterable[str] = (),
        relevance_interval: timedelta | None = None,
        site_id: str | None = None,
    ) -> Mapping[str, TelemetryPoint]:
        """Return the latest values of one device; without `attributes`, all that the API has.

        Changes nothing; safe to repeat.
        """
        return await self._executor.execute(
            GetDeviceTelemetry(
                device_id=device_id,
                site_id=site_id,
                attributes=tuple(attributes),
                relevance_interval=relevance_interval,
            )
        )

    def timeseries(
        self,
        selectors: Mapping[str, Sequence[str]] | Iterable[TelemetrySelector],
        *,
        from_: datetime,
        to: datetime,
        granularity: timedelta = _MINUTE,
        after: datetime | None = None,
    ) -> TimeseriesTable:
        """Return a time series to read with `async with` and `async for`; see `TimeseriesTable`.

        `selectors` map devices to attributes, by id or slug, or are `TelemetrySelector`s. Many
        columns and long times are requested in parts, which are merged by time. Without data, it
        has no rows. To continue after a `StreamBrokenError`, pass its `after` with the same other
        arguments: the rows up to that time are left out.

        Opening it raises `NotFoundError` if no such device or attribute exists. Changes nothing;
        safe to repeat, and to stop early.
        """
        start = from_ if after is None else max(from_, after)
        query = QueryTimeseries(
            selectors=selectors,
            from_=start,
            to=to,
            granularity=granularity,
        )
        return TimeseriesTable(self._executor, query, after)

    def stream(
        self, device_id: str, *, site_id: str | None = None, buffer: int = BUFFER
    ) -> AsyncGenerator[dict[str, Any] | Gap, None]:
        """Yield the telemetry of one device as it sends it, until the client closes.

        Each item is the JSON object of a frame, unchanged, or a `Gap`. To follow several devices at
        once, use `client.devices.watch`.
        """
        make = partial(StreamTelemetry, device_id=device_id, site_id=site_id)
        return follow(self._executor, make, buffer=buffer)
