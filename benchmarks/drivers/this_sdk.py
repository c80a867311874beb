"""This SDK, with everything that is on by default."""

import itertools
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.drivers import NAME, TOKEN, Load, WrongAnswerError, shared_among_tasks
from enapter_async import Client, Pacing, UpdateDevice, fleet

WAYS: Final = ("direct", "session", "fleet", "journal")


@asynccontextmanager
async def opened(
    base_url: str, *, concurrency: int, way: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Load]:
    """Open a client and yield its load: single calls, or one `fleet.apply`."""
    if way not in WAYS:
        raise ValueError(f"way is {way!r}; this driver knows {', '.join(WAYS)}")
    async with AsyncExitStack() as stack:
        session = None
        if way == "session":
            session = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0, ssl=True if tls is None else tls)
                )
            )
        client = await stack.enter_async_context(
            Client(
                TOKEN,
                base_url=base_url,
                session=session,
                ssl_context=tls,
                # Above the default of 100, all contenders must have equally much in flight.
                pacing=Pacing(max_in_flight=max(Pacing().max_in_flight, concurrency)),
            )
        )
        if way == "fleet":
            yield _by_fleet(client, concurrency, journals=None)
        elif way == "journal":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            journals = (Path(folder) / f"{number}.db" for number in itertools.count())
            yield _by_fleet(client, concurrency, journals=journals)
        else:
            yield _by_single_calls(client, concurrency)


def _by_single_calls(client: Client, concurrency: int) -> Load:
    async def call(device_id: str) -> str:
        return (await client.devices.update(device_id, name=NAME)).id

    return shared_among_tasks(call, concurrency)


def _by_fleet(client: Client, concurrency: int, journals: Iterator[Path] | None) -> Load:
    """Make each load a separate job, with its own journal if it has one."""

    async def load(device_ids: Iterator[str]) -> None:
        # The engine checks the answers' ids: these are UUIDs, and any other id is refused.
        operations = (UpdateDevice(device_id=device_id, name=NAME) for device_id in device_ids)
        journal = None if journals is None else next(journals)
        report = await fleet.apply(client, operations, concurrency=concurrency, journal=journal)
        if not report.ok:
            raise WrongAnswerError(f"the fleet's report is {dict(report.counts)}")

    return load
