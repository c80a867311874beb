"""Answers that are too large, not quite as documented, or report errors."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from enapter_async._http.call import CallRecord
from enapter_async.errors import (
    APIError,
    Certainty,
    NotFoundError,
    ResponseError,
    ResponseTooLargeError,
    ResultLostError,
    TransportError,
)
from enapter_async.operation import Operation
from enapter_async.operations.configuration import GetConfiguration
from enapter_async.operations.devices import GetDevice, ListDevices, UpdateDevice
from tests.support.kinds import each
from tests.support.replies import (
    Headers,
    answer,
    bomb,
    errors,
    flood,
    good,
    gzip_bomb,
    half_head,
    truncated,
)
from tests.support.rig import (
    ASSIGN,
    CONFIG,
    DELETE,
    GET,
    LIST,
    METHOD,
    UPDATE,
    TransportKind,
    attempts,
    open_rig,
)
from tests.support.server import Exchange, FaultServer, Reply, applied, ignored
from tests.support.world import device

MIB = 1024 * 1024


class Peak:
    """The peak memory of this process in bytes."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = self._high_water()

    def growth(self) -> int:
        return self._high_water() - self._before

    def _high_water(self) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


@pytest.fixture
def measurable() -> None:
    """Create the bomb before anything is measured."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs /proc/self/clear_refs to measure memory")
    assert len(bomb()) < MIB


@pytest.mark.usefixtures("measurable")
async def test_row28_a_bomb_is_not_unpacked(transport: TransportKind, server: FaultServer) -> None:
    server.always(ignored(gzip_bomb()))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        peak = Peak()
        assert type(await rig.fails(GET)) is ResponseTooLargeError
        assert peak.growth() < 16 * MIB
        assert rig.held() == 0
    assert server.seen == ["GET"]


async def test_row28_a_bomb_is_a_lost_result(transport: TransportKind, server: FaultServer) -> None:
    server.script(applied(gzip_bomb()))
    async with open_rig(transport, server) as rig:
        assert type(await rig.fails(CONFIG)) is ResultLostError
        await rig.run(GET)
        assert rig.attempts == ()


@pytest.mark.usefixtures("measurable")
async def test_row28_a_bomb_of_a_page_is_not_unpacked_either(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(gzip_bomb()))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        peak = Peak()
        assert type(await rig.fails(LIST)) is ResponseTooLargeError
        assert peak.growth() < 32 * MIB


@pytest.mark.usefixtures("measurable")
async def test_an_endless_answer_is_cut(transport: TransportKind, server: FaultServer) -> None:
    server.always(ignored(flood(64)))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        peak = Peak()
        assert type(await rig.fails(GET)) is ResponseTooLargeError
        assert peak.growth() < 16 * MIB


@pytest.mark.parametrize(("columns", "fits"), [(9_000, True), (11_000, False)])
async def test_a_header_may_have_64_kib(
    transport: TransportKind, columns: int, fits: bool, server: FaultServer
) -> None:
    """A wide time series lists the type of each column in one header."""
    types = ",".join(["float"] * columns)
    server.always(ignored(good(("X-Enapter-Timeseries-Data-Types", types))))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        if fits:
            assert (await rig.run(GET)).id == "dev-1"
        else:
            assert type(await rig.fails(GET)) is TransportError


KIB = 1024


@each(
    "case",
    {
        "device": (GET, "device", [1000 * KIB]),
        "page": (LIST, "devices", [60 * KIB] * 50),
        "small-page": (ListDevices(limit=2), "devices", [100 * KIB, 20 * KIB]),
        "manifests": (ListDevices(limit=3, expand=["manifest"]), "devices", [1000 * KIB] * 3),
    },
)
@pytest.mark.parametrize("fits", [True, False])
async def test_an_answer_may_be_as_large_as_requested(
    case: tuple[Operation[Any], str, list[int]], fits: bool, server: FaultServer
) -> None:
    operation, key, sizes = case
    beyond = [] if fits else [150 * KIB]
    found = [
        device(f"dev-{number}", properties={"x": "0" * size})
        for number, size in enumerate(sizes + beyond * len(sizes), 1)
    ]
    body = {key: found if key == "devices" else {**found[0], "more": "0" * sum(beyond)}}
    server.always(ignored(answer(200, body)))
    async with open_rig("direct", server, retry=attempts(3)) as rig:
        if fits:
            assert await rig.run(operation)
        else:
            error = await rig.fails(operation)
            assert type(error) is ResponseTooLargeError
            assert "is larger than" in str(error)
    assert len(server.seen) == 1  # an answer that is too large is not requested again


@pytest.mark.parametrize("all_are_large", [False, True])
async def test_a_page_that_is_too_large_is_requested_again_in_smaller_ones(
    all_are_large: bool, server: FaultServer
) -> None:
    fleet = [
        device(f"dev-{number:02}", manifest={"x": "0" * 900 * KIB * (number < 6 or all_are_large)})
        for number in range(12)
    ]
    asked = []

    async def page(exchange: Exchange) -> bool:
        query = URL(exchange.arrival.target).query
        offset, limit = int(query["offset"]), int(query["limit"])
        asked.append((offset, limit))
        return await answer(200, {"devices": fleet[offset : offset + limit]})(exchange)

    server.always(ignored(page))
    async with open_rig("direct", server, retry=attempts(1)) as rig:
        devices = [each.id async for each in rig.client.devices.list(expand=["manifest"])]
    assert devices == [each["id"] for each in fleet]
    assert asked[:5] == [(0, 50), (0, 25), (0, 12), (0, 6), (0, 3)]
    assert asked[5:] == [(offset, 3) for offset in (3, 6, 9, 12)]


async def test_a_device_that_is_too_large_by_itself_ends_the_list(server: FaultServer) -> None:
    large = device("dev-1", manifest={"x": "0" * 5 * MIB})
    server.always(ignored(answer(200, {"devices": [large]})))
    async with open_rig("direct", server, retry=attempts(1)) as rig:
        listing = rig.client.devices.list(expand=["manifest"])
        error = await rig.refused(anext(listing))
    assert type(error) is ResponseTooLargeError
    assert len(server.seen) == 6


@each(
    "body",
    {
        "another-object": {"hello": "world"},
        "nothing": {},
        "devices-elsewhere": {"data": {"devices": []}},
        "a-total-without-devices": {"total_count": 3},
        "errors": {"errors": [], "devices": None},
    },
)
async def test_a_non_page_is_not_an_empty_fleet(body: Any, server: FaultServer) -> None:
    server.always(ignored(answer(200, body)))
    async with open_rig("direct", server, retry=attempts(1)) as rig:
        error = await rig.refused(anext(rig.client.devices.list()))
        assert type(error) is ResponseError
        assert "devices is missing (is base_url that of the Enapter API?)" in str(error)


@each("body", {"list": {"devices": []}, "null": {"devices": None}, "total": {"total_count": 0}})
async def test_an_empty_fleet_is_empty(body: Any, server: FaultServer) -> None:
    server.always(ignored(answer(200, body)))
    async with open_rig("direct", server) as rig:
        assert [each async for each in rig.client.devices.list()] == []


async def test_a_later_non_page_does_not_end_the_list(server: FaultServer) -> None:
    first = {"devices": [device(f"dev-{number}") for number in range(50)]}
    server.script(ignored(answer(200, first)))
    server.always(ignored(answer(200, {"maintenance": True})))
    async with open_rig("direct", server, retry=attempts(1)) as rig:
        with pytest.raises(ResponseError, match="devices is missing"):
            [each async for each in rig.client.devices.list()]


@each("operation", {"get": GET, "update": UPDATE, "assign": ASSIGN})
async def test_row31_more_and_less_than_documented_is_read(
    transport: TransportKind, operation: Operation[Any], server: FaultServer
) -> None:
    told = {"id": "dev-1", "type": "QUANTUM_UCM", "authorized_role": None, "colour": "green"}
    server.script(ignored(answer(200, {"device": told, "debug": [1, 2]})))
    async with open_rig(transport, server) as rig:
        found = await rig.run(operation)
        assert found.id == "dev-1"
        assert found.type == "QUANTUM_UCM"
        assert found.name is None
        assert rig.attempts == ()


ASKED, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


TWICE = {
    "row29-two-devices": f'{{"device":{{"id":"{ASKED}"}},"device":{{"id":"{OTHER}"}}}}',
    "row29-two-ids": f'{{"device":{{"id":"{ASKED}","id":"{OTHER}"}}}}',
}


@each("body", TWICE)
async def test_an_answer_with_two_devices_cannot_return_another_one(
    transport: TransportKind, body: str
) -> None:
    async with FaultServer(devices=(ASKED,)) as server:
        server.always(ignored(answer(200, body.encode())))
        async with open_rig(transport, server, retry=attempts(1)) as rig:
            error = await rig.fails(GetDevice(device_id=ASKED))
            assert type(error) is ResponseError
            assert "an object in the response contains a name twice" in str(error)


@pytest.mark.parametrize("settling", [False, True])
async def test_a_connection_with_a_foreign_answer_is_not_reused(settling: bool) -> None:
    async def out_of_step(exchange: Exchange) -> bool:
        evil = {"device": {"id": OTHER}}
        reply = good() if exchange.connection.number > 1 else answer(200, evil)
        return await reply(exchange)

    operation = (
        UpdateDevice(device_id=ASKED, name="New") if settling else GetDevice(device_id=ASKED)
    )
    async with FaultServer(devices=(ASKED,)) as server:
        server.always(applied(out_of_step))
        async with open_rig("direct", server, retry=attempts(1 if settling else 2)) as rig:
            assert (await rig.run(operation)).id == ASKED
            assert rig.certainties == [Certainty.MAYBE]
        assert [arrival.connection for arrival in server.arrivals] == [1, 2]


@each("body", {"missing": {}, "null": {"devices": None}, "empty": {"devices": []}})
async def test_a_page_beyond_the_end_may_have_no_list(
    transport: TransportKind, body: Any, server: FaultServer
) -> None:
    server.script(ignored(answer(200, {**body, "total_count": 3})))
    async with open_rig(transport, server) as rig:
        assert await rig.run(ListDevices(offset=50)) == ()


HTML = "text/html"
# (the reply, the codes of the error, how its excerpt begins)
ERROR_BODIES: dict[str, tuple[Reply, list[str | None], str]] = {
    "one": (errors(400, code="bad_name"), ["bad_name"], ""),
    "no-entries": (answer(400, {"errors": []}), [], '{"errors"'),
    "text-for-entries": (answer(400, {"errors": "x"}), [], '{"errors"'),
    "list": (answer(400, []), [], "[]"),
    "v1": (answer(400, {"code": "bad", "message": "no"}), [], '{"code"'),
    "html": (answer(400, b"<html>no</html>", media_type=HTML), [], "<html>"),
    "no-code": (answer(400, {"errors": [{"message": "no"}]}), [None], ""),
    "numbers": (answer(400, {"errors": [{"code": 5, "message": 6, "details": 7}]}), [None], ""),
    "two": (answer(400, {"errors": [{"code": "a"}, {"code": "b"}]}), ["a", "b"], ""),
    "entries-of-text": (answer(400, {"errors": ["x"]}), [], '{"errors"'),
    "empty": (answer(400), [], ""),
    "not-utf-8": (answer(400, b"\xff\xfe<"), [], "\ufffd"),
    "huge": (answer(400, b"x" * 10 * MIB, media_type=HTML), [], "xxx"),
}


@each("case", {f"row32-{name}": case for name, case in ERROR_BODIES.items()})
@each("operation", {"get": GET, "update": UPDATE, "delete": DELETE})
async def test_an_error_body_of_any_kind_is_an_api_error(
    transport: TransportKind,
    operation: Operation[Any],
    case: tuple[Reply, list[str | None], str],
    server: FaultServer,
) -> None:
    reply, codes, excerpt = case
    server.always(ignored(reply))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(operation)
        assert isinstance(error, APIError)
        assert error.status == 400
        assert [detail.code for detail in error.errors] == codes
        assert error.excerpt.startswith(excerpt)
        assert bool(error.excerpt) == bool(excerpt)
        assert len(error.excerpt) <= 4096
    assert server.seen == [METHOD[operation]]


CONFIGURATION = GetConfiguration(device_id="dev-1", group="network")


@each("case", {f"row32-{name}": case for name, case in ERROR_BODIES.items()})
async def test_an_answer_with_a_secret_is_not_excerpted(
    transport: TransportKind, case: tuple[Reply, list[str | None], str], server: FaultServer
) -> None:
    reply, _, _ = case
    server.always(ignored(reply))
    async with open_rig(transport, server) as rig:
        for operation in (CONFIG, CONFIGURATION):
            error = await rig.fails(operation)
            assert isinstance(error, APIError)
            assert error.excerpt == ""


async def test_an_error_with_half_a_body_is_requested_once_more_and_is_still_that_error(
    transport: TransportKind, server: FaultServer
) -> None:
    del server.world.devices["dev-1"]
    server.script(ignored(truncated()), ignored(good()))
    async with open_rig(transport, server) as rig:
        assert str(await rig.fails(GET)) == "HTTP 404 Not Found: no (not_found)"
        server.always(ignored(truncated()))
        for decides, why in ((False, "cut off"), (True, "only a part of the response arrived")):
            with pytest.raises(NotFoundError, match=why) as caught:
                await rig.client.call(UPDATE, record=CallRecord(decides=decides))
            assert not caught.value.from_api
            assert "check base_url" not in str(caught.value)
    assert server.seen == ["GET"] * 2 + ["PATCH"] * 4


REQUEST_ID: dict[str, tuple[Headers, str | None]] = {
    "given": ((("X-Request-Id", "req-7"),), "req-7"),
    "none": ((), None),
}


@each("case", REQUEST_ID)
async def test_the_servers_name_of_the_request_is_kept(
    transport: TransportKind, case: tuple[Headers, str | None], server: FaultServer
) -> None:
    headers, expected = case
    server.always(ignored(errors(409, *headers)))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(UPDATE)
        assert isinstance(error, APIError)
        assert error.request_id == expected


async def test_a_servers_text_cannot_control_a_terminal(
    transport: TransportKind, server: FaultServer
) -> None:
    nasty = "no\x1b[2J\r\nINFO all is well\u202e\x00" + "x" * 10_000
    server.always(ignored(errors(400, code=nasty, message=nasty)))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(UPDATE)
        assert all(character.isprintable() for character in str(error))
        assert len(str(error)) < 1000


async def test_a_truncated_head_leaks_no_aiohttp_object(
    transport: TransportKind, server: FaultServer
) -> None:
    server.always(ignored(half_head()))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        error = await rig.fails(GET)
        assert "RawResponseMessage" not in f"{error} {error!r} {error.args}"
