"""httpx alone, as a careful program would use it: one client for all tasks."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from benchmarks.drivers import NAME, TOKEN, Load, shared_among_tasks


@asynccontextmanager
async def opened(
    base_url: str, *, concurrency: int, way: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Load]:
    """Open a client and yield its load; there is only one way, without a name."""
    if way:
        raise ValueError(f"way is {way!r}; this driver has one way only")
    async with httpx.AsyncClient(
        base_url=base_url,
        headers={"X-Enapter-Auth-Token": TOKEN},
        # Its defaults except for the size: keeping more than 20 idle makes it four times slower.
        limits=httpx.Limits(max_connections=max(100, concurrency), max_keepalive_connections=20),
        timeout=60.0,
        verify=True if tls is None else tls,
    ) as client:

        async def call(device_id: str) -> str:
            response = await client.patch(f"/v3/devices/{device_id}", json={"name": NAME})
            answered: str = response.json()["device"]["id"]
            return answered

        yield shared_among_tasks(call, concurrency)
