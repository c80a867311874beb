"""aiohttp alone, as a careful program would use it: one session, a connection for each task."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.drivers import NAME, TOKEN, Load, shared_among_tasks


@asynccontextmanager
async def opened(base_url: str, *, concurrency: int, way: str) -> AsyncIterator[Load]:
    """Open a session and give its load; there is one way only, without a name."""
    if way:
        raise ValueError(f"way is {way!r}; this driver has one way only")
    async with aiohttp.ClientSession(
        headers={"X-Enapter-Auth-Token": TOKEN},
        # Unlimited: waiting inside the connector is slow, and is not what is measured here.
        connector=aiohttp.TCPConnector(limit=0),
    ) as session:

        async def call(device_id: str) -> str:
            async with session.patch(
                f"{base_url}/v3/devices/{device_id}", json={"name": NAME}
            ) as response:
                answer = await response.json()
            answered: str = answer["device"]["id"]
            return answered

        yield shared_among_tasks(call, concurrency)
