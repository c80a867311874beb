"""A cancelled call leaves nothing behind, wherever it was."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from enapter_async.client import Client
from enapter_async.errors import ConfigurationError
from enapter_async.hooks import CallEnded
from enapter_async.limits.pacing import Pacing
from enapter_async.operation import Operation
from enapter_async.operations.devices import GetDevice
from tests.support.clock import FakeClock
from tests.support.kinds import each
from tests.support.replies import awaiting, close, errors, half_head, hang, meet, slowly, truncated
from tests.support.rig import (
    ASSIGN,
    CONFIG,
    DELETE,
    GET,
    METHOD,
    TOKEN,
    UPDATE,
    Rig,
    TransportKind,
    open_rig,
)
from tests.support.server import FaultServer, Reply, applied, ignored
from tests.support.tls import Certificates

OTHER = GetDevice(device_id="dev-2")
WRITES = {"update": UPDATE, "config": CONFIG, "delete": DELETE, "assign": ASSIGN}


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def all_is_free(rig: Rig) -> None:
    """Check that no connection, place or turn is held, by using both places at once."""
    assert rig.held() == 0
    server = rig.server
    server.always(applied(meet(asyncio.Barrier(2))))
    async with asyncio.timeout(60):
        await asyncio.gather(rig.run(UPDATE), rig.run(OTHER))
    assert rig.attempts == ()


@attrs.frozen
class Point:
    """The point at which a call is cancelled: the server's steps, and how to wait for it."""

    reply: Callable[[], Reply]
    sent: int
    operations: tuple[Operation[Any], ...]
    then: Callable[[], Reply] = slowly


POINTS: dict[str, Point] = {
    "row38-no-answer": Point(hang, 1, (UPDATE, ASSIGN, CONFIG, DELETE)),
    "row38-half-head": Point(lambda: half_head("hang"), 1, (UPDATE, ASSIGN, CONFIG, DELETE)),
    "row38-half-body": Point(lambda: truncated("hang"), 1, (UPDATE, ASSIGN, CONFIG)),
    "row38-reading-back": Point(truncated, 2, (UPDATE, ASSIGN), hang),
}
CASES = {
    f"{where}-{what}": (point, operation)
    for where, point in POINTS.items()
    for what, operation in WRITES.items()
    if operation in point.operations
}


@each("case", CASES)
async def test_cancelled_while_the_server_has_the_request(
    transport: TransportKind, case: tuple[Point, Operation[Any]], server: FaultServer
) -> None:
    point, operation = case
    server.script(ignored(point.reply()))
    server.script(ignored(point.then()), method="GET")
    async with open_rig(transport, server, pacing=Pacing(max_in_flight=2)) as rig:
        task = asyncio.create_task(rig.run(operation))
        await server.arrived(point.sent)
        await asyncio.sleep(0.01)
        await cancelled(task)
        server.clear()
        await all_is_free(rig)


async def test_row38_cancelled_in_backoff(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.script(ignored(close()))
    clock.gate = asyncio.Event()
    async with open_rig(transport, server, clock, pacing=Pacing(max_in_flight=2)) as rig:
        task = asyncio.create_task(rig.run(UPDATE))
        await clock.slept()
        await cancelled(task)
        clock.gate.set()
        await all_is_free(rig)


async def test_row38_cancelled_in_a_pause(transport: TransportKind, clock: FakeClock) -> None:
    names = tuple(f"dev-{number}" for number in range(1, 9))
    refuse = meet(asyncio.Barrier(8), errors(429, ("Retry-After", "5")))
    clock.gate = asyncio.Event()
    async with FaultServer(devices=names) as server, open_rig(transport, server, clock) as rig:
        server.script(*[ignored(refuse)] * 8)
        calls = [rig.run(GetDevice(device_id=name)) for name in names]
        refused = [asyncio.create_task(call) for call in calls]
        await clock.slept(8)
        waiting = [asyncio.create_task(rig.run(each)) for each in (UPDATE, OTHER)]
        await asyncio.sleep(0.01)
        for task in (*waiting, *refused):
            await cancelled(task)
        clock.gate.set()
        # the pause applies to the next call, and one call goes first
        await rig.run(OTHER)
        assert len(server.arrivals) == 9
        await all_is_free(rig)


async def test_row38_cancelled_before_a_place_is_free(
    transport: TransportKind, server: FaultServer
) -> None:
    hold = asyncio.Event()
    server.script(applied(awaiting(hold)), applied(awaiting(hold)))
    async with open_rig(transport, server, pacing=Pacing(max_in_flight=2)) as rig:
        out = [asyncio.create_task(rig.run(OTHER)) for _ in range(2)]
        await server.arrived(2)
        waiting = [asyncio.create_task(rig.run(each)) for each in (UPDATE, GET, ASSIGN)]
        await asyncio.sleep(0.01)
        for task in waiting:
            await cancelled(task)
        hold.set()
        await asyncio.gather(*out)
        assert len(server.arrivals) == 2
        await all_is_free(rig)


async def test_row38_cancelled_before_its_turn(
    transport: TransportKind, server: FaultServer
) -> None:
    hold = asyncio.Event()
    server.script(applied(awaiting(hold)))
    async with open_rig(transport, server, pacing=Pacing(max_in_flight=2)) as rig:
        first = asyncio.create_task(rig.run(UPDATE))
        await server.arrived(1)
        waiting = [asyncio.create_task(rig.run(each)) for each in (ASSIGN, CONFIG, UPDATE)]
        await asyncio.sleep(0.01)
        for task in waiting[:2]:
            await cancelled(task)
        hold.set()
        await asyncio.gather(first, waiting[2])
        assert server.seen == ["PATCH", "PATCH"]
        await all_is_free(rig)


async def test_row38_cancelled_in_the_moment_that_a_turn_comes(
    transport: TransportKind, server: FaultServer
) -> None:
    hold = asyncio.Event()
    server.script(applied(awaiting(hold)))
    async with open_rig(transport, server, pacing=Pacing(max_in_flight=2)) as rig:

        async def end_and_cancel() -> None:
            await rig.run(UPDATE)
            second.cancel()  # the turn is already granted, but not yet taken

        first = asyncio.create_task(end_and_cancel())
        await server.arrived(1)
        second = asyncio.create_task(rig.run(ASSIGN))
        third = asyncio.create_task(rig.run(CONFIG))
        await asyncio.sleep(0.01)
        hold.set()
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert second.cancelled()
        assert third.exception() is None
        assert server.seen[:2] == ["PATCH", METHOD[CONFIG]]
        await all_is_free(rig)


@pytest.mark.every_way
async def test_row38_cancelled_in_the_handshake(
    transport: TransportKind, certificates: Certificates
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        server = FaultServer(ssl_context=certificates.server())
        server.port = listening.getsockname()[1]
        options: dict[str, Any] = {
            "ssl_context": certificates.trusting(),
            "pacing": Pacing(max_in_flight=2),
        }
        async with open_rig(transport, server, **options) as rig:
            task = asyncio.create_task(rig.run(CONFIG))
            await asyncio.sleep(0.03)
            await cancelled(task)
            await server.listen(sock=listening)
            await all_is_free(rig)
            assert server.world.done("generate_config") == 0
        await server.stop()


async def test_a_cancelled_call_reports_its_end(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(hang()))
    async with open_rig(transport, server) as rig:
        task = asyncio.create_task(rig.run(CONFIG))
        await server.arrived(1)
        await cancelled(task)
        assert rig.told(CallEnded) == 1


@pytest.mark.every_way
async def test_row39_many_cancelled_calls_leak_nothing(transport: TransportKind) -> None:
    names = tuple(f"dev-{number}" for number in range(100))
    async with FaultServer(devices=names) as server:
        server.always(applied(slowly(0.002)))
        async with open_rig(transport, server, pacing=Pacing(max_in_flight=10)) as rig:
            for _ in range(5):
                calls = [asyncio.create_task(rig.run(GetDevice(device_id=name))) for name in names]
                await asyncio.sleep(0.004)
                for task in calls[::4]:
                    task.cancel()
                ends = await asyncio.gather(*calls, return_exceptions=True)
                told = [end for end in ends if isinstance(end, Exception)]
                assert told == []
                assert rig.held() == 0
            server.always(applied(meet(asyncio.Barrier(10))))
            await asyncio.gather(*(rig.run(GetDevice(device_id=name)) for name in names[:10]))


async def never_opened(server: FaultServer) -> Client:
    return Client(token=TOKEN, base_url=server.base_url)


async def already_closed(server: FaultServer) -> Client:
    async with Client(token=TOKEN, base_url=server.base_url) as client:
        await client.execute(GET)
    return client


@pytest.mark.parametrize("make", [never_opened, already_closed])
async def test_row43_a_client_that_is_not_open_says_so(
    make: Callable[[FaultServer], Awaitable[Client]], server: FaultServer
) -> None:
    client = await make(server)
    before = len(server.arrivals)
    with pytest.raises(ConfigurationError):
        await client.execute(GET)
    assert len(server.arrivals) == before


async def test_row43_a_client_on_another_event_loop_says_so(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        told: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(rig.client.execute(GET))
            except BaseException as error:  # noqa: BLE001 - checked below
                told.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert [type(error) for error in told] == [ConfigurationError]
    assert server.arrivals == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_row43_a_client_after_a_fork_says_so(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio.run(rig.client.execute(GET))
            except ConfigurationError:
                status = 0
            finally:
                os._exit(status)
        _, ended = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(ended) == 0
        await rig.run(GET)
    assert len(server.arrivals) == 1


FORKED = """
import asyncio, os, socket, threading
from enapter_async import Client, ConfigurationError
from enapter_async.operations.devices import GetDevice

BODY = b'{"device":{"id":"dev-1"}}'
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
server = socket.create_server(("127.0.0.1", 0))
requests = []

def serve():
    connection, _ = server.accept()
    while request := connection.recv(65536):
        requests.append(request)
        connection.sendall(HEAD % len(BODY) + BODY)

threading.Thread(target=serve, daemon=True).start()
loop = asyncio.new_event_loop()
client = Client(base_url=f"http://127.0.0.1:{server.getsockname()[1]}")
get = GetDevice(device_id="dev-1")
loop.run_until_complete(client.__aenter__())
loop.run_until_complete(client.execute(get))
child = os.fork()
if child == 0:
    try:
        loop.run_until_complete(client.execute(get))
    except ConfigurationError as error:
        os._exit(0 if "fork" in str(error) else 2)
    os._exit(1)
_, ended = os.waitpid(child, 0)
loop.run_until_complete(client.execute(get))
loop.run_until_complete(client.close())
loop.close()
print(os.waitstatus_to_exitcode(ended), len(requests))
"""


def test_row43_a_loop_that_is_forked_with_its_client_does_not_hide_the_fork() -> None:
    python = (sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED)
    ended = subprocess.run(python, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - ours
    assert (ended.stdout, ended.stderr) == ("0 2\n", "")
