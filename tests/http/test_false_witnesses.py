"""Answers, and routes through a session, that look like the API's word but are not."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Certainty,
    ConfigurationError,
    EnapterError,
    ResponseError,
)
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, ListDevices, UpdateDevice
from tests.support.replies import close, close_delimited, errors, good, hang, head, raw
from tests.support.rig import GET, TOKEN, TransportKind, attempts, open_rig
from tests.support.server import Exchange, FaultServer, applied, ignored

DELETE = DeleteDevice(device_id="dev-1")
CONFIG = GenerateConfig(device_id="dev-1", protocol="MQTTS")
HTML = ("Content-Type", "text/html")
UUID = "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f88"


@pytest.mark.parametrize(
    "page",
    [
        raw(head(404, HTML, ("Content-Length", "500")), "fin"),
        raw(head(404, HTML, ("Content-Length", "0"))),
        raw(head(404, ("Content-Length", "500")), "fin"),
        raw(head(404, ("Content-Encoding", "gzip"), ("Content-Length", "4")) + b"nope"),
    ],
    ids=["cut-html", "empty-html", "cut", "bad-gzip"],
)
async def test_a_foreign_404_does_not_prove_a_deletion(
    transport: TransportKind, page: Any, server: FaultServer
) -> None:
    server.script(ignored(close()))
    server.always(ignored(page))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(DELETE)) is AmbiguousOutcomeError
    assert server.world.effects == []


@pytest.mark.parametrize(
    "page",
    [
        raw(head(200, HTML, ("Content-Length", "0"))),
        raw(head(200, ("Content-Length", "13")) + b"Please log in"),
    ],
    ids=["empty-html", "untyped-text"],
)
async def test_a_portals_answer_is_not_a_deletion(
    transport: TransportKind, page: Any, server: FaultServer
) -> None:
    server.always(ignored(page))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(DELETE)) is AmbiguousOutcomeError
        assert set(rig.certainties) == {Certainty.MAYBE}


async def test_a_middleware_that_sends_again_cannot_hide_the_first_sending(
    server: FaultServer,
) -> None:
    async def again(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientError:
            server.deafen()
            return await handler(request)

    server.script(applied(close()))
    async with (
        aiohttp.ClientSession(middlewares=(again,)) as session,
        Client(TOKEN, base_url=server.base_url, session=session) as client,
    ):
        with pytest.raises(AmbiguousOutcomeError):
            await client.execute(CONFIG)
    assert len(server.world.effects) == 1


@pytest.mark.parametrize("operation", [GET, DELETE], ids=["get", "delete"])
async def test_nothing_is_sent_again_below_a_callers_middleware(
    operation: Operation[Any], server: FaultServer
) -> None:
    async def passive(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        return await handler(request)

    server.always(ignored(close()))
    async with (
        aiohttp.ClientSession(middlewares=(passive,)) as session,
        Client(TOKEN, base_url=server.base_url, session=session, retry=attempts(1)) as client,
    ):
        with pytest.raises(EnapterError) as caught:
            await client.execute(operation)
    assert len(caught.value.attempts) == 1
    # One attempt, and one read to find out what a write may have done.
    assert server.seen == (["GET"] if operation is GET else ["DELETE", "GET"])


async def test_a_complete_answer_is_kept_even_if_the_loop_was_blocked(server: FaultServer) -> None:
    async def answer_and_hold(exchange: Exchange) -> bool:
        kept = await good()(exchange)
        time.sleep(0.15)  # noqa: ASYNC251 - the loop is held up on purpose
        return kept

    server.script(applied(answer_and_hold))
    async with open_rig("direct", server, timeouts=Timeouts(connect=5.0, read=0.06)) as rig:
        assert (await rig.run(CONFIG)).mqtt_host


async def test_an_answer_that_ends_with_its_connection_is_kept_even_if_the_loop_was_blocked(
    server: FaultServer,
) -> None:
    """Its end is read one turn of the loop later than its body, when the timer is overdue."""

    async def answer_and_hold(exchange: Exchange) -> bool:
        kept = await close_delimited()(exchange)
        exchange.connection.finish()
        time.sleep(0.2)  # noqa: ASYNC251 - the loop is held up on purpose
        return kept

    server.script(applied(answer_and_hold))
    async with open_rig("direct", server, timeouts=Timeouts(connect=5.0, read=0.06)) as rig:
        assert (await rig.run(CONFIG)).mqtt_host


@pytest.mark.parametrize("host", ["a..b.example", f"{'x' * 64}.example"])
def test_a_host_that_no_resolver_accepts_is_refused_at_once(host: str) -> None:
    with pytest.raises(ConfigurationError):
        Client(TOKEN, base_url=f"https://{host}")


async def test_a_settling_read_that_is_refused_is_counted_by_the_limiter(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(
        ignored(close()), ignored(errors(429, ("Retry-After", "30"))), ignored(errors(500))
    )
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        error = await rig.fails(UpdateDevice(device_id="dev-1", name="New name"))
        assert type(error) is AmbiguousOutcomeError
        limiter = rig.client.limiter
        assert isinstance(limiter, AdaptiveLimiter)
        assert limiter.pace().refused_in_all == 1


async def test_a_client_over_a_session_begins_nothing_after_it_is_closed(
    server: FaultServer,
) -> None:
    server.script(ignored(hang()))
    async with aiohttp.ClientSession() as session:
        client = Client(
            TOKEN, base_url=server.base_url, session=session, timeouts=Timeouts(connect=5, read=5)
        )
        await client.__aenter__()
        call = asyncio.create_task(client.execute(DELETE))
        await server.arrived(1)
        await client.close()
        for connection in list(server.open):
            connection.reset()
        with pytest.raises(AmbiguousOutcomeError):
            await call
    assert len(server.arrivals) == 1


def test_a_uuid_in_either_case_is_one_device() -> None:
    assert UpdateDevice(device_id=UUID.upper(), name="A").subject() == UUID


async def test_a_list_with_errors_in_it_is_not_an_empty_list(
    transport: TransportKind, server: FaultServer
) -> None:
    body = b'{"errors":[{"code":"broken"}]}'
    lines = head(200, ("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    server.always(ignored(raw(lines + body)))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(ListDevices())) is ResponseError


async def test_an_unverifying_connector_is_refused() -> None:
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(ConfigurationError, match="does not verify"):
            await Client(TOKEN, base_url="https://127.0.0.1:1", session=session).__aenter__()


def test_a_derived_client_cannot_close_the_one_it_came_from() -> None:
    derived = Client(TOKEN, base_url="http://127.0.0.1:1").with_options()
    with pytest.raises(ConfigurationError):
        asyncio.run(derived.close())
