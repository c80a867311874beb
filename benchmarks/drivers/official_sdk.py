"""The official SDK, `enapter` on PyPI, as its documentation uses it and with its own limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enapter.http import api

from benchmarks.drivers import NAME, TOKEN, Load, shared_among_tasks


@asynccontextmanager
async def opened(base_url: str, *, concurrency: int, way: str) -> AsyncIterator[Load]:
    """Open a client and give its load; there is one way only, without a name."""
    if way:
        raise ValueError(f"way is {way!r}; this driver has one way only")
    async with api.Client(config=api.Config(base_url=base_url, token=TOKEN)) as client:

        async def call(device_id: str) -> str:
            return (await client.devices.update(device_id, name=NAME)).id

        yield shared_among_tasks(call, concurrency)
