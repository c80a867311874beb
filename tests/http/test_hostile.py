"""Servers that are hostile or badly broken, and clients that are closed during their calls."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from enapter_async._http import connections
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Certainty,
    ConflictError,
    DeadlineExceededError,
    HostDownError,
    ResponseError,
    ResultLostError,
    TransportError,
)
from enapter_async.limits.pacing import Pacing
from enapter_async.operations.devices import GetDevice
from tests.http.test_payload_faults import MIB, Peak
from tests.support.kinds import each
from tests.support.lag import timed
from tests.support.replies import (
    awaiting,
    chunks,
    close,
    close_delimited,
    gzipped,
    hang,
    head,
    message,
    raw,
)
from tests.support.rig import CONFIG, GET, TOKEN, UPDATE, TransportKind, attempts, in_hand, open_rig
from tests.support.server import Connection, Exchange, FaultServer, Reply, applied, ignored
from tests.support.world import JSON_TYPE

EVIL = message(
    200, b'{"device":{"id":"dev-1","name":"nobody asked for this"}}', media_type=JSON_TYPE
)


async def pour_headers(exchange: Exchange) -> bool:
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    lines = b"X-Pour: 0123456789\r\n" * 5_000
    for _ in range(1_000):
        await exchange.send(lines)
    return False


async def pour_interim(exchange: Exchange) -> bool:
    for _ in range(1_000):
        await exchange.send(head(103, ("Link", "x" * 4000)) * 20)
    return False


async def pour_chunk_extension(exchange: Exchange) -> bool:
    start = head(200, ("Content-Type", JSON_TYPE), ("Transfer-Encoding", "chunked"))
    await exchange.send(start + b"5;x=")
    for _ in range(100):
        await exchange.send(b"y" * MIB)
    return False


async def pour_trailers(exchange: Exchange) -> bool:
    start = head(200, ("Content-Type", JSON_TYPE), ("Transfer-Encoding", "chunked"))
    await exchange.send(start + chunks(exchange.good.body) + b"0\r\n")
    for _ in range(1_000):
        await exchange.send(b"X-Pour: 0123456789\r\n" * 5_000)
    return False


async def pour_status_line(exchange: Exchange) -> bool:
    await exchange.send(b"HTTP/1.1 200 ")
    for _ in range(100):
        await exchange.send(b"O" * MIB)
    return False


POURS: dict[str, Reply] = {
    "headers": pour_headers,
    "interim-answers": pour_interim,
    "chunk-extension": pour_chunk_extension,
    "trailers": pour_trailers,
    "status-line": pour_status_line,
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="cannot measure memory")
@each("pour", POURS)
@timed
async def test_an_endless_answer_does_not_fill_the_memory(
    transport: TransportKind, pour: Reply, server: FaultServer
) -> None:
    server.always(ignored(pour))
    options: dict[str, Any] = {
        "retry": attempts(1),
        "timeouts": Timeouts(connect=1.0, read=0.15),
    }
    async with open_rig(transport, server, **options) as rig:
        peak = Peak()
        error = await rig.fails(UPDATE)
        assert isinstance(error, AmbiguousOutcomeError)
        assert peak.growth() < 128 * MIB
        assert rig.held() == 0


SMUGGLED: dict[str, Reply] = {
    "length-and-chunked": raw(
        lambda told: (
            head(
                200,
                ("Content-Type", JSON_TYPE),
                ("Content-Length", "3"),
                ("Transfer-Encoding", "chunked"),
            )
            + chunks(told.body)
            + b"0\r\n\r\n"
        ),
        "fin",
    ),
    "negative-length": raw(head(200, ("Content-Length", "-1")) + b"{}", "fin"),
    "length-of-words": raw(head(200, ("Content-Length", "many")) + b"{}", "fin"),
    "bad-chunk-size": raw(
        head(200, ("Content-Type", JSON_TYPE), ("Transfer-Encoding", "chunked")) + b"zz\r\n{}\r\n",
        "fin",
    ),
    "nul-in-header": raw(head(200, ("X-Odd", "a\0b"), ("Content-Length", "2")) + b"{}", "fin"),
    "http-2-preface": raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "fin"),
    "another-protocol": raw(b"220 mail.example.test ESMTP\r\n", "fin"),
    "only-a-newline": raw(b"\r\n\r\n", "fin"),
}


@each("reply", SMUGGLED)
async def test_an_answer_that_is_not_http_proves_nothing(
    transport: TransportKind, reply: Reply, server: FaultServer
) -> None:
    server.script(ignored(reply))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(CONFIG)
        assert isinstance(error, AmbiguousOutcomeError)
        assert rig.certainties[0].uncertain
        assert rig.held() == 0
        await rig.run(GET)
        assert rig.attempts == ()
    assert server.seen == ["POST", "GET"]


async def test_an_answer_before_any_request_reaches_no_call(
    server: FaultServer,
) -> None:
    async def speak_first(connection: Connection) -> bool:
        connection.push(EVIL)
        await asyncio.sleep(0.01)
        return True

    server.on_connect = speak_first
    async with open_rig("direct", server) as rig:
        error = await rig.fails(UPDATE)
        assert type(error) is HostDownError
        assert rig.certainties == [Certainty.NOT_SENT] * 4
    assert server.world.effects == []
    assert len(server.connections) == 4, "it connects once per attempt, and waits between them"


async def test_an_answer_on_a_pooled_connection_reaches_no_call(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REST_SECONDS", 0.0)
    async with open_rig("direct", server) as rig:
        for name in ("dev-1", "dev-3", "dev-1"):
            await rig.run(GetDevice(device_id="dev-2"))
            await asyncio.sleep(0.12)
            assert not in_hand(rig.client)
            server.connections[-1].push(EVIL)
            assert (await rig.run(GetDevice(device_id=name))).name == f"Name of {name}"
            assert rig.attempts == ()
    assert len(server.arrivals) == 6


async def test_a_client_that_is_closed_under_a_call_ends_it_truthfully(
    server: FaultServer,
) -> None:
    server.script(applied(hang()))
    client = Client(token=TOKEN, base_url=server.base_url)
    await client.__aenter__()
    call = asyncio.create_task(client.execute(UPDATE))
    await server.arrived(1)
    await client.close()
    async with asyncio.timeout(25):
        with pytest.raises(AmbiguousOutcomeError):
            await call
    assert server.seen == ["PATCH"]


async def test_a_session_that_is_closed_under_a_call_ends_it_truthfully(
    server: FaultServer,
) -> None:
    server.script(applied(hang()))
    session = aiohttp.ClientSession()
    async with Client(token=TOKEN, base_url=server.base_url, session=session) as client:
        call = asyncio.create_task(client.execute(UPDATE))
        await server.arrived(1)
        await session.close()
        async with asyncio.timeout(25):
            with pytest.raises(AmbiguousOutcomeError):
                await call
        with pytest.raises(TransportError) as caught:
            await client.execute(GET)
        assert not caught.value.sent
    assert server.seen == ["PATCH"]


async def test_a_session_that_does_not_unpack_is_understood(server: FaultServer) -> None:
    server.always(applied(gzipped()))
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        client = Client(token=TOKEN, base_url=server.base_url, session=session)
        async with client:
            assert (await client.execute(UPDATE)).name == "New name"


@timed
async def test_running_out_of_time_in_the_queue_is_reported_as_such(
    transport: TransportKind, server: FaultServer
) -> None:
    hold = asyncio.Event()
    server.script(applied(awaiting(hold)))
    options: dict[str, Any] = {
        "pacing": Pacing(max_in_flight=1),
        "retry": attempts(4, deadline=0.15),
        "timeouts": Timeouts(connect=5.0, read=5.0),
    }
    async with open_rig(transport, server, **options) as rig:
        patient = rig.client.with_options(retry=attempts(1))
        first = asyncio.create_task(patient.execute(CONFIG))
        await server.arrived(1)
        began = time.monotonic()
        error = await rig.fails(GET)
        assert type(error) is DeadlineExceededError
        assert error.attempts == ()
        error = await rig.fails(UPDATE)
        assert type(error) is DeadlineExceededError
        assert error.attempts == ()
        assert time.monotonic() - began < 5.0, "neither waited for the read of the first"
        hold.set()
        await first
    assert server.seen == ["POST"]


async def test_a_server_that_forgets_every_connection_costs_no_attempt(
    server: FaultServer,
) -> None:
    async with open_rig("direct", server, retry=attempts(1)) as rig:
        for _ in range(50):
            await rig.run(CONFIG)
            server.connections[-1].finish()
        assert server.world.done("generate_config") == 50
        assert rig.attempts == ()


@timed
async def test_a_finished_exchange_is_never_considered_late(
    transport: TransportKind, server: FaultServer
) -> None:
    brisk = Timeouts(connect=1.0, read=0.05)
    async with open_rig(transport, server, timeouts=brisk) as rig:
        for _ in range(2):
            await rig.run(CONFIG)
            await asyncio.sleep(0.12)
            assert rig.attempts == ()
    assert len(server.connections) == 1


@timed
async def test_row24_the_client_does_not_wait_after_101(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(raw(head(101, ("Upgrade", "x")), "hang")))
    limits = Timeouts(connect=1.0, read=1.0)
    async with open_rig(transport, server, retry=attempts(1), timeouts=limits) as rig:
        error = await rig.fails(GET)
        assert type(error) is TransportError
        assert rig.ended.elapsed < 0.5


async def test_alternating_lost_and_good_answers(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(*[step for _ in range(20) for step in (applied(close()), applied(gzipped()))])
    async with open_rig(transport, server) as rig:
        for _ in range(20):
            assert (await rig.run(UPDATE)).name == "New name"
            assert rig.certainties == [Certainty.MAYBE]


@pytest.mark.parametrize("depth", [200, 495, 700, 900, 1000, 5000])
async def test_a_deep_refusal_is_a_refusal(
    transport: TransportKind, depth: int, server: FaultServer
) -> None:
    details = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"errors":[{"code":"deep","details":' + details + b"}]}"
    server.always(ignored(raw(message(409, body, media_type=JSON_TYPE))))
    async with open_rig(transport, server) as rig:
        for operation in (CONFIG, UPDATE):
            assert type(await rig.fails(operation)) is ConflictError
            assert rig.certainties == [Certainty.REFUSED]
    assert server.seen == ["POST", "PATCH"]


async def test_a_body_that_ends_with_a_reset_is_not_complete(server: FaultServer) -> None:
    """Only an orderly end may stand for a missing length (RFC 9112, section 8)."""
    server.always(applied(close_delimited(ending="rst")))
    async with open_rig("direct", server, retry=attempts(1)) as rig:
        assert isinstance(await rig.fails(CONFIG), ResultLostError)
        assert isinstance(await rig.fails(GET), ResponseError)
    assert server.seen == ["POST", "GET"]
