"""Which connections are used again, and that nothing left on one reaches another call."""

import asyncio

import pytest

from enapter_async.operations.devices import AssignBlueprint, GetDevice
from tests.support.replies import followed_by, good, head, meet, message, raw, said_close
from tests.support.rig import CONFIG, DELETE, GET, TransportKind, attempts, open_rig
from tests.support.server import Connection, Exchange, FaultServer, Reply, applied
from tests.support.world import JSON_TYPE

EVIL = message(
    200, b'{"device":{"id":"dev-1","name":"another call\'s answer"}}', media_type=JSON_TYPE
)


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
    if event == "rst" and not looked_away:
        pytest.skip("the server's own transport sends RST only when the loop turns")
    async with open_rig(transport, server) as rig:
        for number in range(10):
            await rig.run(GetDevice(device_id="dev-2"))
            disturb(server.connections[-1], event)
            # On a busy machine, one sleep may be one turn of the loop.
            for _ in range(5 if looked_away else 0):
                await asyncio.sleep(0.001)
            result = await rig.run(AssignBlueprint(device_id="dev-1", blueprint_id=f"bp-{number}"))
            assert result.blueprint_id == f"bp-{number}"
            assert rig.attempts == ()
    assert server.world.done("assign_blueprint") == 10
    assert len(server.arrivals) == 20
    if transport == "direct" or event != "half-answer":  # aiohttp's parser keeps that to itself
        assert len(server.connections) == 11, "a disturbed connection was used again"


@pytest.mark.every_way
async def test_stale_connections_do_not_use_up_attempts(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(applied(meet(asyncio.Barrier(8))))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
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


def on_first(rest: bytes) -> Reply:
    """Send an honest answer, on the first connection after the rest of something else."""

    async def preceded(exchange: Exchange) -> bool:
        if exchange.connection.number == 1:
            await exchange.send(rest)
        return await good()(exchange)

    return preceded


async def test_the_rest_of_an_answer_that_had_begun_reaches_no_other_call(
    server: FaultServer,
) -> None:
    server.script(applied(followed_by(EVIL[:20])))
    server.always(applied(on_first(EVIL[20:])))
    async with open_rig("direct", server, retry=attempts(1)) as rig:
        for name in ("dev-1", "dev-2"):
            assert (await rig.run(GetDevice(device_id=name))).id == name


@pytest.mark.parametrize(
    "announced",
    [("Content-Length", "2"), ("Transfer-Encoding", "chunked")],
    ids=["length", "chunked"],
)
async def test_a_body_that_should_not_exist_reaches_no_other_call(
    transport: TransportKind, announced: tuple[str, str], server: FaultServer
) -> None:
    server.script(applied(raw(head(204, announced))))
    server.always(applied(on_first(b"{}")))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        assert await rig.run(DELETE) is None
        assert (await rig.run(GetDevice(device_id="dev-2"))).id == "dev-2"


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
