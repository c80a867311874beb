"""A caller's session: a request that it does not send is reported as not sent, whatever failed.

The phases are those of aiohttp; `session._Exchange` distinguishes them by its `ClientRequest.send`.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.client import Client
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Certainty,
    ConfigurationError,
    EnapterError,
    HostDownError,
    ProxyError,
    TransportError,
)
from enapter_async.fleet import State
from enapter_async.operations.devices import GenerateConfig
from tests.support.clock import FakeClock
from tests.support.kinds import each
from tests.support.proxies import Proxy
from tests.support.rig import CONFIG, TOKEN, UPDATE, attempts
from tests.support.server import FaultServer
from tests.support.tls import Certificates

NOWHERE = "https://api.enapter.invalid"
MINTS = [GenerateConfig(device_id=f"dev-{n}", protocol="MQTT") for n in range(30)]


async def fails(session: aiohttp.ClientSession, base_url: str, **options: Any) -> EnapterError:
    """Execute a once-only operation over a session, and return the error that must be raised."""
    options.setdefault("retry", attempts(1))
    async with Client(TOKEN, base_url=base_url, session=session, **options) as client:
        with pytest.raises(EnapterError) as caught:
            await client.execute(CONFIG)
    return caught.value


# A proxy that refuses

REFUSALS: dict[str, tuple[str, type[TransportError], str, int]] = {
    "407": ("407 Proxy Authentication Required", ProxyError, "HTTP 407 Proxy Auth", 1),
    "403": ("403 Forbidden", ProxyError, "HTTP 403 Forbidden", 1),
    "502": ("502 Bad Gateway", HostDownError, "HTTP 502 Bad Gateway", 3),
    "599": ("599 Whatever", HostDownError, "HTTP 599", 3),
    "closed": ("", HostDownError, "the connection was lost before the request was sent", 3),
}


@each("refusal", REFUSALS)
async def test_a_tunnel_that_is_refused_was_not_sent(
    refusal: tuple[str, type[TransportError], str, int], clock: FakeClock
) -> None:
    line, kind, said, tries = refusal
    async with Proxy(refusal=line) as proxy, aiohttp.ClientSession(proxy=proxy.url) as session:
        error = await fails(session, NOWHERE, retry=attempts(3), clock=clock.clock())
    assert type(error) is kind
    assert not error.sent
    assert said in str(error)
    assert {each.certainty for each in error.attempts} == {Certainty.NOT_SENT}
    assert proxy.asked == ["CONNECT api.enapter.invalid:443 HTTP/1.1"] * tries


async def test_a_job_behind_a_proxy_that_wants_credentials_stops_at_once() -> None:
    async with (
        Proxy(refusal="407 Proxy Authentication Required") as proxy,
        aiohttp.ClientSession(proxy=proxy.url) as session,
        Client(TOKEN, base_url=NOWHERE, session=session) as client,
    ):
        report = await fleet.apply(client, MINTS, credentials=lambda *_: None, concurrency=4)
    assert isinstance(report.stopped, ProxyError)
    assert report.counts[State.UNKNOWN] == 0
    assert report.counts[State.HELD] + report.counts[State.FAILED] == len(MINTS)
    assert report.counts[State.FAILED] <= 4


# Other failures before anything is sent


class BrokenResolver(AbstractResolver):
    async def resolve(self, *_: Any, **__: Any) -> list[ResolveResult]:
        raise ValueError("broken")

    async def close(self) -> None:
        pass


async def sealed(_: aiohttp.ClientRequest, __: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    raise KeyError("the vault is sealed")


async def stuck(_: aiohttp.ClientRequest, __: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def disconnected(
    _: aiohttp.ClientRequest, __: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    raise aiohttp.ServerDisconnectedError


def tracing(signal: str) -> aiohttp.ClientSession:
    """Create a session with a trace that fails at a signal."""

    async def fail(*_: Any) -> None:
        raise RuntimeError("trace")

    config = aiohttp.TraceConfig()
    getattr(config, signal).append(fail)
    return aiohttp.ClientSession(trace_configs=[config])


UNSENT: dict[str, tuple[Callable[[], aiohttp.ClientSession], type[TransportError]]] = {
    "middleware": (lambda: aiohttp.ClientSession(middlewares=(sealed,)), TransportError),
    "middleware-that-lost-a-connection-of-its-own": (
        lambda: aiohttp.ClientSession(middlewares=(disconnected,)),
        HostDownError,
    ),
    "middleware-that-hangs": (lambda: aiohttp.ClientSession(middlewares=(stuck,)), HostDownError),
    "resolver": (
        lambda: aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=BrokenResolver())),
        TransportError,
    ),
    "trace-of-the-start": (lambda: tracing("on_request_start"), TransportError),
    "trace-of-a-new-connection": (lambda: tracing("on_connection_create_end"), TransportError),
}


@each("unsent", UNSENT)
async def test_failures_of_a_session_before_it_sends_are_reported_as_not_sent(
    unsent: tuple[Callable[[], aiohttp.ClientSession], type[TransportError]], server: FaultServer
) -> None:
    make, kind = unsent
    address = f"http://localhost:{server.port}"
    async with make() as session:
        error = await fails(session, address, timeouts=Timeouts(connect=0.1, read=0.1))
    assert type(error) is kind
    assert not error.sent
    assert [each.certainty for each in error.attempts] == [Certainty.NOT_SENT]
    assert "vault" not in str(error)
    assert server.arrivals == []


@pytest.mark.parametrize("signal", ["on_request_headers_sent", "on_request_end"])
async def test_a_trace_that_fails_after_the_sending_does_not_deny_it(
    signal: str, server: FaultServer
) -> None:
    async with tracing(signal) as session:
        assert type(await fails(session, server.base_url)) is AmbiguousOutcomeError


async def test_a_middleware_that_fails_after_the_answer_does_not_deny_it(
    server: FaultServer,
) -> None:
    async def after(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        (await handler(request)).close()
        raise KeyError("after")

    async with aiohttp.ClientSession(middlewares=(after,)) as session:
        assert type(await fails(session, server.base_url)) is AmbiguousOutcomeError
    assert server.world.done("generate_config") == 1


# Sessions that cannot be used


def test_a_session_of_another_loop_is_refused_before_anything_is_sent() -> None:
    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use() -> None:
        with pytest.raises(ConfigurationError, match="created on another event loop"):
            await Client(TOKEN, session=session).__aenter__()

    with asyncio.Runner() as other:
        session = other.run(make())
        asyncio.run(use())
        other.run(session.close())


async def test_a_closed_session_is_refused() -> None:
    async with aiohttp.ClientSession() as session:
        pass
    with pytest.raises(ConfigurationError, match="the session is closed"):
        await Client(TOKEN, session=session).__aenter__()


# Reaching the host without a request


async def test_reach_takes_the_route_of_the_calls(certificates: Certificates) -> None:
    async with (
        FaultServer(ssl_context=certificates.server(names="DNS:gateway.invalid")) as there,
        Proxy(there.port) as proxy,
        aiohttp.ClientSession(proxy=proxy.url) as session,
        Client(
            TOKEN,
            base_url="https://gateway.invalid",
            session=session,
            ssl_context=certificates.trusting(),
        ) as client,
    ):
        await client.reach()
        assert there.arrivals == []
        await client.execute(UPDATE)
        proxy.refusal = "403 Forbidden"
        await client.reach()  # over the connection that the call left open
        with pytest.raises(ProxyError):
            await client.reach()
    assert there.seen == ["PATCH"]
    assert proxy.asked[0] == "CONNECT gateway.invalid:443 HTTP/1.1"


async def test_reaching_without_a_session_makes_a_new_connection(server: FaultServer) -> None:
    async with Client(TOKEN, base_url=server.base_url) as client:
        await client.execute(UPDATE)
        await client.reach()
        server.deafen()
        with pytest.raises(HostDownError, match=r"no connection to 127\.0\.0\.1:\d+ could be made"):
            await client.reach()
    assert server.seen == ["PATCH"]


class Doorkeeper:
    """A unix socket on which a server listens from the n-th sleep of a clock on."""

    def __init__(self, path: Path, server: FaultServer, clock: FakeClock, *, after: int) -> None:
        self._path, self._server, self._clock, self._after = path, server, clock, after
        self._listener: asyncio.Server | None = None
        clock.on_sleep = self

    async def __call__(self) -> None:
        if len(self._clock.sleeps) >= self._after and self._listener is None:
            self._listener = await asyncio.start_unix_server(self._server._accept, self._path)

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()


async def test_a_job_over_a_unix_socket_continues_after_an_outage(
    server: FaultServer, clock: FakeClock
) -> None:
    """The port of base_url never answers: only the session can reach the server."""
    server.deafen()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "socket"
        keeper = Doorkeeper(path, server, clock, after=60)
        stack.callback(keeper.close)
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            Client(
                TOKEN,
                base_url=server.base_url,
                session=session,
                clock=clock.clock(),
                retry=RetryPolicy(attempts=2),
            ) as client,
        ):
            mints = [GenerateConfig(device_id=f"dev-{n}", protocol="MQTT") for n in (1, 2, 3)]
            kept: list[Any] = []
            report = await fleet.apply(
                client, mints, credentials=lambda _, result: kept.append(result), max_pause=1e9
            )
    assert report.counts[State.APPLIED] == len(kept) == 3
    assert server.seen == ["POST"] * 3
