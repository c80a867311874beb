"""aiohttp alone, as a careful program would use it: one session, a connection for each task.

orjson is used if the process has it, as aiohttp's documentation shows.
"""

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from benchmarks.drivers import NAME, TOKEN, Load, shared_among_tasks

loads: Callable[[str], Any] = json.loads
dumps: Callable[[Any], bytes] | None = None
with contextlib.suppress(ImportError):
    import orjson

    loads, dumps = orjson.loads, orjson.dumps


@asynccontextmanager
async def opened(
    base_url: str, *, concurrency: int, way: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Load]:
    """Open a session and yield its load; there is only one way, without a name."""
    if way:
        raise ValueError(f"way is {way!r}; this driver has one way only")
    async with aiohttp.ClientSession(
        headers={"X-Enapter-Auth-Token": TOKEN},
        # Unlimited, because waiting inside the connector is slow and is not to be measured here.
        connector=aiohttp.TCPConnector(limit=0, ssl=True if tls is None else tls),
        json_serialize_bytes=dumps,
    ) as session:

        async def call(device_id: str) -> str:
            async with session.patch(
                f"{base_url}/v3/devices/{device_id}", json={"name": NAME}
            ) as response:
                answer = await response.json(loads=loads)
            answered: str = answer["device"]["id"]
            return answered

        yield shared_among_tasks(call, concurrency)
