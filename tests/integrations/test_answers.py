"""Each of our errors, caused by a real answer, is reported to the browser as documented."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import (
    Drop,
    Emulator,
    Hang,
    Reply,
    ServerFailure,
    TooManyRequests,
    WrongJSON,
)
from enapter_async.emulator.faults import Fault
from enapter_async.errors import (
    APIError,
    EnapterError,
    ErrorDetail,
    HostDownError,
    ResponseError,
    api_error_type,
)
from enapter_async.fleet import InputError, JournalError, RunRefusedError
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.fleet.operation_files import parse_operations
from enapter_async.integrations import aiohttp_web
from enapter_async.integrations.answers import TYPES, HttpAnswer, answer_to
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig, GetDevice, UpdateDevice
from tests.emulator.fleets import METER, PUMP, UCM, small_world
from tests.integrations.backends import KINDS, Kind, backend, serving_aiohttp
from tests.support.ports import bound_socket

TOKEN = "tok-4f1d9c7e5b3a"
SECRET = "upstream words that no browser may read"
ONCE = RetryPolicy(attempts=1)

GET = GetDevice(device_id=UCM)
RENAME = UpdateDevice(device_id=UCM, name="New")
MINT = GenerateConfig(device_id=PUMP, protocol="MQTT")


def envelope(status: int, code: str = "some_code", **more: Any) -> Reply:
    body = {"errors": [{"code": code, "message": SECRET, "details": {"was": SECRET}}]}
    kind = "application/json"
    return Reply(status=status, body=json.dumps(body).encode(), content_type=kind, **more)


def html(status: int) -> Reply:
    return Reply(status=status, body=f"<html>{SECRET}</html>".encode())


@attrs.frozen
class Row:
    """The upstream's behaviour, the request, and the expected answer to the browser."""

    status: int
    kind: str
    operation: Operation[Any] | Callable[[], Operation[Any]]
    fault: Fault | None = None
    body: dict[str, Any] = attrs.field(factory=dict)
    retry_after: str | None = None
    token: str | None = TOKEN
    client: dict[str, Any] = attrs.field(factory=dict)


ROWS = {
    "unknown device": Row(404, "not-found", GetDevice(device_id="no-such-device")),
    "a proxy's 404": Row(502, "bad-upstream", GET, html(404)),
    "slug taken": Row(409, "conflict", UpdateDevice(device_id=UCM, slug="meter")),
    "422": Row(422, "unprocessable", RENAME, envelope(422), {"codes": ["some_code"]}),
    "400": Row(400, "bad-request", RENAME, envelope(400), {"codes": ["some_code"]}),
    "a code that is none": Row(400, "bad-request", RENAME, envelope(400, SECRET)),
    "argument": Row(400, "bad-request", lambda: GetDevice(device_id="a/b")),
    "429 seconds": Row(
        429,
        "too-many-requests",
        RENAME,
        TooManyRequests(retry_after=200),
        {"retry_after": 200},
        "200",
    ),
    "429 html": Row(429, "too-many-requests", RENAME, TooManyRequests()),
    "401": Row(500, "backend-not-accepted", GET, token=None),
    "403, unknown token": Row(500, "backend-not-permitted", GET, token="refused"),
    "403": Row(500, "backend-not-permitted", RENAME, token="low"),
    "503 with time": Row(
        503,
        "not-now",
        RENAME,
        ServerFailure(status=503, retry_after=200),
        {"retry_after": 200},
        "200",
    ),
    "408": Row(503, "not-now", GET, envelope(408)),
    "425": Row(503, "not-now", RENAME, envelope(425)),
    "502": Row(502, "bad-upstream", GET, ServerFailure(status=502)),
    "500 of the API": Row(502, "bad-upstream", GET, envelope(500)),
    "405": Row(502, "bad-upstream", RENAME, envelope(405)),
    "redirect": Row(
        502, "bad-upstream", RENAME, Reply(status=307, headers={"Location": "http://127.0.0.1/"})
    ),
    "not JSON": Row(502, "bad-upstream", GET, WrongJSON()),
    "lost read": Row(502, "bad-upstream", GET, Drop()),
    "another device": Row(
        502,
        "bad-upstream",
        GET,
        Reply(body=f'{{"device": {{"id": "{METER}"}}}}'.encode(), content_type="application/json"),
    ),
    "no answer": Row(
        504, "out-of-time", GET, Hang(), client={"retry": RetryPolicy(attempts=1, deadline=0.1)}
    ),
    "lost mint": Row(
        202,
        "unknown-outcome",
        MINT,
        Drop(after_effect=True),
        {"outcome": "unknown", "device_id": PUMP},
    ),
    "lost result": Row(
        202, "result-lost", MINT, WrongJSON(), {"outcome": "done, answer lost", "device_id": PUMP}
    ),
    "done, and not as asked": Row(
        202,
        "differs",
        RENAME,
        Reply(
            body=f'{{"device": {{"id": "{UCM}", "name": "new"}}}}'.encode(),
            content_type="application/json",
        ),
        {"outcome": "done, not as asked", "device_id": UCM},
    ),
    "update that does not show": Row(
        202, "unknown-outcome", RENAME, Drop(), {"outcome": "unknown", "device_id": UCM}
    ),
}


def act_of(row: Row) -> Callable[[Client], Any]:
    async def act(client: Client) -> Any:
        operation = row.operation if isinstance(row.operation, Operation) else row.operation()
        return await client.execute(operation)

    return act


async def answered(kind: Kind, make: Callable[[], Client], act: Any) -> tuple[Any, dict[str, Any]]:
    async with (
        backend(kind, make, act) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/act") as response,
    ):
        text = await response.text()
        assert TOKEN not in text + str(response.headers)
        assert SECRET not in text
        return response, json.loads(text)


# FastAPI is a Starlette application; their common behaviour is tested with one of them.
@pytest.mark.parametrize("kind", ["aiohttp", "fastapi"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_an_error_has_the_documented_answer(
    row: Row, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = {"low": "READONLY"}
    async with Emulator(world=small_world(), token=TOKEN, tokens=tokens) as emulator:
        if row.fault is not None:
            emulator.faults.add(row.fault, times=1)
        settings = {"retry": ONCE, **row.client}
        response, body = await answered(
            kind, lambda: Client(row.token, base_url=emulator.base_url, **settings), act_of(row)
        )
    assert (response.status, body["type"]) == (row.status, TYPES + row.kind)
    assert response.content_type == "application/problem+json"
    assert response.headers.get("Retry-After") == row.retry_after
    assert response.headers["Cache-Control"] == "no-store"
    assert body["status"] == row.status
    if "codes" in row.body or row.status >= 500:
        assert body.get("codes") == row.body.get("codes")
    for name in ("retry_after", "outcome", "device_id"):
        assert body.get(name) == row.body.get(name)
    reasons = [each for each in caplog.records if "POST /act was answered" in each.getMessage()]
    if row.status >= 500 or row.status == 202:
        assert [each.name for each in reasons] == ["enapter_async.backend"]
        said = reasons[0].getMessage()
        assert re.fullmatch(rf"POST /act was answered {row.status}: [A-Z]\w+Error: .{{10,}}", said)
        assert bool(reasons[0].exc_info) == (row.status in (500, 502))
    else:
        assert reasons == []
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_a_host_that_is_down_is_503(kind: Kind) -> None:
    with bound_socket() as nobody:
        where = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        response, body = await answered(
            kind, lambda: Client(TOKEN, base_url=where, retry=ONCE), act_of(ROWS["422"])
        )
    assert (response.status, body["type"]) == (503, TYPES + "not-now")


async def test_a_failed_tls_connection_is_502() -> None:
    async with Emulator(world=small_world()) as emulator:
        where = emulator.base_url.replace("http:", "https:")
        response, body = await answered(
            "aiohttp", lambda: Client(TOKEN, base_url=where, retry=ONCE), act_of(ROWS["422"])
        )
    assert (response.status, body["type"]) == (502, TYPES + "bad-upstream")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_mapping_may_be_switched_off(kind: Kind) -> None:
    async with Emulator(world=small_world(), token=TOKEN) as emulator:

        def make() -> Client:
            return Client(TOKEN, base_url=emulator.base_url)

        act = act_of(ROWS["unknown device"])
        async with (
            backend(kind, make, act, None) as url,
            aiohttp.ClientSession() as session,
            session.post(f"{url}/act") as response,
        ):
            assert response.status == 500
            assert response.content_type == "text/plain"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_backend_may_answer_in_its_own_way(kind: Kind) -> None:
    def teapot(error: EnapterError) -> HttpAnswer:
        return attrs.evolve(answer_to(error), status=418)

    async with Emulator(world=small_world(), token=TOKEN) as emulator:

        def make() -> Client:
            return Client(TOKEN, base_url=emulator.base_url)

        act = act_of(ROWS["unknown device"])
        async with (
            backend(kind, make, act, teapot) as url,
            aiohttp.ClientSession() as session,
            session.post(f"{url}/act") as response,
        ):
            assert response.status == 418


@pytest.mark.parametrize("kind", KINDS)
async def test_one_client_serves_all_requests_and_is_closed_at_the_end(kind: Kind) -> None:
    made: list[Client] = []
    async with Emulator(world=small_world(), token=TOKEN) as emulator:

        def make() -> Client:
            made.append(Client(TOKEN, base_url=emulator.base_url))
            return made[-1]

        async def act(client: Client) -> str:
            assert client is made[0]
            return str((await client.devices.get(UCM)).name)

        async with backend(kind, make, act) as url, aiohttp.ClientSession() as session:
            for path in ("/act", "/below/act"):
                async with session.post(url + path) as response:
                    assert (response.status, await response.json()) == (200, {"done": "Ucm"})
        assert len(made) == 1
        assert "closed" in repr(made[0])


def test_errors_of_a_jobs_files_are_distinguished() -> None:
    def told(error: EnapterError) -> tuple[int, str]:
        answer = answer_to(error)
        return answer.status, answer.problem["type"].removeprefix(TYPES)

    assert told(RunNotFoundError("/secret/path")) == (404, "no-such-job")
    assert told(RunRefusedError("/secret/path")) == (409, "job-refused")
    assert told(JournalError("/secret/path")) == (503, "jobs-unavailable")
    assert told(ResponseError("x")) == (502, "bad-upstream")
    with pytest.raises(InputError) as caught:
        parse_operations(b"operation,device_id,name\nupdate,a/b,x\n", source="/secret/path")
    answer = answer_to(caught.value)
    assert answer.status == 422
    assert [line.partition(":")[0] for line in answer.problem["problems"]] == ["line 2"]
    assert b"/secret/path" not in answer.body


STATUSES = st.integers(300, 599)
TEXTS = st.one_of(st.none(), st.text(max_size=80))
SECONDS = st.one_of(st.none(), st.floats(allow_nan=True))


@given(STATUSES, TEXTS, TEXTS, SECONDS, st.booleans())
def test_every_refusal_has_an_answer_that_headers_and_json_can_hold(
    status: int, code: str | None, request_id: str | None, seconds: float | None, from_api: bool
) -> None:
    error: APIError = api_error_type(status)(
        SECRET,
        status=status,
        errors=(ErrorDetail(code=code, message=SECRET),),
        request_id=request_id,
        retry_after=seconds,
        excerpt=SECRET,
        from_api=from_api,
    )
    answer = answer_to(error)
    assert SECRET.encode() not in answer.body
    assert json.loads(answer.body)["status"] == answer.status
    assert answer.status in (400, 404, 409, 422, 429, 500, 502, 503)
    # Only the API's own statements about the device are passed on as the browser's fault.
    if answer.status in (400, 404, 409, 422):
        assert from_api
        assert answer.status == status
    for name, value in answer.headers.items():
        assert (name + value).isascii()
        assert value.isprintable()


async def test_a_cancellation_is_not_answered() -> None:
    async def act(_: Client) -> None:
        raise asyncio.CancelledError

    async with Emulator(world=small_world(), token=TOKEN) as emulator:

        def make() -> Client:
            return Client(TOKEN, base_url=emulator.base_url)

        async with backend("aiohttp", make, act) as url, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await session.post(f"{url}/act")


@pytest.mark.parametrize("length", [None, 400])
async def test_an_error_after_the_start_of_an_answer_adds_no_second_answer(
    length: int | None,
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = length
        await response.prepare(request)
        await response.write(b"begun")
        raise HostDownError("no connection")

    app = web.Application(middlewares=[aiohttp_web.error_answers()])
    app.router.add_get("/", handler)
    async with serving_aiohttp(app) as url:
        where = URL(url)
        reader, writer = await asyncio.open_connection(where.host, where.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: backend\r\n\r\n")
        async with asyncio.timeout(60):
            told = await reader.read()
        writer.close()
    assert told.count(b"HTTP/1.1 ") == 1
    assert told.rstrip().endswith(b"begun"), "it does not look complete either"
