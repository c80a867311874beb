"""An emulator and a client of it, over either transport and on either event loop."""

import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

import aiohttp
import pytest
import pytest_asyncio

from enapter_async.client import Client
from enapter_async.emulator import Emulator, World
from tests.emulator.fleets import small_world
from tests.support.clock import FakeClock
from tests.support.ways import json_library, pytest_asyncio_loop_factories

__all__ = ["json_library", "pytest_asyncio_loop_factories"]

T = TypeVar("T")


@pytest.fixture
def world() -> World:
    return small_world()


@pytest_asyncio.fixture
async def client(emulator: Emulator, transport: str, clock: FakeClock) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        session = None
        if transport == "session":
            session = await stack.enter_async_context(aiohttp.ClientSession())
        client = Client(
            emulator.token, base_url=emulator.base_url, session=session, clock=clock.clock()
        )
        yield await stack.enter_async_context(client)
