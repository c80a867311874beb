"""Hosts that cannot be reached, connections that die, and stale connections."""

import asyncio
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
from enapter_async.operations.devices import AssignBlueprint, GetDevice, UpdateDevice
from tests.support.clock import FakeClock
from tests.support.lag import timed
from tests.support.names import Here, NeverAnswers, NoSuchName
from tests.support.replies import (
    chunked,
    close_delimited,
    drip,
    followed_by,
    good,
    gzipped,
    half_head,
    head,
    http10,
    interim,
    meet,
    message,
    raw,
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
        disturb(connection, how)
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


@pytest.mark.parametrize(
    "extra",
    [EVIL, head(404, ("X-Half", ""))[:-4], b"\r\n", b"junk", head(200, ("Content-Length", "0"))],
    ids=[
        "row13-a-second-answer",
        "row13-half-an-answer",
        "row13-crlf",
        "row13-junk",
        "row13-empty",
    ],
)
async def test_bytes_after_the_body_reach_no_other_call(
    transport: TransportKind, extra: bytes, server: FaultServer
) -> None:
    server.script(applied(followed_by(extra)))
    async with open_rig(transport, server) as rig:
        await rig.run(GET)
        for name in ("dev-2", "dev-3", "dev-1"):
            found = await rig.run(GetDevice(device_id=name))
            assert (found.id, found.name) == (name, f"Name of {name}")
            assert rig.attempts == ()


@pytest.mark.every_way
@pytest.mark.parametrize("looked_away", [True, False], ids=["loop-turned", "loop-not-turned"])
@pytest.mark.parametrize("event", ["answer", "half-answer", "fin", "rst"])
async def test_row13_events_on_an_idle_connection_affect_no_call(
    transport: TransportKind, event: str, looked_away: bool, server: FaultServer
) -> None:
    if transport == "session" and (not looked_away or event == "answer"):
        pytest.skip("a session cannot inspect a connection before its use")
    if event == "rst" and not looked_away:
        pytest.skip("the server's own transport sends RST only when the loop turns")
    async with open_rig(transport, server) as rig:
        for number in range(10):
            await rig.run(GetDevice(device_id="dev-2"))
            disturb(server.connections[-1], event)
            for _ in range(5 if looked_away else 0):
                await asyncio.sleep(
                    0.001
                )  # on a busy machine one sleep may be one turn of the loop
            result = await rig.run(AssignBlueprint(device_id="dev-1", blueprint_id=f"bp-{number}"))
            assert result.blueprint_id == f"bp-{number}"
            assert rig.attempts == ()
    assert server.world.done("assign_blueprint") == 10
    assert len(server.arrivals) == 20
    if transport == "direct":
        assert len(server.connections) == 11, "a disturbed connection was used again"


@pytest.mark.every_way
async def test_stale_connections_do_not_use_up_attempts(server: FaultServer) -> None:
    server.always(applied(meet(asyncio.Barrier(8))))
    async with open_rig("direct", server, retry=attempts(1)) as rig:
        await asyncio.gather(*(rig.run(GetDevice(device_id="dev-2")) for _ in range(8)))
        for connection in server.connections:
            connection.finish()
        server.always(applied(good()))
        await rig.run(CONFIG)
        assert rig.attempts == ()
    assert server.world.done("generate_config") == 1


async def test_row14_a_server_that_closes_after_every_fifth_request(
    transport: TransportKind, server: FaultServer
) -> None:
    def fifth(number: int) -> Reply:
        return said_close("fin") if number % 5 == 4 else good()

    server.script(*(applied(fifth(number)) for number in range(100)))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        for _ in range(100):
            await rig.run(CONFIG)
            assert rig.attempts == ()
    assert server.world.done("generate_config") == 100
    assert len(server.connections) == 20


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


@pytest.mark.parametrize(
    ("answer", "unsure"),
    [
        (raw(head(204)), 0),
        (raw(head(200, ("Content-Length", "0"))), 1),
        (raw(head(200, ("Transfer-Encoding", "chunked")) + b"0\r\n\r\n"), 1),
        (raw(head(204, ("Content-Type", "text/html"))), 0),
        (good(), 0),
    ],
    ids=["204", "length-0", "empty-chunked", "204-html-type", "json"],
)
async def test_an_empty_answer_to_a_deletion_leaves_the_connection_clean(
    transport: TransportKind, answer: Reply, unsure: int, server: FaultServer
) -> None:
    server.script(applied(answer))
    async with open_rig(transport, server) as rig:
        assert await rig.run(DELETE) is None
        assert len(rig.attempts) == unsure
        await rig.run(GetDevice(device_id="dev-2"))
    assert len(server.connections) == 1


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


def disturb(connection: Connection, event: str) -> None:
    match event:
        case "answer":
            connection.push(EVIL)
        case "half-answer":
            connection.push(EVIL[:30])
        case "fin":
            connection.finish()
        case _:
            connection.reset()
