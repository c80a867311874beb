import asyncio
import contextlib
import errno
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from enapter_async.emulator import (
    Drop,
    Emulator,
    Fault,
    FaultProfile,
    Hang,
    Latency,
    Reply,
    ServerFailure,
    TooManyRequests,
    Truncate,
    WrongJSON,
)
from tests.emulator.fleets import NOON, PUMP, small_world

BODY = {"name": "Boiler"}


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(world=small_world(), token="t", now=lambda: NOON) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def session(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"X-Enapter-Auth-Token": "t"}
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(
        emulator.base_url, headers=headers, timeout=timeout
    ) as session:
        yield session


async def patch(session: aiohttp.ClientSession) -> tuple[aiohttp.ClientResponse, bytes]:
    async with session.patch(f"/v3/devices/{PUMP}", json=BODY, allow_redirects=False) as response:
        return response, await response.read()


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise TimeoutError("it never came true")


def updates(emulator: Emulator) -> int:
    return emulator.world.count("update", device_id=PUMP)


# Answers


async def test_answers_are_plain_json(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    response, body = await patch(session)
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(body)["device"]["name"] == "Boiler"
    assert updates(emulator) == 1


async def test_refusals_come_in_the_error_envelope(session: aiohttp.ClientSession) -> None:
    async with session.get("/v3/nothing") as response:
        assert response.status == 404
        assert response.headers["Content-Type"] == "application/json"
        errors = (await response.json())["errors"]
    assert errors == [{"code": "not_found", "message": "There is no such endpoint."}]


async def test_the_query_and_the_token_arrive(
    emulator: Emulator, session: aiohttp.ClientSession
) -> None:
    async with session.get("/api/v3/devices", params={"limit": "1", "expand": ""}) as response:
        shown = await response.json()
    assert (len(shown["devices"]), shown["total_count"]) == (1, 6)
    async with aiohttp.request("GET", f"{emulator.base_url}/v3/devices") as response:
        assert response.status == 401


@pytest.mark.parametrize("content_type", [None, "", "application/x-www-form-urlencoded"])
async def test_the_content_type_does_not_matter(
    session: aiohttp.ClientSession, content_type: str | None
) -> None:
    async with session.post(
        f"/v3/devices/{PUMP}/generate_config",
        data=b'{"protocol": "MQTTS"}',
        headers={} if content_type is None else {"Content-Type": content_type},
        skip_auto_headers=["Content-Type"],
    ) as response:
        assert response.status == 200
        assert (await response.json())["config"]["mqtt_protocol"] == "MQTTS"


async def test_an_oversized_body_is_400(session: aiohttp.ClientSession) -> None:
    async with session.patch(f"/v3/devices/{PUMP}", data=BytesIO(b" " * 2_000_000)) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["code"] == "too_large"


async def test_every_arrival_is_logged(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(ServerFailure(), device=PUMP)
    await patch(session)
    async with session.get("/v3/devices/pump?expand=site"), session.get("/v3/devices/nobody"):
        pass
    seen = [(a.method, a.path, a.device_id, a.fault) for a in emulator.world.log.arrivals()]
    assert seen == [
        ("PATCH", f"/v3/devices/{PUMP}", PUMP, "ServerFailure"),
        ("GET", "/v3/devices/pump", PUMP, None),
        ("GET", "/v3/devices/nobody", "nobody", None),
    ]
    assert updates(emulator) == 0


# Faults


async def test_latency(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert updates(emulator) == 0

    emulator._sleep = sleep
    emulator.faults.add(Latency(seconds=30))
    response, _ = await patch(session)
    assert (response.status, slept, updates(emulator)) == (200, [30], 1)


async def test_a_late_request_is_carried_out_though_its_client_left(
    emulator: Emulator, session: aiohttp.ClientSession
) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        arrived.set()
        await go.wait()

    emulator._sleep = sleep
    emulator.faults.add(Latency(seconds=30))
    call = asyncio.create_task(patch(session))
    await arrived.wait()
    call.cancel()
    await asyncio.wait({call})
    await session.close()
    go.set()
    await until(lambda: updates(emulator) == 1)


async def test_429_as_nginx_sends_it(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(TooManyRequests())
    response, body = await patch(session)
    assert response.status == 429
    assert response.content_type == "text/html"
    assert b"<h1>429 Too Many Requests</h1>" in body
    assert "Retry-After" not in response.headers
    assert updates(emulator) == 0


async def test_429_with_seconds(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(TooManyRequests(retry_after=7))
    response, body = await patch(session)
    assert (response.status, response.headers["Retry-After"]) == (429, "7")
    assert json.loads(body)["errors"]
    assert updates(emulator) == 0


async def test_429_with_a_date(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(TooManyRequests(retry_after=7, as_date=True))
    response, _ = await patch(session)
    date = response.headers["Retry-After"]
    assert date == "Wed, 01 Jan 2025 12:00:07 GMT"
    assert parsedate_to_datetime(date).timestamp() == 1735732807


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(
    ("status", "title"),
    [
        (500, "500 Internal Server Error"),
        (502, "502 Bad Gateway"),
        (503, "503 Service Unavailable"),
        (504, "504 Gateway Timeout"),
        (520, "520 Unknown"),
    ],
)
async def test_5xx(
    emulator: Emulator,
    session: aiohttp.ClientSession,
    status: int,
    title: str,
    after_effect: bool,
) -> None:
    emulator.faults.add(ServerFailure(status=status, after_effect=after_effect))
    response, body = await patch(session)
    assert (response.status, response.content_type) == (status, "text/html")
    assert title.encode() in body
    assert updates(emulator) == int(after_effect)


async def test_503_by_the_api_itself(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(ServerFailure(status=503, retry_after=3))
    response, body = await patch(session)
    assert (response.status, response.headers["Retry-After"]) == (503, "3")
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(body)["errors"]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_dropped_connection(
    emulator: Emulator, session: aiohttp.ClientSession, reset: bool, after_effect: bool
) -> None:
    emulator.faults.add(Drop(after_effect=after_effect, reset=reset))
    with pytest.raises(aiohttp.ClientConnectionError) as error:
        await patch(session)
    if reset:
        assert isinstance(error.value, aiohttp.ClientOSError)
        assert error.value.errno == errno.ECONNRESET
    else:
        assert isinstance(error.value, aiohttp.ServerDisconnectedError)
    assert updates(emulator) == int(after_effect)
    assert emulator.world.log.count_arrivals() == 1


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
async def test_a_truncated_answer(
    emulator: Emulator, session: aiohttp.ClientSession, keep: float
) -> None:
    _, whole = await patch(session)
    emulator.faults.add(Truncate(keep=keep))
    async with session.patch(f"/v3/devices/{PUMP}", json=BODY) as response:
        assert response.status == 200
        assert response.content_length == len(whole)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert updates(emulator) == 2


async def test_wrong_json(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(WrongJSON(), WrongJSON(body=b"[]"))
    response, body = await patch(session)
    assert (response.status, response.content_type) == (200, "application/json")
    with pytest.raises(ValueError, match="char"):
        json.loads(body)
    assert (await patch(session))[1] == b"[]"
    assert updates(emulator) == 2


@pytest.mark.parametrize("after_effect", [False, True])
async def test_hanging_until_the_client_goes_away(
    emulator: Emulator, session: aiohttp.ClientSession, after_effect: bool
) -> None:
    emulator.faults.add(Hang(after_effect=after_effect))
    call = asyncio.create_task(patch(session))
    await until(lambda: emulator._waiting)
    call.cancel()
    await asyncio.wait({call})
    await until(lambda: not emulator._waiting)
    assert updates(emulator) == int(after_effect)


async def test_any_other_answer(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(
        Reply(status=308, headers={"Location": "https://example.test/"}),
        Reply(body=b"<html>Log in", after_effect=True),
    )
    response, _ = await patch(session)
    assert (response.status, response.headers["Location"]) == (308, "https://example.test/")
    assert updates(emulator) == 0
    response, body = await patch(session)
    assert (response.status, response.content_type, body) == (200, "text/html", b"<html>Log in")
    assert updates(emulator) == 1


async def test_after_any_fault_the_next_request_is_served(
    emulator: Emulator, session: aiohttp.ClientSession
) -> None:
    faults: list[Fault] = [Drop(), Drop(reset=True), Truncate(), ServerFailure(), WrongJSON()]
    for fault in faults:
        emulator.faults.add(fault)
        with contextlib.suppress(aiohttp.ClientError):
            await patch(session)
        response, _ = await patch(session)
        assert response.status == 200


async def test_faults_by_seed() -> None:
    async def run() -> tuple[list[Any], int]:
        profile = FaultProfile(rate=0.5, kinds=(ServerFailure(), TooManyRequests()), seed=5)
        async with (
            Emulator(devices=40, token="t", faults=profile) as emulator,
            aiohttp.ClientSession(
                emulator.base_url, headers={"X-Enapter-Auth-Token": "t"}
            ) as session,
        ):
            statuses = []
            for device in emulator.world:
                async with session.get(f"/v3/devices/{device.id}") as response:
                    statuses.append(response.status)
            return statuses, emulator.world.log.count_faults()

    statuses, faults = await run()
    assert set(statuses) == {200, 502, 429}
    assert faults == 40 - statuses.count(200)
    assert await run() == (statuses, faults)


# Starting and ending


async def test_it_ends_quickly_with_open_and_hanging_connections() -> None:
    async with aiohttp.ClientSession(headers={"X-Enapter-Auth-Token": "t"}) as session:
        async with Emulator(token="t") as emulator:
            url = f"{emulator.base_url}/v3/devices"
            async with session.get(url) as response:
                await response.read()
            emulator.faults.add(Hang(), Hang(), Latency(seconds=1000))
            calls = [asyncio.create_task(session.get(url).__aenter__()) for _ in range(3)]
            half = socket.create_connection(("127.0.0.1", emulator.port))
            half.sendall(b"PATCH /v3/devices/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            await until(lambda: len(emulator._waiting) == 3)
            started = time.monotonic()
        assert time.monotonic() - started < 100
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(end, aiohttp.ClientError) for end in ends)
        half.close()


async def test_it_listens_only_while_it_runs() -> None:
    emulator = Emulator(devices=1)
    with pytest.raises(RuntimeError, match="async with"):
        _ = emulator.base_url
    async with emulator:
        port = emulator.port
        with pytest.raises(RuntimeError, match="already"):
            await emulator.__aenter__()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    async with emulator:
        assert emulator.base_url.startswith("http://127.0.0.1:")


async def test_a_requested_port_is_used_and_an_occupied_one_is_an_error() -> None:
    async with Emulator(devices=1) as first:
        second = Emulator(devices=1, port=first.port)
        with pytest.raises(OSError, match=r"address already in use|Errno"):
            await second.__aenter__()
        port = first.port
    async with Emulator(devices=1, port=port) as third:
        assert third.port == port


async def test_it_can_only_count() -> None:
    async with (
        Emulator(devices=3, keep_records=False, token="t") as emulator,
        aiohttp.ClientSession(headers={"X-Enapter-Auth-Token": "t"}) as session,
        session.get(f"{emulator.base_url}/v3/devices") as response,
    ):
        assert response.status == 200
        assert emulator.world.log.count_arrivals("GET") == 1
        assert not emulator.world.log.keep_records


def test_it_is_imported_only_when_used() -> None:
    program = (
        "import sys, enapter_async.emulator.plugin\n"
        "assert 'aiohttp' not in sys.modules\n"
        "from enapter_async.emulator import Emulator\n"
        "assert 'aiohttp' in sys.modules\n"
        "import enapter_async.emulator\n"
        "assert all(getattr(enapter_async.emulator, n) for n in enapter_async.emulator.__all__)\n"
        "assert not hasattr(enapter_async.emulator, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=30)  # noqa: S603 - our own interpreter
