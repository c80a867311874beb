"""The official SDK, `enapter` on PyPI, as its documentation uses it and with its own limits."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enapter.http import api

from benchmarks.drivers import NAME, TOKEN, Load, shared_among_tasks


@asynccontextmanager
async def opened(
    base_url: str, *, concurrency: int, way: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Load]:
    """Open a client and yield its load; there is only one way, without a name."""
    if way:
        raise ValueError(f"way is {way!r}; this driver has one way only")
    # Only its own client enters its transport, so a different one must be entered here.
    async with contextlib.AsyncExitStack() as stack:
        transport = None
        if tls is not None:
            transport = await stack.enter_async_context(api.Transport(verify=tls))
        client = await stack.enter_async_context(
            api.Client(config=api.Config(base_url=base_url, token=TOKEN), transport=transport)
        )

        async def call(device_id: str) -> str:
            return (await client.devices.update(device_id, name=NAME)).id

        yield shared_among_tasks(call, concurrency)
