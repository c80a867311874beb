"""The token and the secrets stay where they belong, and no request goes elsewhere."""

import asyncio
import contextlib
import html
import json
import logging
import pickle
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import attrs
import pytest

from enapter_async._http.masking import Mask
from enapter_async.client import Client
from enapter_async.errors import AmbiguousOutcomeError, BadRequestError, ConfigurationError
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    ListDevices,
    UpdateDevice,
)
from tests.support.kinds import BROKEN, FINAL, REFUSED, UNKNOWN, UNREADABLE, each, meets
from tests.support.replies import answer, errors, good, head, raw
from tests.support.replies import html as html_page
from tests.support.rig import CONFIG, GET, TOKEN, UPDATE, TransportKind, attempts, open_rig
from tests.support.secrets import shown, traceback_of
from tests.support.server import FaultServer, Reply, applied, ignored
from tests.support.tls import Certificates

SECRETS = (TOKEN, "PASSWORD-SECRET", "KEY-SECRET")


async def test_the_check_itself_finds_what_aiohttp_would_leak(server: FaultServer) -> None:
    server.always(ignored(errors(500)))
    headers = {"X-Enapter-Auth-Token": TOKEN}
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.get(f"{server.base_url}/v3/devices/dev-1")
    assert TOKEN not in str(caught.value)
    assert TOKEN in traceback_of(caught.value)


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("aiohttp", "aiohttp.client", "aiohttp.internal", "asyncio", "enapter_async"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    return caplog


@meets(
    {"get": GET, "update": UPDATE, "config": CONFIG},
    *(*UNKNOWN, REFUSED, BROKEN, UNREADABLE),
    {name: FINAL[name] for name in ("status-400", "status-401")},
    all_of=["get", "config"],
)
async def test_no_secret_is_shown_whatever_fails(
    transport: TransportKind,
    operation: Operation[Any],
    fault: Reply,
    server: FaultServer,
    logs: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # as on a machine so busy that asyncio reports each step
    server.always(ignored(fault))
    async with open_rig(transport, server, retry=attempts(2)) as rig:
        with contextlib.suppress(pytest.fail.Exception):
            error = await rig.fails(operation)
            told = shown(error)
            for secret in SECRETS:
                assert secret not in told
            assert error.__cause__ is None
            assert error.__context__ is None
        for secret in SECRETS:
            assert secret not in logs.text
            assert secret not in repr(rig.events)
            assert secret not in repr(rig.client)
            assert secret not in repr(vars(rig.client))


SHAPES: dict[str, Any] = {
    "password-is-a-list": {"mqtt_credentials": {"username": "u", "password": ["PASSWORD-SECRET"]}},
    "no-host": {"mqtt_credentials": {"username": "u", "password": "PASSWORD-SECRET"}},
    "port-is-text": {
        "mqtt_host": "h",
        "mqtt_port": "PASSWORD-SECRET",
        "mqtt_protocol": "MQTT",
        "mqtt_credentials": {"username": "u", "password": "PASSWORD-SECRET"},
    },
    "credentials-are-text": {"mqtt_credentials": "PASSWORD-SECRET"},
    "config-is-text": "PASSWORD-SECRET",
}


@each("config", SHAPES)
async def test_an_unreadable_configuration_shows_nothing_of_itself(
    transport: TransportKind, config: Any, server: FaultServer, logs: pytest.LogCaptureFixture
) -> None:
    server.script(applied(answer(200, {"config": config})))
    async with open_rig(transport, server) as rig:
        error = await rig.fails(CONFIG)
        assert isinstance(error, AmbiguousOutcomeError)
        assert "PASSWORD-SECRET" not in shown(error)
        assert "PASSWORD-SECRET" not in logs.text
        assert "PASSWORD-SECRET" not in repr(rig.events)


@pytest.mark.parametrize("protocol", ["MQTT", "MQTTS"])
async def test_a_configuration_hides_its_secrets(
    transport: TransportKind, protocol: str, server: FaultServer, logs: pytest.LogCaptureFixture
) -> None:
    async with open_rig(transport, server) as rig:
        config = await rig.run(GenerateConfig(device_id="dev-1", protocol=protocol))
        for secret in SECRETS:
            assert secret not in f"{config!r} {config} {logs.text} {rig.events!r}"


async def test_an_echoed_token_is_not_quoted(transport: TransportKind, server: FaultServer) -> None:
    server.script(ignored(html_page(400, text=f"bad token {TOKEN}")))
    server.script(ignored(errors(401, code=TOKEN, message=f"bad token {TOKEN}")))
    async with open_rig(transport, server) as rig:
        for _ in range(2):
            assert TOKEN not in shown(await rig.fails(UPDATE))


PAGE = b"." * (4096 - len(TOKEN) // 2)
ECHOES: dict[str, Reply] = {
    "across-the-cut": answer(400, PAGE + TOKEN.encode() + b"</pre>", media_type="text/html"),
    "across-an-answers-largest-size": answer(400, b"x" * 30 + TOKEN.encode() * 2),
    "cut-by-the-connection": raw(
        head(400, ("Content-Length", "500")) + b"sent: " + TOKEN[:-2].encode(), "fin"
    ),
}


@each("echo", ECHOES)
async def test_not_even_the_beginning_of_an_echoed_token_is_quoted(
    transport: TransportKind, echo: Reply, server: FaultServer
) -> None:
    class Small(GetDevice):
        answer = attrs.evolve(GetDevice.answer, max_bytes=40)

    server.always(ignored(echo))
    async with open_rig(transport, server, retry=attempts(1)) as rig:
        error = await rig.fails(Small(device_id="dev-1"))
    assert isinstance(error, BadRequestError)
    assert error.excerpt
    assert TOKEN[:6] not in error.excerpt
    assert len(error.excerpt) <= 4096


def test_a_token_is_masked_in_any_encoding() -> None:
    token = """a&b<c>"d'e/f\\g%h"""
    mask = Mask(token)
    page = f"<p>{html.escape(token)} {html.escape(token, quote=False)}</p>"
    address = f"?a={quote(token)}&b={quote(token, safe='')}"
    as_json = json.dumps({"a": token})
    for text in (page, address, as_json, as_json.replace("/", "\\/"), f"{token} {token}"):
        masked = mask.text(text)
        assert "***" in masked
        assert "d" not in masked.replace("%3Cp", "")
    assert mask.text("a&b") == "a&b", "three letters are not a secret"
    assert Mask("abc").text("abc") == "abc"
    assert mask.value({token: [token, 5, None]}) == {"***": ["***", 5, None]}


def test_a_client_shows_no_token() -> None:
    client = Client(token=TOKEN)
    assert TOKEN not in f"{client!r} {client} {vars(client)}"
    with pytest.raises(TypeError):
        pickle.dumps(client)


# Addresses

BAD_IDS = {
    "parent": "../sites/1",
    "dots": "..",
    "dot": ".",
    "empty": "",
    "slash": "a/b",
    "escaped-dots": "%2e%2e",
    "escaped-slash": "a%2Fb",
    "newline": "a\nb",
    "newline-at-end": "dev-1\n",
    "crlf": "a\r\nX-Evil: 1",
    "nul": "a\0b",
    "surrogate": "\ud800",
    "10-kb": "a" * 10_000,
    "backslash": "..\\a",
    "number": 5,
    "none": None,
    "bytes": b"dev-1",
}
SLUGS = {
    "query": "a?x=1",
    "fragment": "a#f",
    "space": "a b",
    "letters-with-accents": "dévice",
    "leading-dash": "-a",
    "semicolon": "a;b",
}
"""Slugs that a device may have, and no id."""
BUILDERS: dict[str, Any] = {
    "get": lambda bad: GetDevice(device_id=bad),
    "update": lambda bad: UpdateDevice(device_id=bad, name="x"),
    "delete": lambda bad: DeleteDevice(device_id=bad),
    "config": lambda bad: GenerateConfig(device_id=bad, protocol="MQTT"),
    "assign": lambda bad: AssignBlueprint(device_id=bad, blueprint_id="bp-1"),
}


@each("bad", {f"row53-{name}": bad for name, bad in BAD_IDS.items()})
@each("build", BUILDERS)
def test_an_invalid_id_is_refused_before_any_io(build: Any, bad: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(bad)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@each("bad", {name: bad for name, bad in (BAD_IDS | SLUGS).items() if bad is not None})
def test_an_invalid_site_id_is_refused_before_any_io(bad: Any) -> None:
    with pytest.raises(ConfigurationError):
        ListDevices(site_id=bad)


@pytest.mark.parametrize(
    "fine",
    ["a", "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f88", "H2_Detector-7", "a" * 128, *SLUGS.values()],
)
async def test_an_id_is_one_segment_of_the_path(transport: TransportKind, fine: str) -> None:
    async with FaultServer(devices=(fine,)) as server, open_rig(transport, server) as rig:
        await rig.run(GetDevice(device_id=fine))
        assert server.arrivals[0].target == f"/v3/devices/{quote(fine, safe='')}"


# What the environment and the server must not do


@pytest.fixture
async def evil() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


async def test_the_environments_proxies_and_netrc_are_not_used(
    transport: TransportKind,
    server: FaultServer,
    evil: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in (
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.setenv(name, evil.base_url)
    async with open_rig(transport, server) as rig:
        await rig.run(UPDATE)
    assert evil.connections == []
    assert server.arrivals[0].header("Authorization") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_no_cookie_is_sent_back(
    transport: TransportKind, host: str, server: FaultServer
) -> None:
    server.always(applied(good(("Set-Cookie", "session=tracked; Path=/"))))
    address = f"http://{host}:{server.port}"
    async with open_rig(transport, server, base_url=address) as rig:
        for _ in range(3):
            await rig.run(GET)
    assert [arrival.header("Cookie") for arrival in server.arrivals] == [None] * 3


@pytest.mark.parametrize("secured", [True, False])
async def test_a_gateway_receives_the_header_for_http(
    transport: TransportKind, secured: bool, certificates: Certificates
) -> None:
    """Otherwise a gateway behind a tunnel on this machine redirects to https."""
    context = certificates.server() if secured else None
    async with FaultServer(ssl_context=context) as server:
        trusting: dict[str, Any] = {"ssl_context": certificates.trusting()} if secured else {}
        async with open_rig(transport, server, **trusting) as rig:
            await rig.run(UPDATE)
    assert server.arrivals[0].header("X-Enapter-Allow-HTTP") == (None if secured else "true")


async def test_the_callers_session_is_neither_changed_nor_closed(server: FaultServer) -> None:
    async def mark(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["X-Mark"] = "mine"
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(mark,), headers={"X-Own": "1"}) as session:
        before = {**vars(session)} if hasattr(session, "__dict__") else {}
        client = Client(token=TOKEN, base_url=server.base_url, session=session)
        async with client:
            await client.execute(UPDATE)
        assert not session.closed
        assert {**vars(session)} == before
        async with session.get(f"{server.base_url}/v3/devices/dev-1") as response:
            assert response.status == 200
    ours, theirs = server.arrivals
    assert (ours.header("X-Mark"), ours.header("X-Own")) == ("mine", "1")
    assert theirs.header("X-Enapter-Auth-Token") is None
