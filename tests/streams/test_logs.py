"""`client.logs.stream` over real sockets: losses are filled in or reported, and nothing twice."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from enapter_async.api.streams import GAPS
from enapter_async.client import Client
from enapter_async.emulator import Emulator, Reply, ServerFailure, TooManyRequests
from enapter_async.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    TLSError,
)
from enapter_async.models.logs import Gap, LogRecord, LogSeverity
from tests.emulator.fleets import BARN, NOON, PUMP
from tests.support.clock import FakeClock
from tests.support.secrets import locals_of
from tests.support.tls import Certificates

AT_NOON = datetime.fromtimestamp(NOON, UTC)


async def taken(stream: AsyncGenerator[Any, None], count: int) -> list[Any]:
    """Take `count` items: the message of each log, and each gap unchanged."""
    found: list[Any] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            item = await anext(stream)
            found.append(item.message if isinstance(item, LogRecord) else item)
    return found


async def connected(
    emulator: Emulator, stream: AsyncGenerator[Any, None], count: int = 1
) -> "asyncio.Task[list[Any]]":
    """Take the first item in a task, so that the stream connects; wait until it has."""
    first = asyncio.ensure_future(taken(stream, 1))
    async with asyncio.timeout(60):
        await emulator.streams.opened(count)
    return first


@pytest.mark.parametrize("nested", [True, False])
async def test_frames_of_both_shapes_are_read(
    emulator: Emulator, client: Client, nested: bool
) -> None:
    emulator.streams.nested = nested
    async with contextlib.aclosing(client.logs.stream("pump", site_id=BARN)) as stream:
        first = asyncio.ensure_future(anext(stream))
        await emulator.streams.opened(1)
        emulator.streams.log(PUMP, "Bearing hot", severity="warning")
        assert await first == LogRecord(
            message="Bearing hot",
            severity=LogSeverity.WARNING,
            timestamp=datetime.fromtimestamp(int(NOON), UTC),
            received_at=AT_NOON,
        )


async def test_filters_go_to_the_server(emulator: Emulator, client: Client) -> None:
    stream = client.logs.stream(PUMP, severity="error", show="persisted_only")
    first = await connected(emulator, stream)
    emulator.streams.log(PUMP, "a")
    emulator.streams.log(PUMP, "b", severity="error", persist=False)
    emulator.streams.log(PUMP, "c", severity="error")
    assert await first == ["c"]
    await stream.aclose()


@pytest.mark.parametrize("how", ["abort", "mid frame", "close frame"])
async def test_what_was_missed_is_filled_and_nothing_comes_twice(
    emulator: Emulator, client: Client, clock: FakeClock, how: str
) -> None:
    stream = client.logs.stream(PUMP)
    first = await connected(emulator, stream)
    emulator.streams.log(PUMP, "before")
    assert await first == ["before"]
    following = asyncio.ensure_future(taken(stream, 3))
    if how == "close frame":
        await emulator.streams.close()
    else:
        emulator.streams.drop(mid_frame=how == "mid frame")
    # While there is no connection, one kept log and a temporary one.
    emulator.streams.log(PUMP, "missed")
    emulator.streams.log(PUMP, "lost", persist=False)
    await emulator.streams.opened(2)
    emulator.streams.log(PUMP, "after")
    gap, *logs = await following
    assert logs == ["missed", "after"]
    assert (gap.fillable, gap.dropped, gap.since) == (False, None, AT_NOON)
    assert "temporary logs are not kept" in gap.reason
    assert clock.draws[0] == (0.0, client.retry.base_delay)
    await stream.aclose()


async def test_kept_logs_alone_have_no_gap(emulator: Emulator, client: Client) -> None:
    stream = client.logs.stream(PUMP, show="PERSISTED_ONLY")
    first = await connected(emulator, stream)
    emulator.streams.log(PUMP, "before")
    assert await first == ["before"]
    following = asyncio.ensure_future(taken(stream, 121))
    emulator.streams.drop()
    for number in range(120):
        emulator.streams.log(PUMP, str(number))
    await emulator.streams.opened(2)
    emulator.streams.log(PUMP, "after")
    assert await following == [*map(str, range(120)), "after"]
    await stream.aclose()


async def test_a_log_that_is_both_listed_and_sent_comes_once(
    emulator: Emulator, client: Client
) -> None:
    """The list is read after the socket is open, so a log may come both ways."""
    stream = client.logs.stream(PUMP, show="PERSISTED_ONLY")
    first = await connected(emulator, stream)
    emulator.streams.log(PUMP, "before")
    assert await first == ["before"]
    emulator.streams.when_opened = lambda _kind, _of: emulator.streams.log(PUMP, "both")
    following = asyncio.ensure_future(taken(stream, 1))
    emulator.streams.drop()
    assert await following == ["both"]
    await emulator.streams.sent()
    for _ in range(3):
        await client.devices.get(PUMP)  # meanwhile the list ends with an empty page
    emulator.streams.log(PUMP, "after")
    assert await taken(stream, 1) == ["after"]
    await stream.aclose()


async def test_what_cannot_be_listed_is_reported(emulator: Emulator, client: Client) -> None:
    stream = client.logs.stream(PUMP, show="PERSISTED_ONLY")
    first = await connected(emulator, stream)
    emulator.streams.log(PUMP, "before")
    await first
    body = b'{"errors":[{"code":"no","message":"No."}]}'
    emulator.faults.add(Reply(status=422, body=body), when=lambda _: emulator.streams.count == 2)
    following = asyncio.ensure_future(taken(stream, 1))
    emulator.streams.drop()
    await emulator.streams.opened(2)
    (gap,) = await following
    assert gap.fillable
    assert "could not be listed: HTTP 422" in gap.reason
    emulator.streams.log(PUMP, "after")
    assert await taken(stream, 1) == ["after"]
    await stream.aclose()


async def test_a_slow_reader_costs_no_memory_and_learns_what_it_missed(
    emulator: Emulator, client: Client
) -> None:
    stream = client.logs.stream(PUMP, buffer=10)
    first = await connected(emulator, stream)
    emulator.streams.log(PUMP, "first")
    await first
    for number in range(50):
        emulator.streams.log(PUMP, str(number))
    for _ in range(2000):
        emulator.streams.text('{"message":"a","message":"b"}')
    await emulator.streams.sent()
    await client.devices.get(PUMP)  # what was sent before its answer has arrived
    for _ in range(3000):
        await asyncio.sleep(0)  # a turn for each frame, none of which the reader uses
    emulator.streams.log(PUMP, "later")
    found: list[Any] = []
    while "later" not in found[-1:]:
        found += await taken(stream, 1)
    assert len(found) < 10 + GAPS + 4
    assert found[:10] == [str(number) for number in range(10)]
    gaps = [each for each in found if isinstance(each, Gap)]
    assert any("could not be read: an object contains a name twice" in each.reason for each in gaps)
    assert sum(each.dropped or 0 for each in gaps) == 40 + 2000
    await stream.aclose()


async def test_a_burst_reaches_a_reader_that_keeps_up(emulator: Emulator, client: Client) -> None:
    stream = client.logs.stream(PUMP, buffer=10)
    first = await connected(emulator, stream)
    for number in range(500):
        emulator.streams.log(PUMP, str(number), persist=False)
    found = await first
    found += await taken(stream, 499)
    assert found == [str(number) for number in range(500)]
    await stream.aclose()


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthenticationError), (403, PermissionDeniedError), (404, NotFoundError)],
)
async def test_a_refusal_before_the_upgrade_ends_it(
    emulator: Emulator, client: Client, clock: FakeClock, status: int, error: type[Exception]
) -> None:
    body = b'{"errors":[{"code":"no","message":"No logs for you."}]}'
    emulator.faults.add(Reply(status=status, body=body))
    stream = client.logs.stream(PUMP)
    with pytest.raises(error, match="No logs for you") as caught:
        await anext(stream)
    assert [line for line in locals_of(caught.value) if emulator.token in line] == []
    assert clock.sleeps == []
    assert emulator.streams.count == 0


async def test_an_unknown_device_ends_it(client: Client) -> None:
    with pytest.raises(NotFoundError):
        await anext(client.logs.stream("nobody"))


@pytest.mark.parametrize("reply", [200, 302])
async def test_an_answer_that_is_not_a_websocket_ends_it_and_is_not_followed(
    emulator: Emulator, client: Client, reply: int
) -> None:
    emulator.faults.add(Reply(status=reply, headers={"Location": "/v3/elsewhere"}))
    with pytest.raises(Exception, match=f"HTTP {reply}|redirect"):
        await anext(client.logs.stream(PUMP))
    assert emulator.world.log.count_arrivals() == 1


async def test_failures_before_the_upgrade_are_waited_out(
    emulator: Emulator, client: Client, clock: FakeClock
) -> None:
    for fault in (ServerFailure(), TooManyRequests(retry_after=7), ServerFailure()):
        emulator.faults.add(fault)
    stream = client.logs.stream(PUMP)
    first = await connected(emulator, stream)
    emulator.streams.log(PUMP, "at last")
    (gap,) = await first
    assert "no connection could be made: HTTP 502" in gap.reason
    assert (gap.since, gap.until) == (None, None)
    assert await taken(stream, 1) == ["at last"]
    base = client.retry.base_delay
    assert clock.sleeps == [base, 7 + (7 * 0.25 + 0.5), 4 * base]
    await stream.aclose()


async def test_a_server_that_is_gone_is_noticed_by_its_silence(
    emulator: Emulator, client: Client
) -> None:
    client.sockets.heartbeat = 0.04
    emulator.streams.stalled = True
    stream = client.logs.stream(PUMP)
    first = await connected(emulator, stream, 2)
    emulator.streams.stalled = False
    client.sockets.heartbeat = 20
    async with asyncio.timeout(60):
        await emulator.streams.opened(3)
    (gap,) = await first
    assert isinstance(gap, Gap)
    await stream.aclose()


@pytest.mark.parametrize("state", ["connected", "waiting"])
async def test_closing_the_client_ends_its_streams(
    emulator: Emulator, client: Client, clock: FakeClock, state: str
) -> None:
    stream = client.logs.stream(PUMP)
    if state == "waiting":
        clock.gate = asyncio.Event()
        emulator.faults.add(ServerFailure())
        first = asyncio.ensure_future(taken(stream, 2))  # a gap, and nothing more
        await clock.slept()
    else:
        first = await connected(emulator, stream)
    async with asyncio.timeout(60):
        await client.close()
        with pytest.raises(StopAsyncIteration):
            await first


async def test_many_streams_leave_all_places_to_calls(emulator: Emulator) -> None:
    """A stream occupies no connection of the calls, however many there are."""
    settings: dict[str, Any] = {"base_url": emulator.base_url}
    async with Client(emulator.token, **settings) as client:
        streams = [client.logs.stream(PUMP) for _ in range(110)]
        tasks = [asyncio.ensure_future(anext(each)) for each in streams]
        async with asyncio.timeout(60):
            await emulator.streams.opened(110)
            assert (await client.devices.get(PUMP)).id == PUMP
        emulator.streams.log(PUMP, "all")
        logs = await asyncio.gather(*tasks)
        assert {isinstance(each, LogRecord) and each.message for each in logs} == {"all"}
        for each in streams:
            await each.aclose()


async def test_a_new_token_is_requested_after_a_401(emulator: Emulator) -> None:
    tokens = iter(["stale", emulator.token])
    body = b'{"errors":[{"code":"no","message":"No."}]}'
    emulator.faults.add(Reply(status=401, body=body))
    async with Client(lambda: next(tokens), base_url=emulator.base_url) as client:
        stream = client.logs.stream(PUMP)
        first = await connected(emulator, stream)
        emulator.streams.log(PUMP, "new")
        assert await first == ["new"]
        await stream.aclose()


async def test_logs_are_listed_with_filters(emulator: Emulator, client: Client) -> None:
    for number in range(120):
        severity = "error" if number % 2 else "info"
        emulator.streams.log(PUMP, str(number), severity=severity)
    assert len([each async for each in client.logs.list(PUMP)]) == 120
    listed = [
        each.message
        async for each in client.logs.list(
            "pump", site_id=BARN, severity="ERROR", order="received_at_desc"
        )
    ]
    assert listed == [str(number) for number in range(119, 0, -2)]
    since = client.logs.list(PUMP, received_at_from=datetime.fromtimestamp(NOON + 1, UTC))
    assert [each async for each in since] == []


async def test_a_stream_goes_through_tls_and_carries_the_extra_headers(
    certificates: Certificates, transport: str
) -> None:
    seen: list[Any] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        seen.append((request.path_qs, request.headers["X-Enapter-Auth-Token"]))
        seen.append(request.headers["X-Trace"])
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"message": "old", "timestamp": "1770095100"})
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/api/v3/devices/dev-1/logs", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificates.server())
        await site.start()
        address = f"https://127.0.0.1:{runner.addresses[0][1]}/api"
        session = None
        if transport == "session":
            session = await stack.enter_async_context(aiohttp.ClientSession())
        for trusted in (True, False):
            client = Client(
                "a-token",
                base_url=address,
                session=session,
                ssl_context=certificates.trusting() if trusted else None,
                extra_headers=lambda: {"X-Trace": "t"},
            )
            async with client:
                stream = client.logs.stream("dev-1", severity="info")
                if trusted:
                    assert await taken(stream, 1) == ["old"]
                else:
                    with pytest.raises(TLSError):
                        await anext(stream)
                await stream.aclose()
    assert seen == [
        ("/api/v3/devices/dev-1/logs?severity=info", "a-token"),
        "t",
    ]
