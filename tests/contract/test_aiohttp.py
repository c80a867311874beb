"""Undocumented behaviour of aiohttp that we rely on, checked as installed."""

import asyncio
import inspect
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from yarl import URL

from enapter_async._http.direct import RECEIVE_BYTES, probe
from enapter_async.client import Client
from tests.support.kinds import each
from tests.support.replies import close, good, half_head, reset
from tests.support.rig import ALL, CONFIG, METHOD, TransportKind, attempts, open_rig
from tests.support.server import FaultServer, Reply, ignored

SILENT: dict[str, Reply] = {"fin": close(), "rst": reset(), "half-head": half_head()}


@each("fault", SILENT)
async def test_aiohttp_by_itself_still_sends_a_deletion_twice(
    fault: Reply, server: FaultServer
) -> None:
    server.always(ignored(fault))
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.delete(f"{server.base_url}/v3/devices/dev-1")
    assert server.seen == ["DELETE", "DELETE"], "the next test is no longer needed"


def test_two_lengths_are_refused_where_aiohttp_parses_in_python(tmp_path: Path) -> None:
    """That parser accepts the first length; another test covers this where the parser is in use."""
    these = "tests/contract/test_phases.py::test_a_failure_after_the_sending_is_never_denied"
    done = subprocess.run(  # noqa: S603 - constants and this Python
        [sys.executable, "-m", "pytest", "-q", "-k", "lengths", "--basetemp", tmp_path, these],
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "2 passed" in done.stdout, done.stdout


@each("fault", SILENT)
@each("operation", ALL)
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_aiohttp_sends_nothing_on_its_own(
    transport: TransportKind,
    operation: Any,
    fault: Reply,
    reused: bool,
    server: FaultServer,
) -> None:
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        if reused:
            await rig.run(CONFIG)
        server.arrivals.clear()
        server.script(ignored(fault))
        server.always(ignored(good()))
        await rig.fails(operation)
        assert len(rig.attempts) == 1
    sent = [method for method in server.seen if method == METHOD[operation]]
    assert server.seen[0] == METHOD[operation]
    assert len(sent) == 1
    assert len(server.seen) <= 2


async def test_the_names_that_direct_exchanges_need_exist() -> None:
    async with aiohttp.ClientSession() as session:
        assert probe(session) == ""
        connect = inspect.signature(aiohttp.BaseConnector.connect)
        assert list(connect.parameters)[:4] == ["self", "req", "traces", "timeout"]
        request = inspect.signature(ClientRequest.__init__).parameters
        assert {"method", "url", "ssl", "loop", "session"} <= set(request)
        made = ClientRequest(
            "GET",
            URL("https://example.test"),
            ssl=True,
            loop=asyncio.get_running_loop(),
            session=session,
        )
        key = made.connection_key
        assert (key.host, key.port, key.is_ssl) == ("example.test", 443, True)


def test_the_names_of_the_parser_exist() -> None:
    assert list(inspect.signature(BaseProtocol.resume_reading).parameters) == [
        *("self", "resume_parser")
    ]
    assert isinstance(inspect.getattr_static(ResponseHandler, "should_close"), property)
    assert callable(ResponseHandler.is_connected)
    for name in ("protocol", "transport"):
        assert isinstance(inspect.getattr_static(Connection, name), property)
    for name in ("release", "close"):
        assert not inspect.iscoroutinefunction(getattr(Connection, name))
    assert inspect.iscoroutinefunction(aiohttp.StreamReader.readany)


@pytest.mark.parametrize(("told", "most"), [(None, 100 * 1024), (RECEIVE_BYTES, RECEIVE_BYTES)])
def test_asyncio_receives_as_much_at_once_as_configured(told: int | None, most: int) -> None:
    class Listener(asyncio.Protocol):
        def __init__(self) -> None:
            self.sizes: list[int] = []
            self.over = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: Any) -> None:
            assert transport.max_size > most or told is not None
            if told is not None:
                transport.max_size = told

        def data_received(self, data: bytes) -> None:
            self.sizes.append(len(data))

        def connection_lost(self, exc: Exception | None) -> None:
            self.over.set_result(exc)

    async def listen() -> list[int]:
        here, there = socket.socketpair()
        with there:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
            there.sendall(bytes(100 * 1024))
        loop = asyncio.get_running_loop()
        _, listener = await loop.create_connection(Listener, sock=here)
        await listener.over
        return listener.sizes

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        sizes = runner.run(listen())
    assert sum(sizes) == 100 * 1024
    assert max(sizes) == most


async def test_a_connection_can_be_acquired_used_and_released_as_we_do(server: FaultServer) -> None:
    async with aiohttp.ClientSession() as session:
        assert session.connector is not None
        request = ClientRequest(
            "GET",
            URL(server.base_url),
            ssl=True,
            loop=asyncio.get_running_loop(),
            session=session,
        )
        for _ in range(2):
            connection = await session.connector.connect(
                request, [], aiohttp.ClientTimeout(total=None)
            )
            protocol = connection.protocol
            assert protocol is not None
            assert protocol.transport is not None
            assert protocol.is_connected()
            assert not protocol.should_close
            protocol.set_response_params(read_until_eof=True, auto_decompress=True)
            protocol.transport.write(b"GET /v3/devices/dev-1 HTTP/1.1\r\nHost: x\r\n\r\n")
            head, payload = await protocol.read()
            assert head.code == 200
            assert b'"dev-1"' in await payload.readany()
            assert await payload.readany() == b""
            connection.release()
    assert len(server.connections) == 1


async def test_a_middleware_of_a_request_replaces_those_of_the_session(server: FaultServer) -> None:
    met: list[str] = []

    def named(name: str) -> aiohttp.ClientMiddlewareType:
        async def middleware(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            met.append(name)
            return await handler(request)

        return middleware

    async with aiohttp.ClientSession(middlewares=(named("session"),)) as session:
        address = f"{server.base_url}/v3/devices/dev-1"
        async with session.get(address, middlewares=(named("request"),)):
            pass
        assert met == ["request"]
        assert len(session._middlewares) == 1


async def test_an_unknown_aiohttp_is_worked_around_with_one_warning(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Connection, "protocol")
    with pytest.warns(RuntimeWarning) as told:
        async with Client(token="t", base_url=server.base_url):
            pass
    assert len(told) == 1
    assert "Connection.protocol" in str(told[0].message)
