"""A client in front of the fault server, over either transport, with helpers for tests."""

import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Literal

import aiohttp
import attrs
import pytest

from enapter_async._http.direct import DirectTransport
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.errors import Attempt, Certainty, EnapterError
from enapter_async.hooks import AttemptFailed, CallEnded, CallStarted, Event, Waiting
from enapter_async.operation import Operation
from enapter_async.operations.commands import CreateExecution
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)
from tests.support.clock import FakeClock
from tests.support.server import FaultServer

TransportKind = Literal["direct", "session"]

TOKEN = "tok-4f1d9c7e5b3a"

GET = GetDevice(device_id="dev-1")
LIST = ListDevices()
UPDATE = UpdateDevice(device_id="dev-1", name="New name")
SLUG = UpdateDevice(device_id="dev-1", slug="new-slug")
ASSIGN = AssignBlueprint(device_id="dev-1", blueprint_id="bp-2")
DELETE = DeleteDevice(device_id="dev-1")
CONFIG = GenerateConfig(device_id="dev-1", protocol="MQTT")
COMMAND = CreateExecution(device_id="dev-1", name="reboot", arguments={"delay": 5})

READS: dict[str, Operation[Any]] = {"get": GET, "list": LIST}
WRITES: dict[str, Operation[Any]] = {"update": UPDATE, "assign": ASSIGN, "delete": DELETE}
CONVERGENT_WITH_ANSWER: dict[str, Operation[Any]] = {"update": UPDATE, "assign": ASSIGN}
ONCE: dict[str, Operation[Any]] = {"config": CONFIG, "command": COMMAND}
ALL: dict[str, Operation[Any]] = {**READS, **WRITES, **ONCE}

METHOD = {GET: "GET", LIST: "GET", UPDATE: "PATCH", SLUG: "PATCH"} | {
    ASSIGN: "POST",
    DELETE: "DELETE",
    CONFIG: "POST",
    COMMAND: "POST",
}

BRISK = Timeouts(connect=0.15, read=0.2)
"""For attempts that are meant to run out of time."""


@attrs.define
class Rig:
    """One client with its server, its clock and the events that it reported."""

    kind: TransportKind
    server: FaultServer
    clock: FakeClock
    client: Client
    events: list[Event]
    connector: aiohttp.BaseConnector

    async def run(self, operation: Operation[Any]) -> Any:
        return await self.client.execute(operation)

    async def fails(self, operation: Operation[Any]) -> EnapterError:
        """Execute, and return the error, which the hooks must have received, too."""
        return await self.refused(self.client.execute(operation))

    async def refused(self, call: Awaitable[Any]) -> EnapterError:
        with pytest.raises(EnapterError) as caught:
            await call
        error = caught.value
        assert self.ended.error is error
        assert self.ended.attempts == error.attempts
        return error

    @property
    def ended(self) -> CallEnded:
        """The last event of the last call."""
        return [event for event in self.events if isinstance(event, CallEnded)][-1]

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return self.ended.attempts

    @property
    def certainties(self) -> list[Certainty]:
        return [attempt.certainty for attempt in self.attempts]

    @property
    def waits(self) -> list[tuple[str, float]]:
        return [
            (event.reason, event.seconds) for event in self.events if isinstance(event, Waiting)
        ]

    def told(self, kind: type[CallStarted] | type[AttemptFailed] | type[CallEnded]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def held(self) -> int:
        """Return how many connections are in use."""
        return in_use(self.client, self.connector)


@contextlib.asynccontextmanager
async def open_rig(
    kind: TransportKind,
    server: FaultServer,
    clock: FakeClock | None = None,
    *,
    known: bool = True,
    **options: Any,
) -> AsyncIterator[Rig]:
    """Open a client with the given options.

    `known` means that an earlier answer has shown it that a device API responds there.
    """
    clock = clock or FakeClock()
    events: list[Event] = []
    options.setdefault("base_url", server.base_url)
    options.setdefault("token", TOKEN)
    options["hooks"] = (events.append, *options.get("hooks", ()))
    async with contextlib.AsyncExitStack() as stack:
        if kind == "session":
            session = await stack.enter_async_context(aiohttp.ClientSession())
            options["session"] = session
        client = await stack.enter_async_context(Client(clock=clock.clock(), **options))
        if known:
            client._engine.pipeline().evidence.learn(GET, True)
        connector = connector_of(client) if kind == "direct" else session.connector
        assert connector is not None
        yield Rig(kind, server, clock, client, events, connector)
        assert not in_use(client, connector), "a connection was not released"


def in_use(client: Client, connector: aiohttp.BaseConnector) -> int:
    """Return how many connections are taken from the pool and not idle."""
    return len(connector._acquired) - in_hand(client)


def in_hand(client: Client) -> int:
    """Return how many idle connections are kept outside the pool."""
    assert client._engine._pipeline is not None
    transport = client._engine._pipeline.transport
    return transport.resting if isinstance(transport, DirectTransport) else 0


def connector_of(client: Client) -> aiohttp.BaseConnector:
    """Return the connector of a client that has its own session."""
    engine = client._engine
    assert engine is not None
    assert engine._session is not None
    connector = engine._session.connector
    assert connector is not None
    return connector


def attempts(count: int, **more: Any) -> RetryPolicy:
    return RetryPolicy(attempts=count, **more)
