"""The chaos proxy works as documented, and client and fleet report the truth through it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.emulator import Emulator, World
from enapter_async.errors import AmbiguousOutcomeError, EnapterError
from enapter_async.fleet import State
from enapter_async.hooks import AttemptFailed, Event
from enapter_async.limits.pacing import Pacing
from enapter_async.operation import Operation, Repeat
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)
from tests.faults.chaos import CALM, ENDS, ChaosProxy, End, Trouble, Weather, by_chance
from tests.support.clock import FakeClock
from tests.support.rig import TransportKind, open_rig
from tests.support.server import FaultServer

TEXT = bytes(range(256)) * 40


class Echo:
    """Echoes its input; records the input, and how each connection ended."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ends: list[str] = []
        self.ended = asyncio.Event()
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = "fin"
        try:
            while data := await reader.read(65536):
                self.received += data
                writer.write(data)
                await writer.drain()
        except ConnectionResetError:
            end = "rst"
        finally:
            self.ends.append(end)
            self.ended.set()
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()


class Naps:
    """A sleep that only counts its calls."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@contextlib.asynccontextmanager
async def through(proxy: ChaosProxy) -> AsyncIterator[tuple[Any, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        async with asyncio.timeout(60):
            yield reader, writer
    finally:
        writer.close()


async def spoken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Send the text, and return the answer."""
    writer.write(TEXT)
    writer.write_eof()
    return await reader.read(-1)


@pytest.mark.parametrize(
    "weather",
    [
        CALM,
        Weather(up=Trouble(slices=97), down=Trouble(slices=1000)),
        Weather(up=Trouble(after=len(TEXT), end="reset")),
    ],
    ids=["calm", "sliced", "never-reached"],
)
async def test_everything_is_passed_on_unchanged(weather: Weather, echo: Echo) -> None:
    async with ChaosProxy(echo.port) as proxy:
        proxy.script(weather)
        async with through(proxy) as (reader, writer):
            assert await spoken(reader, writer) == TEXT
        assert proxy.passed == {"up": len(TEXT), "down": len(TEXT)}
        assert proxy.connections == 1


async def test_latency_and_bandwidth_take_their_time(echo: Echo) -> None:
    naps = Naps()
    async with ChaosProxy(echo.port, sleep=naps) as proxy:
        # 10,240 bytes in pieces of 1,024: ten times 0.5 s, and 10,240 / 2,048 = 5 s
        proxy.script(Weather(up=Trouble(latency=0.5, bandwidth=2048.0, slices=1024)))
        async with through(proxy) as (reader, writer):
            assert await spoken(reader, writer) == TEXT
    assert sum(naps.seconds) == pytest.approx(10.0)
    assert set(naps.seconds) == {1.0}


async def test_a_connection_is_cut_after_the_given_bytes(echo: Echo) -> None:
    async with ChaosProxy(echo.port) as proxy:
        proxy.script(Weather(down=Trouble(after=1000)))
        async with through(proxy) as (reader, writer):
            writer.write(TEXT)
            assert await reader.read(-1) == TEXT[:1000]
            await echo.ended.wait()


async def test_the_upstream_direction_is_cut_too(echo: Echo) -> None:
    async with ChaosProxy(echo.port) as proxy:
        proxy.script(Weather(up=Trouble(after=5)))
        async with through(proxy) as (_, writer):
            writer.write(TEXT)
            await echo.ended.wait()
    assert bytes(echo.received) == TEXT[:5]
    assert echo.ends == ["fin"]


async def test_a_reset_reaches_both_sides(echo: Echo) -> None:
    async with ChaosProxy(echo.port) as proxy:
        proxy.script(Weather(down=Trouble(after=0, end="reset")))
        async with through(proxy) as (reader, writer):
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read(-1)
            await echo.ended.wait()
    assert echo.ends == ["rst"]


async def test_a_half_close_leaves_the_other_direction(echo: Echo) -> None:
    async with ChaosProxy(echo.port) as proxy:
        proxy.script(Weather(down=Trouble(after=3, end="half-close")))
        async with through(proxy) as (reader, writer):
            writer.write(b"abcdef")
            assert await reader.read(-1) == b"abc"
            writer.write(b"ghi")
            writer.write_eof()
            await echo.ended.wait()
    assert bytes(echo.received) == b"abcdefghi"


async def test_a_stall_lasts_until_one_side_leaves(echo: Echo) -> None:
    async with ChaosProxy(echo.port) as proxy:
        proxy.script(Weather(up=Trouble(after=2, end="stall")))
        async with through(proxy) as (reader, writer):
            writer.write(b"abcdef")
            assert await reader.readexactly(2) == b"ab"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(1)
            assert proxy.open == 1
        await echo.ended.wait()
    assert bytes(echo.received) == b"ab"


async def test_no_more_connections_than_the_limit_and_none_is_left(echo: Echo) -> None:
    async with ChaosProxy(echo.port, limit=2) as proxy, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            reader, writer = await stack.enter_async_context(through(proxy))
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
        async with through(proxy) as (reader, _):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read(1) == b""
        assert (proxy.refused, proxy.connections, proxy.open) == (1, 2, 2)
    assert proxy.open == 0
    await echo.ended.wait()


RENAME = UpdateDevice(device_id="dev-1", name="New name")
MINT = GenerateConfig(device_id="dev-1", protocol="MQTT")
BRISK = Timeouts(connect=0.2, read=0.2)


@pytest.mark.parametrize("end", ENDS)
async def test_a_request_that_does_not_get_through_whole_has_no_effect(
    transport: TransportKind, end: End, server: FaultServer
) -> None:
    async with ChaosProxy(server.port) as proxy:
        proxy.script(Weather(up=Trouble(after=60, end=end)))
        options: dict[str, Any] = {"base_url": proxy.base_url, "timeouts": BRISK}
        async with open_rig(transport, server, **options) as rig:
            assert type(await rig.fails(MINT)) is AmbiguousOutcomeError
            await rig.run(RENAME)
            assert rig.attempts == ()
    assert server.seen == ["PATCH"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("after", [0, 20, 120])
async def test_an_answer_that_does_not_get_through_whole_is_settled_or_ambiguous(
    transport: TransportKind, after: int, end: End, server: FaultServer
) -> None:
    async with ChaosProxy(server.port) as proxy:
        trouble = Weather(down=Trouble(after=after, end=end))
        proxy.script(trouble, trouble)
        options: dict[str, Any] = {"base_url": proxy.base_url, "timeouts": BRISK}
        async with open_rig(transport, server, **options) as rig:
            assert isinstance(await rig.fails(MINT), AmbiguousOutcomeError)
            assert (await rig.run(RENAME)).name == "New name"
            assert len(rig.attempts) == 1
    assert server.world.done("generate_config") == 1
    assert server.world.done("update") >= 1


# Any real server would do; the emulator's log of effects is the witness.

QUICK = RetryPolicy(attempts=4, base_delay=0.01, max_delay=0.05, deadline=30.0)


def operations_on(world: World) -> list[Operation[Any]]:
    """Return one operation for each device:

    a new configuration if possible, otherwise another one.
    """
    made: list[Operation[Any]] = []
    for number, device in enumerate(world.devices):
        match number % 3:
            case _ if device.type == "STANDALONE":
                made.append(GenerateConfig(device_id=device.id, protocol="MQTT"))
            case 0 if not world.below(device.id):
                made.append(DeleteDevice(device_id=device.id))
            case 1:
                made.append(AssignBlueprint(device_id=device.id, blueprint_id=f"bp-{number}"))
            case _:
                made.append(UpdateDevice(device_id=device.id, name=f"Name {number}"))
    return made


def effects_on(world: World, operation: Operation[Any]) -> int:
    """Count how often the operation's exact change was made."""
    subject = str(operation.subject())
    match operation:
        case UpdateDevice(name=name):
            wanted, kind = {"name": name}, "update"
        case AssignBlueprint(blueprint_id=blueprint_id):
            wanted, kind = {"blueprint_id": blueprint_id}, "assign_blueprint"
        case GenerateConfig():
            wanted, kind = {"protocol": "MQTT"}, "generate_config"
        case _:
            wanted, kind = {}, "delete"
    return sum(dict(effect.set) == wanted for effect in world.effects_of(subject, kind))


def lies(world: World, told: Sequence[tuple[Operation[Any], bool, bool]]) -> list[str]:
    """Return the untrue reports (done, in doubt)."""
    found = []
    for operation, done, doubted in told:
        count = effects_on(world, operation)
        if done and count == 0:
            found.append(f"{operation!r} is said to be done")
        if not done and not doubted and count > 0:
            found.append(f"{operation!r} is said not to be done, and was {count} times")
        if operation.repeat is Repeat.ONCE and count > 1:
            found.append(f"{operation!r} was done {count} times")
    return found


def in_doubt(event: Event) -> bool:
    return isinstance(event, AttemptFailed) and event.attempt.certainty.uncertain


def test_a_lie_would_be_detected() -> None:
    world = World.seeded(40, 1, role="OWNER")
    rename, other = [one for one in operations_on(world) if isinstance(one, UpdateDevice)][:2]
    world.update(rename.device_id, name=str(rename.name))
    assert lies(world, [(rename, True, False), (other, False, False), (other, False, True)]) == []
    assert len(lies(world, [(rename, False, False), (other, True, False)])) == 2


@pytest.mark.parametrize("seed", range(3))
async def test_no_call_lies_in_any_weather(
    transport: TransportKind, seed: int, server: FaultServer, clock: FakeClock
) -> None:
    chance = random.Random(seed)
    world = World.seeded(80, seed, role="OWNER")
    told: list[tuple[Operation[Any], bool, bool]] = []
    async with Emulator(world=world) as emulator, ChaosProxy(emulator._port) as proxy:
        proxy.always = lambda _: by_chance(chance)
        options: dict[str, Any] = {
            "base_url": proxy.base_url,
            "token": emulator.token,
            "retry": QUICK,
            "timeouts": BRISK,
            "pacing": Pacing(max_in_flight=8),
        }
        async with open_rig(transport, server, clock, **options) as rig:

            async def call(operation: Operation[Any]) -> None:
                try:
                    await rig.run(operation)
                except EnapterError as error:
                    told.append((operation, False, isinstance(error, AmbiguousOutcomeError)))
                else:
                    told.append((operation, True, False))

            await asyncio.gather(*(call(operation) for operation in operations_on(world)))
            assert rig.held() == 0
        uncertain = [event for event in rig.events if in_doubt(event)]
    assert lies(world, told) == []
    assert len(told) == 80
    assert len(uncertain) > 10, "the weather was too good to show anything"


@pytest.mark.parametrize("seed", range(2))
async def test_no_job_lies_in_any_weather(
    transport: TransportKind, seed: int, server: FaultServer, clock: FakeClock, tmp_path: Path
) -> None:
    chance = random.Random(100 + seed)
    world = World.seeded(60, seed, role="OWNER")
    operations = operations_on(world)
    async with Emulator(world=world) as emulator, ChaosProxy(emulator._port) as proxy:
        proxy.always = lambda _: by_chance(chance)
        options: dict[str, Any] = {
            "base_url": proxy.base_url,
            "token": emulator.token,
            "retry": QUICK,
            "timeouts": BRISK,
        }
        async with (
            open_rig(transport, server, clock, **options) as rig,
            fleet.Run(
                rig.client,
                operations,
                concurrency=8,
                abort=None,
                journal=tmp_path / "run.db",
                credentials=tmp_path / "credentials.jsonl",
            ) as run,
        ):
            outcomes = [outcome async for outcome in run]
    told = [
        (one.operation, one.state is State.APPLIED, one.state in {State.UNKNOWN, State.ABSENT})
        for one in outcomes
    ]
    assert lies(world, told) == []
    assert len(told) == 60
    assert run.report.counts[State.APPLIED] > 20
