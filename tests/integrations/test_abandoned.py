"""A browser that disconnects cancels its call, which leaves nothing behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from yarl import URL

from enapter_async.client import Client
from enapter_async.emulator import Emulator, Hang
from enapter_async.hooks import AttemptFailed, CallEnded, Event
from enapter_async.integrations import starlette
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.operations.devices import UpdateDevice
from tests.emulator.fleets import UCM, small_world
from tests.integrations.backends import KINDS, Kind, backend, serving_asgi

HEAD = "POST {path} HTTP/1.1\r\nHost: backend\r\nContent-Length: {length}\r\n\r\n"
RENAME = UpdateDevice(device_id=UCM, name="New")


@contextlib.asynccontextmanager
async def asked(url: str, path: str, length: int = 0) -> AsyncIterator[asyncio.StreamWriter]:
    """Send a request, and yield its connection, which is reset at the end."""
    where = URL(url)
    _, writer = await asyncio.open_connection(where.host, where.port)
    try:
        writer.write(HEAD.format(path=path, length=length).encode())
        await writer.drain()
        yield writer
    finally:
        writer.transport.abort()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - it is about another's log
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_lost_write_is_cancelled_and_reported_and_releases_gate_and_turn(
    kind: Kind,
) -> None:
    events: list[Event] = []
    made: list[Client] = []
    async with Emulator(world=small_world()) as emulator:

        def make() -> Client:
            made.append(Client(emulator.token, base_url=emulator.base_url, hooks=[events.append]))
            return made[-1]

        async def act(client: Client) -> str:
            return str((await client.execute(RENAME)).name)

        emulator.faults.add(Hang(after_effect=True), method="PATCH")
        async with backend(kind, make, act) as url:
            async with asked(url, "/act"):
                await until(lambda: emulator.world.log.count("update") == 1)
                assert not any(isinstance(event, CallEnded) for event in events)
            await until(lambda: isinstance(events[-1], CallEnded))
            ended = events[-1]
            assert isinstance(ended, CallEnded)
            assert (ended.cancelled, ended.error, ended.operation) == (True, None, RENAME)
            assert not any(isinstance(event, AttemptFailed) for event in events)

            pipeline = made[0]._engine.pipeline()
            assert isinstance(pipeline.limiter, AdaptiveLimiter)
            assert pipeline.limiter.in_flight == 0
            assert pipeline.turns._waiting == {}
            async with aiohttp.ClientSession() as session, session.post(f"{url}/act") as response:
                assert (response.status, await response.json()) == (200, {"done": "New"})
    # It was done although nobody received the answer: a cancelled call reports nothing.
    assert emulator.world.log.count("update") == 2


@pytest.mark.parametrize("outside", [True, False])
async def test_middleware_around_it_or_within_changes_nothing(
    outside: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []
    begun = asyncio.Event()
    statuses: list[int] = []

    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            response = await call_next(request)
            statuses.append(response.status_code)
            return response

    async def handler(_: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return Response()

    app = Starlette(routes=[Route("/", handler, methods=["POST"])])
    if not outside:
        app.add_middleware(Passing)
    starlette.install(app)
    if outside:
        app.add_middleware(Passing)  # the middleware added last is outermost
    async with serving_asgi(app) as url:
        async with asked(url, "/"):
            await begun.wait()
        await until(lambda: bool(ends))
    assert statuses == ([starlette.ABANDONED] if outside else [])
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[Request], Awaitable[Response]],
) -> AsyncIterator[str]:
    app = Starlette(routes=[Route("/", handler, methods=["POST"])])
    starlette.install(app)
    async with serving_asgi(app) as url:
        yield url


async def test_a_large_body_arrives_whole_and_in_order() -> None:
    async def handler(request: Request) -> Response:
        found = bytearray()
        async for piece in request.stream():
            found += piece
        return Response(bytes(found))

    body = bytes(range(256)) * 3500
    async with serving(handler) as url, aiohttp.ClientSession() as session:
        for sent in (b"", b"x", body):
            async with session.post(url, data=sent) as response:
                assert await response.read() == sent


async def test_a_truncated_body_cancels_its_reader() -> None:
    ends: list[str] = []

    async def handler(request: Request) -> Response:
        try:
            await request.body()
        except BaseException as error:
            ends.append(type(error).__name__)
            raise
        return Response()

    async with serving(handler) as url:
        async with asked(url, "/", length=100) as writer:
            writer.write(b"half of it")
            await writer.drain()
        await until(lambda: bool(ends))
    assert ends[0] in ("CancelledError", "ClientDisconnect")


async def test_background_tasks_after_the_response_are_left_alone() -> None:
    done = asyncio.Event()
    gone = asyncio.Event()

    async def later() -> None:
        await gone.wait()
        await asyncio.sleep(0.05)
        done.set()

    async def handler(_: Request) -> Response:
        return PlainTextResponse("at once", background=BackgroundTask(later))

    async with serving(handler) as url:
        async with asked(url, "/"):
            await asyncio.sleep(0.05)
        gone.set()
        async with asyncio.timeout(60):
            await done.wait()


async def test_an_external_cancellation_propagates() -> None:
    started = asyncio.Event()

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(_: Any) -> None:
        pass

    wrapped = starlette.CancelAbandoned(app)
    task = asyncio.create_task(wrapped({"type": "http"}, receive, send))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_app_without_lifespan_says_what_is_missing() -> None:
    async def handler(request: Request) -> Response:
        starlette.client_of(request)
        return Response()

    async with (
        serving(handler) as url,
        aiohttp.ClientSession() as session,
        session.post(url) as response,
    ):
        assert response.status == 500
        assert (await response.json())["type"].endswith("backend-misconfigured")
