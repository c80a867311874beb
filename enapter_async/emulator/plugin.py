"""A pytest plugin: fixtures for testing your own code against the emulator.

::

    async def test_renames(enapter_emulator, enapter_client):
        device = next(d for d in enapter_emulator.world if d.permits("OWNER"))
        await my_code(enapter_client, device.id)
        assert enapter_emulator.world.count("update", device_id=device.id) == 1

The emulator runs in a separate thread, so that synchronous tests and code that blocks the event
loop also get answers. The client works with pytest-asyncio, in its auto and strict modes, and
with anyio on asyncio. Loading this file costs almost nothing: aiohttp and the SDK are imported
when a test first requests a fixture.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from enapter_async.client import Client
    from enapter_async.emulator.server import Emulator

F = TypeVar("F", bound=Callable[..., Any])


def _pytest_asyncio() -> ModuleType | None:
    try:
        return import_module("pytest_asyncio")
    except ImportError:
        return None


def _async_fixture(function: F) -> F:
    # In strict mode pytest-asyncio runs only the fixtures created with its own decorator.
    return cast("F", (_pytest_asyncio() or pytest).fixture(function))


@pytest.fixture
def enapter_emulator_settings() -> dict[str, Any]:
    """Arguments of the test's `Emulator`; override it to change the fleet, timestamps or faults.

    For example `{"devices": 1000, "timestamps": "unix"}`.
    """
    return {}


@pytest.fixture
def enapter_client_settings() -> dict[str, Any]:
    """Arguments of the test's `Client` besides token and base_url; override it to change them.

    For example `{"retry": RetryPolicy(base_delay=0.001)}`, so that tests do not wait.
    """
    return {}


@pytest.fixture
def _enapter_event_loop(request: pytest.FixtureRequest) -> None:
    by_asyncio = request.config.pluginmanager.hasplugin("asyncio")
    by_anyio = "anyio_backend" in request.fixturenames
    if not by_asyncio and not by_anyio:
        pytest.fail(
            "The fixture enapter_client is asynchronous: install pytest-asyncio, and do not "
            "disable it; enapter_emulator needs no plugin.",
            pytrace=False,
        )
    if by_asyncio and by_anyio:
        pytest.fail(
            "pytest-asyncio would open the client on its own event loop, not on anyio's: "
            "switch it off with `-p no:asyncio`, or write `async with Client(…)` in the test.",
            pytrace=False,
        )
    if by_anyio and request.getfixturevalue("anyio_backend_name") != "asyncio":
        pytest.skip("enapter_async runs only on asyncio, not on another anyio backend")


@pytest.fixture
def enapter_emulator(enapter_emulator_settings: dict[str, Any]) -> "Iterator[Emulator]":
    """A new, started `Emulator` for each test, in a separate thread."""
    from enapter_async.emulator.server import Emulator  # noqa: PLC0415 - only if it is used

    with Emulator(**enapter_emulator_settings) as emulator:
        yield emulator


@_async_fixture
async def enapter_client(
    _enapter_event_loop: None,
    enapter_emulator: "Emulator",
    enapter_client_settings: dict[str, Any],
) -> "AsyncIterator[Client]":
    """An open `Client` connected to the test's `enapter_emulator`."""
    from enapter_async.client import Client  # noqa: PLC0415 - only if it is used

    where = {"token": enapter_emulator.token, "base_url": enapter_emulator.base_url}
    async with Client(**{**where, **enapter_client_settings}) as client:
        yield client
