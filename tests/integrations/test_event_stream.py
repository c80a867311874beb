"""Server-sent events as browsers read them, over both frameworks."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from enapter_async.integrations import aiohttp_web, starlette
from enapter_async.integrations.event_stream import (
    HEARTBEAT,
    RETRY,
    StreamEvent,
    encode,
    encoded,
)
from tests.integrations.backends import serving_aiohttp, serving_asgi

Events = AsyncGenerator[StreamEvent, None]


def event(number: int) -> StreamEvent:
    return StreamEvent(id=f"s.{number}", kind="job", data={"number": number})


def parsed(stream: bytes) -> list[dict[str, str]]:
    """Parse a stream as the HTML standard defines it: an empty line ends an event."""
    found: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if "data" in fields:
                found.append(fields)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    return found


@given(st.dictionaries(st.text(), st.text()))
def test_any_text_arrives_as_one_event(data: dict[str, str]) -> None:
    [found] = parsed(RETRY + encode(StreamEvent(id="a.1", kind="job", data=data)) + HEARTBEAT)
    assert (found["id"], found["event"]) == ("a.1", "job")
    sendable = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    assert json.loads(found["data"]) == json.loads(sendable)


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b"])
def test_an_id_is_one_line(text: str) -> None:
    for wrong in ({"id": text, "kind": "job"}, {"id": "1", "kind": text}):
        with pytest.raises(ValueError, match="one line"):
            encode(StreamEvent(data={}, **wrong))


async def test_comments_fill_silence_and_no_event_is_lost() -> None:
    go_on = asyncio.Event()

    async def events() -> Events:
        yield event(1)
        await go_on.wait()
        yield event(2)

    stream = encoded(events(), heartbeat=0.01)
    assert [await anext(stream) for _ in range(4)] == [RETRY, encode(event(1)), *[HEARTBEAT] * 2]
    go_on.set()
    left = [chunk async for chunk in stream]
    assert [chunk for chunk in left if chunk != HEARTBEAT] == [encode(event(2))]


async def test_a_stream_that_is_closed_closes_its_events_at_once() -> None:
    ends: list[str] = []

    async def events() -> Events:
        try:
            yield event(1)
        finally:
            ends.append("closed")

    given = events()  # kept here, so that it is not garbage-collected and closed
    stream = encoded(given)
    assert [await anext(stream) for _ in range(2)] == [RETRY, encode(event(1))]
    await stream.aclose()
    assert ends == ["closed"]


@contextlib.asynccontextmanager
async def serving(kind: str, events: Events) -> AsyncIterator[str]:
    async def by_aiohttp(request: web.Request) -> web.StreamResponse:
        return await aiohttp_web.stream(request, events, heartbeat=0.02)

    async def by_starlette(_: Request) -> Response:
        return starlette.EventStream(events, heartbeat=0.02)

    if kind == "aiohttp":
        app = web.Application()
        app.router.add_get("/", by_aiohttp)
        async with serving_aiohttp(app) as url:
            yield url
        return
    asgi = Starlette(routes=[Route("/", by_starlette)])
    if kind == "starlette":
        starlette.install(asgi)
    async with serving_asgi(asgi) as url:
        yield url


KINDS = ("aiohttp", "starlette", "starlette alone")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_arrives_with_its_headers_and_ends(kind: str) -> None:
    async def events() -> Events:
        for number in range(3):
            yield event(number)

    async with (
        serving(kind, events()) as url,
        aiohttp.ClientSession() as session,
        session.get(url) as response,
    ):
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        found = parsed(await response.read())
    assert [each["id"] for each in found] == ["s.0", "s.1", "s.2"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_watcher_that_leaves_ends_its_events(kind: str) -> None:
    closed = asyncio.Event()

    async def events() -> Events:
        try:
            yield event(1)
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with serving(kind, events()) as url:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            await response.content.readuntil(b"\n\n")
        async with asyncio.timeout(60):
            await closed.wait()


@pytest.mark.parametrize("kind", ["aiohttp", "starlette"])
async def test_a_reader_that_does_not_read_holds_the_events_back(kind: str) -> None:
    given = 0
    text = "x" * 100_000

    async def events() -> Events:
        nonlocal given
        for _ in range(1000):
            given += 1
            yield StreamEvent(id="1", kind="job", data={"text": text})

    async with (
        serving(kind, events()) as url,
        aiohttp.ClientSession(read_bufsize=1024) as session,
        session.get(url) as slow,
    ):
        assert slow.status == 200
        before: Any = None
        async with asyncio.timeout(60):
            while before != given:
                before = given
                await asyncio.sleep(0.15)
        # 100 MB would have been sent; only the sockets' own buffers are in flight.
        assert given < 200
