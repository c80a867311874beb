"""Clocks that jump, machines that sleep, odd text in a name, and a process that simply ends."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async._http.retry import RetryPolicy
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Certainty,
    ConfigurationError,
    DeadlineExceededError,
)
from enapter_async.operation import Operation
from enapter_async.operations.devices import UpdateDevice
from tests.support.clock import FakeClock
from tests.support.kinds import each
from tests.support.lag import timed
from tests.support.replies import Headers, close, end, errors
from tests.support.rig import BRISK, CONFIG, GET, TOKEN, UPDATE, TransportKind, open_rig
from tests.support.server import Exchange, FaultServer, applied, ignored
from tests.support.tls import Certificates

HOUR = 3600.0
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()


@attrs.define
class JumpingClock(FakeClock):
    """A clock whose wall time is reset, while monotonic time continues as usual."""

    jump: float = 0.0

    def wall(self) -> float:
        return FakeClock.wall(self) + self.jump


def at(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


# (the server's request to wait, and the longest first waits: a floor with jitter above it)
PAUSES: dict[str, tuple[Headers, float]] = {
    "row51-seconds": ((("Retry-After", "2"),), 2.1),
    "row51-date": ((("Retry-After", at(NOON + 2)), ("Date", at(NOON))), 2.1),
    "row51-backoff": ((), 0.1),
}


@each("pause", PAUSES)
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
@timed
async def test_a_reset_wall_clock_changes_no_wait(
    transport: TransportKind, jump: float, pause: tuple[Headers, float], server: FaultServer
) -> None:
    headers, longest = pause
    clock = JumpingClock()

    async def set_anew() -> None:
        clock.jump += jump

    clock.on_sleep = set_anew
    server.script(ignored(errors(429, *headers)), ignored(errors(429, *headers)))
    async with open_rig(transport, server, clock) as rig:
        await rig.run(GET)
        assert rig.ended.elapsed <= 3 * longest + 0.1
    assert clock.jump != 0
    assert longest <= sum(clock.sleeps) <= 3 * longest + 0.1


ENDS: dict[str, tuple[Operation[Any], type[Exception]]] = {
    "row52-get": (GET, DeadlineExceededError),
    "row52-update": (UPDATE, AmbiguousOutcomeError),
    "row52-config": (CONFIG, AmbiguousOutcomeError),
}


@each("case", ENDS)
async def test_a_machine_that_sleeps_during_a_request_wakes_to_one_late_attempt(
    transport: TransportKind,
    case: tuple[Operation[Any], type[Exception]],
    server: FaultServer,
    clock: FakeClock,
) -> None:
    operation, kind = case

    async def sleep_ten_minutes(exchange: Exchange) -> bool:
        clock.skipped += 600.0
        return await end("hang", exchange)

    server.always(applied(sleep_ten_minutes))
    policy = RetryPolicy(deadline=60.0)
    async with open_rig(transport, server, clock, retry=policy, timeouts=BRISK) as rig:
        assert type(await rig.fails(operation)) is kind
        assert rig.certainties == [Certainty.MAYBE]
    assert len(server.arrivals) == 1
    assert clock.sleeps == []


FINE = {
    "row55-right-to-left": "\u05de\u05d3 \u05de\u05d9\u05dd \u202e\u200f",
    "row55-emoji-and-accents": "🔋 Wärmepumpe ☀",
    "row55-quotes-and-controls": 'a"b\\c\t\x01\x7f\u2028',
    "row55-longest": "é" * 1024,
}


@each("name", FINE)
async def test_any_text_valid_in_json_arrives_unchanged(
    transport: TransportKind, name: str, server: FaultServer
) -> None:
    server.script(ignored(close()))
    async with open_rig(transport, server) as rig:
        device = await rig.run(UpdateDevice(device_id="dev-1", name=name))
        assert device.name == name
    assert [effect.change for effect in server.world.effects] == [{"name": name}]


UNFIT = {
    "row55-nul": "a\0b",
    "row55-lone-surrogate": "a\ud800b",
    "row55-a-megabyte": "x" * 2**20,
    "row55-one-too-many": "x" * 1025,
}


@each("name", UNFIT)
async def test_text_that_could_not_be_sent_is_refused_before_any_io(
    transport: TransportKind, name: str, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        with pytest.raises(ConfigurationError) as caught:
            await rig.client.devices.update("dev-1", name=name)
        assert len(str(caught.value)) < 400
    assert server.connections == []


PROGRAM = """
import asyncio, importlib, ssl, sys
address, authority, kind, loop, library = sys.argv[1:]
if library == "stdlib":
    sys.modules["orjson"] = None
import aiohttp
from enapter_async import Client

async def main():
    # Debug mode would tell of a machine that is busy, too.
    asyncio.get_running_loop().slow_callback_duration = 60
    context = ssl.create_default_context(cafile=authority)
    options = {{"base_url": address, "ssl_context": context}}
    if kind == "direct":
        async with Client({token!r}, **options) as client:
            await asyncio.gather(*(client.devices.get("dev-1") for _ in range(5)))
    else:
        async with aiohttp.ClientSession() as session:
            async with Client({token!r}, session=session, **options) as client:
                await asyncio.gather(*(client.devices.get("dev-1") for _ in range(5)))

factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else None
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""


@pytest.fixture
def loop_name(request: pytest.FixtureRequest) -> str:
    return "uvloop" if "uvloop" in request.node.name else "asyncio"


async def test_row50_a_process_ends_quietly_with_open_tls_connections(
    transport: TransportKind,
    loop_name: str,
    json_library: str,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(token=TOKEN))
    async with FaultServer(ssl_context=certificates.server()) as server:
        authority = str(certificates.folder / "ca.pem")
        arguments = (server.base_url, authority, transport, loop_name, json_library)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error", str(program), *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            said, _ = await child.communicate()
        assert (child.returncode, said.decode()) == (0, "")
        await server.emptied()
    assert len(server.arrivals) == 5
