"""A user's additional headers are sent with each request, and can neither break nor change it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ClientRequest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from enapter_async._http.headers import CarryingWire
from enapter_async._http.message import Message
from enapter_async._http.wire import Wire
from enapter_async.client import Client
from enapter_async.errors import ConfigurationError
from tests.support.replies import close, errors
from tests.support.rig import GET, TOKEN, UPDATE, TransportKind, open_rig
from tests.support.server import FaultServer, applied, ignored

Extra = Callable[[], Mapping[str, str]]


def counted() -> Extra:
    """Return a different value at each call."""
    numbers: Iterator[int] = iter(range(1, 100))
    return lambda: {"X-Number": f"no. {next(numbers)}"}


async def test_the_function_is_called_for_each_request(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(errors(503)), applied(close()), method="PATCH")
    async with open_rig(transport, server, extra_headers=counted()) as rig:
        await rig.run(UPDATE)
    told = [(each.method, each.header("X-Number")) for each in server.arrivals]
    assert told[0] == ("PATCH", "no. 1")
    assert [number for _, number in told] == [f"no. {each + 1}" for each in range(len(told))]
    assert len(told) == 3


async def test_a_request_is_otherwise_the_same(
    transport: TransportKind, server: FaultServer
) -> None:
    async with open_rig(transport, server) as plain:
        await plain.run(GET)
        await plain.run(UPDATE)
    async with open_rig(transport, server, extra_headers=lambda: {"X-Mine": "1"}) as rig:
        await rig.run(GET)
        await rig.run(UPDATE)
    plain_get, plain_update, get, update = server.arrivals
    for before, after in ((plain_get, get), (plain_update, update)):
        assert sorted(after.headers) == sorted((*before.headers, ("X-Mine", "1")))
        assert (after.method, after.target, after.body) == (
            before.method,
            before.target,
            before.body,
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Bad", "1\r\nX-Evil: 1"),
        ("X-Bad\r\nX-Evil", "1"),
        ("X-Bad", ""),
        ("X-Bad", "é"),
        ("X-Bad", 7),
        ("", "1"),
        ("X Bad", "1"),
        ("Host", "elsewhere.example"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Cookie", "a=b"),
        ("X-Enapter-Auth-Token", "another"),
        ("x-enapter-auth-user", "another"),
    ],
)
async def test_headers_that_cannot_be_sent_are_left_out_and_reported(
    name: str,
    value: Any,
    transport: TransportKind,
    server: FaultServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_rig(
        transport, server, extra_headers=lambda: {name: value, "X-Good": "1"}
    ) as rig:
        await rig.run(GET)
    (arrival,) = server.arrivals
    assert arrival.header("X-Good") == "1"
    assert arrival.header("X-Enapter-Auth-Token") == TOKEN
    assert arrival.header("X-Enapter-Auth-User") is None
    assert arrival.header("Host") == server.base_url.removeprefix("http://")
    for absent in ("X-Bad", "X-Evil", "Content-Length", "Transfer-Encoding", "Cookie"):
        assert arrival.header(absent) is None
    assert repr(name) in caplog.text
    assert "another" not in caplog.text


async def test_a_failing_function_is_logged_and_does_not_affect_the_call(
    transport: TransportKind, server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> Mapping[str, str]:
        raise LookupError("nothing here")

    caplog.set_level(logging.ERROR, logger="enapter_async")
    async with open_rig(transport, server, extra_headers=fails) as rig:
        assert (await rig.run(UPDATE)).name == UPDATE.name
    assert rig.attempts == ()
    assert "extra_headers failed" in caplog.text


async def test_a_middleware_of_the_sessions_own_sees_them(server: FaultServer) -> None:
    seen = []

    async def look(
        request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(request.headers.get("X-Mine"))
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(look,)) as session,
        Client(
            TOKEN,
            base_url=server.base_url,
            session=session,
            extra_headers=lambda: {"X-Mine": "1"},
        ) as client,
    ):
        await client.execute(GET)
        await client.with_options().execute(GET)
    assert seen == ["1", "1"]
    assert [each.header("X-Mine") for each in server.arrivals] == ["1", "1"]


def test_a_non_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="extra_headers"):
        Client(TOKEN, extra_headers={"X-Mine": "1"})  # type: ignore[arg-type]  # what is wrong is the point


@given(
    extra=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    body=st.none() | st.binary(max_size=20),
)
def test_additional_headers_never_change_the_request_itself(
    extra: dict[str, str], body: bytes | None
) -> None:
    where, own = URL("http://127.0.0.1"), {"X-One": "1"}
    options: dict[str, Any] = {"secret": None, "wall": float}
    message = Message("PATCH", "/x", body)
    plain = Wire(where, own, **options).serialize(message)
    carried = CarryingWire(where, own, extra=lambda: extra, **options).serialize(message)
    head, _, rest = plain.partition(b"\r\n\r\n")
    assert carried.startswith(head)
    added, _, after = carried.removeprefix(head).partition(b"\r\n\r\n")
    assert after == rest
    lines = added.decode("ascii").split("\r\n")[1:]
    assert len(lines) <= len(extra)
    assert all(line.partition(": ")[::2] in extra.items() for line in lines)
