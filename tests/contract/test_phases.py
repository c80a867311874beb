"""How far a failed request got: the errors of aiohttp, and our reports.

`SessionTransport` and `connect_failure` distinguish failures by the errors; the reports are the
core of reliability, so they are checked over both transports.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp.abc import AbstractResolver

from enapter_async._http.transport import Timeouts
from enapter_async.errors import AmbiguousOutcomeError, Certainty, HostDownError, TLSError
from tests.support.kinds import BROKEN, LATE, LOST, NINE_INTERIMS, each
from tests.support.lag import timed
from tests.support.names import NoSuchName
from tests.support.rig import BRISK, CONFIG, TransportKind, open_rig
from tests.support.server import Connection, FaultServer, Reply, applied
from tests.support.tls import Certificates

BRIEF = aiohttp.ClientTimeout(total=None, connect=0.1, sock_connect=0.1, sock_read=0.1)
PATIENT = aiohttp.ClientTimeout(total=None, connect=20.0, sock_connect=20.0, sock_read=20.0)
"""For faults that end by themselves: on a busy machine a brief limit might end the call first."""
IN_TIME: dict[type[Exception], aiohttp.ClientTimeout] = {
    aiohttp.ConnectionTimeoutError: BRIEF,
    aiohttp.SocketTimeoutError: BRIEF,
}


async def raised(server: FaultServer, kind: type[Exception], **options: Any) -> BaseException:
    """Make one request with plain aiohttp, and return the error it raises, which may be `kind`."""
    timeout = IN_TIME.get(kind, PATIENT)
    connector = aiohttp.TCPConnector(limit=1, resolver=options.pop("resolver", None))
    address = f"{options.pop('base_url', server.base_url)}/v3/devices/dev-1/generate_config"
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which it is, is the question
            async with session.post(address, json={"protocol": "MQTT"}, **options) as response:
                await response.read()
    return caught.value


# Not sent


@attrs.frozen
class Place:
    """An unreachable server: the errors of aiohttp and of our client."""

    server: FaultServer
    aiohttp: dict[str, Any] = attrs.field(factory=dict)
    ours: dict[str, Any] = attrs.field(factory=dict)
    resolver: AbstractResolver | None = None


@contextlib.asynccontextmanager
async def closed_port(_: Certificates) -> AsyncIterator[Place]:
    async with FaultServer() as server:
        server.deafen()
        yield Place(server)


@contextlib.asynccontextmanager
async def unknown_name(_: Certificates) -> AsyncIterator[Place]:
    async with FaultServer() as server:
        address = {"base_url": f"http://localhost:{server.port}"}
        yield Place(server, address, address, NoSuchName())


@contextlib.asynccontextmanager
async def dropped_syn(_: Certificates) -> AsyncIterator[Place]:
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _each in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        server = FaultServer()
        server.port = deaf.getsockname()[1]
        yield Place(server)


@contextlib.asynccontextmanager
async def bad_certificate(certificates: Certificates) -> AsyncIterator[Place]:
    async with FaultServer(ssl_context=certificates.server(authority="other")) as server:
        context = certificates.trusting()
        yield Place(server, {"ssl": context}, {"ssl_context": context})


@contextlib.asynccontextmanager
async def no_tls(certificates: Certificates) -> AsyncIterator[Place]:
    async def complain(connection: Connection) -> bool:
        connection.push(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        return False

    async with FaultServer() as server:
        server.on_connect = complain
        address = {"base_url": f"https://127.0.0.1:{server.port}"}
        context = certificates.trusting()
        yield Place(server, {"ssl": context, **address}, {"ssl_context": context, **address})


Visit = Callable[[Certificates], contextlib.AbstractAsyncContextManager[Place]]

PLACES: dict[str, tuple[Visit, type[Exception], type[Exception], int]] = {
    "row02-closed-port": (closed_port, aiohttp.ClientConnectorError, HostDownError, 4),
    "row03-unknown-name": (unknown_name, aiohttp.ClientConnectorDNSError, HostDownError, 3),
    "row04-dropped-syn": (dropped_syn, aiohttp.ConnectionTimeoutError, HostDownError, 4),
    "row05-bad-certificate": (
        bad_certificate,
        aiohttp.ClientConnectorCertificateError,
        TLSError,
        1,
    ),
    "row06-no-tls": (no_tls, aiohttp.ClientConnectorSSLError, TLSError, 3),
}


@each("place", PLACES)
async def test_what_aiohttp_raises_before_it_sends(place: Any, certificates: Certificates) -> None:
    visit, kind, _, _ = place
    async with visit(certificates) as where:
        error = await raised(where.server, kind, **where.aiohttp, resolver=where.resolver)
        assert isinstance(error, kind)
        assert isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


@each("place", PLACES)
async def test_a_failure_before_the_sending_is_not_sent(
    transport: TransportKind, place: Any, certificates: Certificates
) -> None:
    visit, _, kind, tries = place
    async with (
        visit(certificates) as where,
        open_rig(transport, where.server, timeouts=BRISK, **where.ours) as rig,
    ):
        if where.resolver is not None:
            rig.connector._resolver = where.resolver  # type: ignore[attr-defined]  # a resolver is set at its making only
        error = await rig.fails(CONFIG)
        assert type(error) is kind
        assert rig.certainties == [Certainty.NOT_SENT] * tries
        assert where.server.arrivals == []
        if visit is no_tls:
            said = "wrong version number; the server there may not speak TLS"
            assert str(error).endswith(f"could be established: {said}")


async def test_waiting_for_a_place_in_the_pool_is_a_connection_timeout(server: FaultServer) -> None:
    server.always(applied(LATE["row11-no-answer"]))
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        first = asyncio.ensure_future(session.get(server.base_url))
        await server.arrived(1)
        with pytest.raises(aiohttp.ConnectionTimeoutError):
            await session.get(server.base_url, timeout=BRIEF)
        first.cancel()
        await asyncio.wait({first})
    assert len(server.arrivals) == 1


# Maybe, and applied

RAISED: dict[str, tuple[Reply, type[Exception]]] = {
    "row07-fin": (LOST["row07-fin-after-request"], aiohttp.ServerDisconnectedError),
    "row07-rst": (LOST["row07-rst-after-request"], aiohttp.ClientOSError),
    "row10-half-head-fin": (LOST["row10-half-head-then-fin"], aiohttp.ServerDisconnectedError),
    "row10-half-head-rst": (LOST["row10-half-head-then-rst"], aiohttp.ClientOSError),
    "row11-no-answer": (LATE["row11-no-answer"], aiohttp.SocketTimeoutError),
    "row25-header-of-70-kB": (LOST["row25-header-of-70-kB"], aiohttp.ClientResponseError),
    "row25-two-lengths": (LOST["row25-two-content-lengths"], aiohttp.ClientResponseError),
    "row26-truncated": (BROKEN["row26-truncated"], aiohttp.ClientPayloadError),
    "row26-chunked": (BROKEN["row26-truncated-chunked"], aiohttp.ClientPayloadError),
    "row26-bad-gzip": (BROKEN["row26-bad-gzip"], aiohttp.ClientPayloadError),
}


@each("failure", RAISED)
async def test_what_aiohttp_raises_after_it_sent(
    failure: tuple[Reply, type[Exception]], server: FaultServer
) -> None:
    reply, kind = failure
    server.always(applied(reply))
    error = await raised(server, kind)
    assert isinstance(error, kind)
    # Otherwise it would look like a failure before anything was sent.
    assert not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    assert server.seen == ["POST"]


@each("fault", {**LOST, **LATE, **BROKEN})
@timed
async def test_a_failure_after_the_sending_is_never_denied(
    transport: TransportKind, fault: Reply, server: FaultServer
) -> None:
    if transport == "session" and fault is NINE_INTERIMS:
        pytest.skip("aiohttp skips interim answers without telling a session")
    server.always(applied(fault))
    timeouts = BRISK if fault in LATE.values() else Timeouts()
    async with open_rig(transport, server, timeouts=timeouts) as rig:
        assert isinstance(await rig.fails(CONFIG), AmbiguousOutcomeError)
        known = Certainty.APPLIED if fault in BROKEN.values() else Certainty.MAYBE
        assert rig.certainties == [known]
    assert server.seen == ["POST"]
    assert server.world.done("generate_config") == 1
