"""Streams, time series and archives go through the client's proxy, as calls do."""

import contextlib
from datetime import UTC, datetime, timedelta

from aiohttp import web

from enapter_async.client import Client
from enapter_async.emulator import Emulator
from enapter_async.models.logs import LogRecord
from tests.emulator.fleets import PUMP
from tests.support.proxies import Proxy
from tests.support.tls import Certificates

FROM = datetime(2025, 1, 1, tzinfo=UTC)


async def test_a_proxy_forwards_a_websocket_and_a_time_series(emulator: Emulator) -> None:
    streams = emulator.streams
    streams.when_opened = lambda _kind, _ids: streams.log(PUMP, "through the proxy")
    port = int(emulator.base_url.rpartition(":")[2])
    async with (
        Proxy(port) as proxy,
        Client(emulator.token, base_url=emulator.base_url, proxy=proxy.url) as client,
    ):
        async with contextlib.aclosing(client.logs.stream(PUMP)) as stream:
            log = await anext(stream)
            assert isinstance(log, LogRecord)
            assert log.message == "through the proxy"
        assert proxy.asked == [f"GET {emulator.base_url}/v3/devices/{PUMP}/logs HTTP/1.1"]
        async with client.telemetry.timeseries(
            {PUMP: ["power"]}, from_=FROM, to=FROM + timedelta(minutes=5)
        ) as table:
            assert [row async for row in table]
        target = f"{emulator.base_url}/v3/telemetry/query_timeseries"
        assert proxy.asked[1:] == [f"POST {target} HTTP/1.1"]


async def test_a_websocket_over_tls_goes_through_the_tunnel(certificates: Certificates) -> None:
    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"message": "through the tunnel"})
        await socket.receive()
        return socket

    application = web.Application()
    application.router.add_get("/v3/devices/dev-1/logs", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        context = certificates.server(names="DNS:gateway.invalid")
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        proxy = await stack.enter_async_context(Proxy(runner.addresses[0][1]))
        client = Client(
            "a-token",
            base_url="https://gateway.invalid",
            proxy=proxy.url,
            ssl_context=certificates.trusting(),
        )
        await stack.enter_async_context(client)
        stream = await stack.enter_async_context(contextlib.aclosing(client.logs.stream("dev-1")))
        log = await anext(stream)
        assert isinstance(log, LogRecord)
        assert log.message == "through the tunnel"
    assert proxy.asked == ["CONNECT gateway.invalid:443 HTTP/1.1"]
