"""How each contender reads a time series, and how each follows a stream of frames."""

import csv
import io
import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp

from benchmarks.drivers import TOKEN, WrongAnswerError
from benchmarks.stream_server import ATTRIBUTES, TYPES

DEVICE: Final = "dev-1"
FROM: Final = datetime(2026, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
HEADERS: Final = {"X-Enapter-Auth-Token": TOKEN}
_AT_MOST: Final = aiohttp.ClientTimeout(total=None)

Reader = Callable[[str, int], Coroutine[Any, Any, float]]
"""Reads that many rows or frames from a base URL; returns the sum of `power`, as a check."""


async def csv_rows(base_url: str, count: int) -> float:
    """Read a whole time series with aiohttp and the `csv` module, with its types and times."""
    body = {
        "from": FROM.isoformat(),
        "to": (FROM + count * SECOND).isoformat(),
        "granularity": "1s",
        "telemetry": [{"device": DEVICE, "attribute": list(ATTRIBUTES)}],
    }
    kinds = {"float": float, "integer": int, "string": str}
    convert = [kinds[name] for name in TYPES.split(",")]
    found, rows = 0.0, 0
    async with (
        aiohttp.ClientSession(timeout=_AT_MOST, headers=HEADERS) as session,
        session.post(f"{base_url}/v3/telemetry/query_timeseries", json=body) as response,
    ):
        records = csv.reader(io.StringIO(await response.text(), newline=""))
        next(records)
        for time, *cells in records:
            datetime.fromtimestamp(int(time), UTC)
            values = [to(cell) if cell else None for to, cell in zip(convert, cells, strict=True)]
            found += values[0] or 0.0
            rows += 1
    return checked(found, rows, count)


async def sdk_rows(base_url: str, count: int) -> float:
    """Read it with this SDK."""
    from enapter_async import Client

    found, rows = 0.0, 0
    async with (
        Client(TOKEN, base_url=base_url) as client,
        client.telemetry.timeseries(
            {DEVICE: ATTRIBUTES}, from_=FROM, to=FROM + count * SECOND, granularity=SECOND
        ) as table,
    ):
        async for _, values in table:
            found += values[0]  # type: ignore[operator]  # the first column holds floats
            rows += 1
    return checked(found, rows, count)


async def official_rows(base_url: str, count: int) -> float:
    """Read it with the official SDK, row by row."""
    from enapter.http import api

    config = api.Config(base_url=base_url, token=TOKEN)
    selector = api.telemetry.Selector(device=DEVICE, attributes=list(ATTRIBUTES))
    found, rows = 0.0, 0
    async with (
        api.Client(config=config) as client,
        client.telemetry.raw_timeseries(
            from_=FROM, to=FROM + count * SECOND, granularity=SECOND, selectors=[selector]
        ) as stream,
    ):
        async for row in stream:
            found += row.values[0]
            rows += 1
    return checked(found, rows, count)


async def aiohttp_frames(base_url: str, count: int) -> float:
    """Follow a stream with a bare websocket of aiohttp, and parse each frame."""
    found, frames = 0.0, 0
    url = f"{base_url}/v3/devices/frames-{count}/telemetry"
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.ws_connect(url) as socket,
    ):
        async for message in socket:
            found += json.loads(message.data)["power"]
            frames += 1
            if frames == count:
                break
    return checked(found, frames, count)


async def sdk_frames(base_url: str, count: int) -> float:
    """Follow it with this SDK, which must not drop anything."""
    from enapter_async import Client, Gap

    found, frames = 0.0, 0
    async with (
        Client(TOKEN, base_url=base_url) as client,
        aclosing(client.telemetry.stream(f"frames-{count}")) as stream,
    ):
        async for frame in stream:
            if isinstance(frame, Gap):
                raise WrongAnswerError(f"there is a gap: {frame.reason}")
            found += frame["power"]
            frames += 1
            if frames == count:
                break
    return checked(found, frames, count)


READERS: Final[Mapping[str, Reader]] = {
    "rows: csv": csv_rows,
    "rows: sdk": sdk_rows,
    "rows: official": official_rows,
    "frames: aiohttp": aiohttp_frames,
    "frames: sdk": sdk_frames,
}


def checked(found: float, read: int, count: int) -> float:
    """Return the sum if everything was read."""
    if read != count:
        raise WrongAnswerError(f"{count} were requested, and {read} arrived")
    return found


def need(name: str) -> str:
    """Return the package that a reader needs besides this one; "" if none."""
    return "enapter" if name.endswith("official") else ""
