"""A client, nginx in front of the emulator, and the judge: the emulator's log of effects."""

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import aiohttp
import attrs

from enapter_async.client import Client
from enapter_async.clock import Clock
from enapter_async.emulator import Emulator, World
from enapter_async.errors import (
    AmbiguousOutcomeError,
    EnapterError,
    NotFoundError,
    ResultLostError,
)
from enapter_async.hooks import CallEnded, Event
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    UpdateDevice,
)
from tests.fleet.fleets import fleet_of, uuid
from tests.real.nginx import Line, Nginx
from tests.support.clock import FakeClock

TransportKind = Literal["direct", "session"]

NAME = "New name"
GET = GetDevice(device_id=uuid(0))
UPDATE = UpdateDevice(device_id=uuid(0), name=NAME)
ASSIGN = AssignBlueprint(device_id=uuid(0), blueprint_id="bp-2")
DELETE = DeleteDevice(device_id=uuid(0))
CONFIG = GenerateConfig(device_id=uuid(0), protocol="MQTTS")

SETTING: dict[str, Operation[Any]] = {"update": UPDATE, "assign": ASSIGN, "delete": DELETE}
WRITES: dict[str, Operation[Any]] = {**SETTING, "config": CONFIG}
ALL: dict[str, Operation[Any]] = {"get": GET, **WRITES}

METHOD = {
    GetDevice: "GET",
    UpdateDevice: "PATCH",
    DeleteDevice: "DELETE",
    AssignBlueprint: "POST",
    GenerateConfig: "POST",
}
EFFECT = {
    UpdateDevice: "update",
    DeleteDevice: "delete",
    AssignBlueprint: "assign_blueprint",
    GenerateConfig: "generate_config",
}


@attrs.define(eq=False)
class Front:
    """The objects that a test in front of nginx works with."""

    nginx: Nginx
    emulator: Emulator
    client: Client
    session: aiohttp.ClientSession | None
    events: list[Event]

    @property
    def world(self) -> World:
        return self.emulator.world

    @property
    def ended(self) -> CallEnded:
        """The last event of the last call."""
        return [event for event in self.events if isinstance(event, CallEnded)][-1]

    async def run(self, operation: Operation[Any]) -> Any:
        """Execute, judge, and return the result or the error."""
        try:
            ended = await self.client.execute(operation)
        except EnapterError as error:
            ended = error
        judge(self.world, operation, ended)
        return ended

    async def seen(self) -> list[Line]:
        """Close the client, and return the requests that it sent, from nginx's own log."""
        await self.client.close()
        if self.session is not None:
            await self.session.close()
        return await self.nginx.seen()

    def effects(self, operation: Operation[Any]) -> int:
        """Count how often the upstream carried out an operation."""
        kind = EFFECT.get(type(operation))
        return 0 if kind is None else self.world.count(kind, device_id=operation.subject())


def judge(world: World, operation: Operation[Any], ended: Any) -> None:
    """Compare a call's report with the changes to its device, which no other call writes to."""
    device_id = operation.subject()
    if device_id is None:
        return
    done = world.count(EFFECT[type(operation)], device_id=device_id)
    match ended:
        case ResultLostError():
            assert done >= 1, "reported as done, but it was not"
        case AmbiguousOutcomeError():
            pass
        case NotFoundError() if isinstance(operation, DeleteDevice) and ended.from_api:
            assert device_id not in world, "reported as gone, but it exists"
        case EnapterError():
            assert done == 0, f"{ended!r} is not ambiguous, and it was done {done} times"
        case _:
            assert done >= 1, "reported as done, but it was not"
            assert is_so(world, operation), "the device is not in the wanted state"
    if isinstance(operation, GenerateConfig):
        assert done <= 1, "a once-only operation was done twice"


def is_so(world: World, operation: Operation[Any]) -> bool:
    """Return, from the upstream's log, whether the device is as the operation wants it."""
    match operation:
        case UpdateDevice():
            return world.device(operation.device_id).name == operation.name
        case AssignBlueprint():
            return world.device(operation.device_id).blueprint_id == operation.blueprint_id
        case DeleteDevice():
            return operation.device_id not in world
        case _:
            return True


@contextlib.asynccontextmanager
async def open_front(
    kind: TransportKind,
    folder: Path,
    *,
    server: str,
    http: str = "",
    prefix: str = "",
    devices: int = 1,
    certificate: tuple[Path, Path] | None = None,
    plain: bool | None = None,
    clock: Clock | None = None,
    **options: Any,
) -> AsyncIterator[Front]:
    """Open client, nginx and emulator; `options` are the client's.

    In `server` and `http`, UPSTREAM stands for the emulator's address, and DEAD for an address
    where nothing listens. `plain` says whether the client speaks without TLS; None means the same
    as nginx.
    """
    events: list[Event] = []
    async with contextlib.AsyncExitStack() as stack:
        world = World(fleet_of(devices))
        emulator = await stack.enter_async_context(Emulator(world=world))

        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))  # bound, but nothing listens

        def placed(text: str) -> str:
            for name, port in (("UPSTREAM", emulator.port), ("DEAD", deaf.getsockname()[1])):
                text = text.replace(name, f"127.0.0.1:{port}")
            return text

        nginx = Nginx(folder, placed(server), placed(http), certificate)
        await stack.enter_async_context(nginx)
        session = None
        if kind == "session":
            session = await stack.enter_async_context(aiohttp.ClientSession())
        scheme = "http" if (certificate is None if plain is None else plain) else "https"
        options.setdefault("base_url", f"{scheme}://127.0.0.1:{nginx.port}{prefix}")
        client = Client(
            emulator.token,
            clock=FakeClock().clock() if clock is None else clock,
            session=session,
            hooks=(events.append,),
            **options,
        )
        await stack.enter_async_context(client)
        yield Front(nginx, emulator, client, session, events)
