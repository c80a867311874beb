"""Hosts that cannot be reached, connections that die, and stale connections."""

import socket
from typing import Any

import pytest

from enapter_async._http.transport import Timeouts
from enapter_async.errors import (
    AmbiguousOutcomeError,
    Certainty,
    DeadlineExceededError,
    HostDownError,
    TransportError,
)
from enapter_async.operations.devices import GetDevice, UpdateDevice
from tests.support.clock import FakeClock
from tests.support.lag import timed
from tests.support.names import Here, NeverAnswers, NoSuchName
from tests.support.replies import (
    chunked,
    close_delimited,
    drip,
    good,
    gzipped,
    half_head,
    http10,
    interim,
    message,
    reset,
    said_close,
    truncated,
)
from tests.support.rig import (
    ALL,
    BRISK,
    CONFIG,
    DELETE,
    GET,
    ONCE,
    UPDATE,
    TransportKind,
    attempts,
    open_rig,
)
from tests.support.server import Connection, FaultServer, Reply, applied
from tests.support.world import JSON_TYPE

EVIL = message(
    200, b'{"device":{"id":"dev-1","name":"another call\'s answer"}}', media_type=JSON_TYPE
)


async def test_row01_a_host_that_comes_back_sees_one_request(
    transport: TransportKind, server: FaultServer, clock: FakeClock
) -> None:
    server.deafen()

    async def open_again() -> None:
        if len(clock.sleeps) == 2:
            await server.listen()

    clock.on_sleep = open_again
    async with open_rig(transport, server, clock) as rig:
        await rig.run(CONFIG)
        assert rig.certainties == [Certainty.NOT_SENT] * 2
    assert server.seen == ["POST"]
    assert server.world.done("generate_config") == 1


async def test_row03_an_unknown_name_is_a_host_that_is_down(
    transport: TransportKind, server: FaultServer
) -> None:
    address = f"http://localhost:{server.port}"
    async with open_rig(transport, server, base_url=address) as rig:
        rig.connector._resolver = NoSuchName()  # type: ignore[attr-defined]  # a resolver is set at its making only
        error = await rig.fails(UPDATE)
        assert type(error) is HostDownError
        assert set(rig.certainties) == {Certainty.NOT_SENT}
    assert server.arrivals == []


@timed
async def test_row03_a_slow_resolver_is_cut(transport: TransportKind, server: FaultServer) -> None:
    address = f"http://localhost:{server.port}"
    options: dict[str, Any] = {"timeouts": Timeouts(connect=0.1), "retry": attempts(1)}
    async with open_rig(transport, server, base_url=address, **options) as rig:
        rig.connector._resolver = NeverAnswers()  # type: ignore[attr-defined]  # as above
        error = await rig.fails(UPDATE)
        assert type(error) is HostDownError
        assert rig.certainties == [Certainty.NOT_SENT]
        assert rig.ended.elapsed < 0.3


@timed
async def test_row03_a_slow_resolver_is_cut_by_the_deadline_too(
    transport: TransportKind, server: FaultServer
) -> None:
    address = f"http://localhost:{server.port}"
    policy = attempts(4, deadline=0.15)
    async with open_rig(transport, server, base_url=address, retry=policy) as rig:
        rig.connector._resolver = NeverAnswers()  # type: ignore[attr-defined]  # as above
        error = await rig.fails(CONFIG)
        assert type(error) is DeadlineExceededError
        assert rig.certainties == [Certainty.NOT_SENT]
        assert rig.ended.elapsed < 0.15 + 0.15


# (the host as given, as the request must name it; the port is the server's if it is not 80)
HOSTS: dict[str, tuple[str, str]] = {
    "port": ("gateway.example:{port}", "gateway.example:{port}"),
    "default-port": ("gateway.example", "gateway.example"),
    "port-80-said": ("gateway.example:80", "gateway.example"),
    "case": ("Gateway.EXAMPLE:{port}", "gateway.example:{port}"),
    "idna": ("bücher.example:{port}", "xn--bcher-kva.example:{port}"),
}


@pytest.mark.filterwarnings("ignore:the token and all data are sent unencrypted:UserWarning")
@pytest.mark.parametrize(("given", "named"), HOSTS.values(), ids=HOSTS.keys())
async def test_the_host_is_named_as_http_wants_it(
    transport: TransportKind, given: str, named: str, server: FaultServer
) -> None:
    address = f"http://{given.format(port=server.port)}"
    options: dict[str, Any] = {"base_url": address, "allow_insecure_http": True}
    async with open_rig(transport, server, **options) as rig:
        rig.connector._resolver = Here(server.port)  # type: ignore[attr-defined]  # as above
        await rig.run(UPDATE)
        assert rig.attempts == ()
    assert server.arrivals[0].header("Host") == named.format(port=server.port)


async def test_a_host_may_be_an_ipv6_address(transport: TransportKind) -> None:
    server = FaultServer()
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        await server.listen(sock=listening)
        async with open_rig(transport, server, base_url=f"http://[::1]:{server.port}") as rig:
            await rig.run(UPDATE)
            assert rig.attempts == ()
        assert server.arrivals[0].header("Host") == f"[::1]:{server.port}"
        await server.stop()


async def test_row04_a_dropped_syn_is_not_sent(transport: TransportKind) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        server = FaultServer()
        server.port = address[1]
        options: dict[str, Any] = {"timeouts": BRISK, "retry": attempts(1)}
        async with open_rig(transport, server, **options) as rig:
            error = await rig.fails(CONFIG)
            assert type(error) is HostDownError
            assert rig.certainties == [Certainty.NOT_SENT]
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_port_that_closes_new_connections_sees_one_connection_per_attempt(
    transport: TransportKind, how: str, server: FaultServer
) -> None:
    async def hang_up(connection: Connection) -> bool:
        connection.finish() if how == "fin" else connection.reset()
        return False

    server.on_connect = hang_up
    async with open_rig(transport, server) as rig:
        await rig.fails(CONFIG)
        assert len(rig.attempts) <= 4
    assert len(server.connections) <= 4
    assert server.arrivals == []


@pytest.mark.every_way
@pytest.mark.parametrize("operation", ALL.values(), ids=ALL.keys())
async def test_row08_rst_on_a_reused_connection(
    transport: TransportKind, operation: Any, server: FaultServer
) -> None:
    server.script(applied(good()), applied(reset()))
    async with open_rig(transport, server, retry=attempts(2)) as rig:
        await rig.run(GetDevice(device_id="dev-2"))
        if operation in ONCE.values():
            assert type(await rig.fails(operation)) is AmbiguousOutcomeError
        else:
            await rig.run(operation)
        assert rig.certainties[0] is Certainty.MAYBE
    assert [arrival.connection for arrival in server.arrivals][:2] == [1, 1]
    assert all(arrival.connection > 1 for arrival in server.arrivals[2:])


@timed
async def test_row11_an_answer_that_stops_in_its_body_was_applied(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(applied(truncated("hang")))
    async with open_rig(transport, server, timeouts=BRISK) as rig:
        await rig.run(UPDATE)
        assert rig.ended.settled
        assert rig.certainties == [Certainty.APPLIED]
    assert server.seen == ["PATCH", "GET"]
    assert server.arrivals[0].connection != server.arrivals[1].connection


@timed
async def test_row12_an_answer_that_drips_is_cut(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(drip()))
    options: dict[str, Any] = {"timeouts": BRISK, "retry": attempts(1)}
    async with open_rig(transport, server, **options) as rig:
        error = await rig.fails(GET)
        assert isinstance(error, TransportError)
        assert error.sent
        assert rig.ended.elapsed < 0.5


@pytest.mark.every_way
@timed
async def test_row12_a_head_that_stalls_is_maybe(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(half_head("hang")))
    options: dict[str, Any] = {"timeouts": BRISK, "retry": attempts(1)}
    async with open_rig(transport, server, **options) as rig:
        assert type(await rig.fails(CONFIG)) is AmbiguousOutcomeError
    assert server.seen == ["POST"]


LEGAL: dict[str, tuple[Reply, bool]] = {
    "plain": (good(), True),
    "chunked": (chunked(), True),
    "gzip": (gzipped(), True),
    "one-interim": (interim(1), True),
    "eight-interims": (interim(8), True),
    "early-hints": (interim(2, 103), True),
    "no-media-type": (good(media_type=None), True),
    "charset": (good(media_type="application/json; charset=utf-8"), True),
    "json-suffix": (good(media_type="Application/Vnd.Api+JSON"), True),
    "ended-by-closing": (close_delimited(), False),
    "http-1.0": (http10(), False),
    "says-close-and-closes": (said_close("fin"), False),
    "says-close-and-waits": (said_close("hang"), False),
}


@pytest.mark.parametrize(("reply", "kept"), LEGAL.values(), ids=LEGAL.keys())
@pytest.mark.parametrize("operation", [GET, UPDATE, CONFIG], ids=["get", "update", "config"])
async def test_every_legal_way_of_answering_is_understood(
    transport: TransportKind, operation: Any, reply: Reply, kept: bool, server: FaultServer
) -> None:
    server.script(applied(reply))
    async with open_rig(transport, server) as rig:
        assert await rig.run(operation) is not None
        assert rig.attempts == ()
        await rig.run(GetDevice(device_id="dev-2"))
        assert rig.attempts == ()
    assert len(server.arrivals) == 2
    assert len(server.connections) == (1 if kept else 2)


async def test_a_request_matches_the_api_page(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as rig:
        await rig.run(UpdateDevice(device_id="dev-1", name="Wärme ☀"))
        await rig.run(DELETE)
    update, deletion = server.arrivals
    assert (update.method, update.target) == ("PATCH", "/v3/devices/dev-1")
    assert update.header("X-Enapter-Auth-Token") == "tok-4f1d9c7e5b3a"
    assert update.header("Host") == f"127.0.0.1:{server.port}"
    assert update.header("Content-Type") == "application/json"
    assert server.world.effects[0].change == {"name": "Wärme ☀"}
    assert (deletion.target, deletion.body) == ("/v3/devices/dev-1", b"")
    assert deletion.header("Content-Type") is None
