"""The checks against real servers: working ones, and one for each possible fault."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async.clock import Clock
from enapter_async.diagnosis.examination import examine
from enapter_async.diagnosis.findings import Finding, Health
from enapter_async.diagnosis.network import Surroundings
from enapter_async.emulator import Emulator, World
from enapter_async.errors import ConfigurationError
from enapter_async.profiles.connection import Connection, Setting, resolve
from enapter_async.profiles.file import Profile
from tests.support.replies import answer, errors, hang, html
from tests.support.rig import TOKEN
from tests.support.server import FaultServer, ignored
from tests.support.tls import Certificates

BRIEF = Surroundings(seconds=0.15, environ={})
CALM = Surroundings(seconds=5.0, environ={})


def to(
    base_url: str, token: str | None = TOKEN, ca_file: Path | None = None, **more: Any
) -> Connection:
    profile = Profile(name="here", path=Path("/etc/config.toml"), ca_file=ca_file, **more)
    return resolve(
        profile,
        {},
        base_url=Setting(base_url, "test"),
        token=None if token is None else Setting(lambda: token, "the test"),
    )


async def found(connection: Connection, around: Surroundings = CALM) -> dict[str, Finding]:
    findings = [finding async for finding in examine(connection, around)]
    names = [finding.check for finding in findings]
    assert len(set(names)) == len(names), "each check is reported once"
    assert all(finding.advice for finding in findings if finding.health is Health.FAILED)
    assert TOKEN not in repr(findings)
    return {finding.check: finding for finding in findings}


def healths(findings: dict[str, Finding]) -> dict[str, str]:
    return {check: str(finding.health) for check, finding in findings.items()}


ALL_WELL = {
    "versions": "ok",
    "configuration": "ok",
    "name": "ok",
    "connection": "ok",
    "tls": "skipped",
    "token": "ok",
    "role": "ok",
    "clock": "ok",
}


def after(check: str) -> dict[str, str]:
    """Return the expected findings if that check fails; earlier checks pass."""
    order = [*ALL_WELL]
    place = order.index(check)
    return {
        **{name: "skipped" if name == "tls" else "ok" for name in order[:place]},
        check: "failed",
        **dict.fromkeys(order[place + 1 :], "skipped"),
    }


async def test_a_healthy_server() -> None:
    async with Emulator(world=World.seeded(60, 1, role="OWNER"), token=TOKEN) as emulator:
        base_url = emulator.base_url
        findings = await found(to(base_url))
        methods = {each.method for each in emulator.world.log.arrivals()}
    assert healths(findings) == ALL_WELL
    assert findings["role"].facts == {"OWNER": "50 of 50 devices"}
    assert findings["configuration"].facts["base_url"] == f"{base_url} (test)"
    assert findings["configuration"].facts["token"] == "set (the test)"
    assert methods == {"GET", "HEAD"}, "doctor only reads"


async def test_a_role_without_write_access() -> None:
    async with Emulator(world=World.seeded(10, 1, role="READONLY"), token=TOKEN) as emulator:
        findings = await found(to(emulator.base_url))
    assert healths(findings) == {**ALL_WELL, "role": "warning"}
    assert "refused on 10 of 10" in findings["role"].said


async def test_a_token_that_is_not_accepted() -> None:
    async with Emulator(devices=3, token="another") as emulator:
        findings = await found(to(emulator.base_url))
    assert healths(findings) == {**ALL_WELL, "token": "failed", "role": "skipped"}
    assert "(from the test)" in findings["token"].advice


async def test_no_token_at_all() -> None:
    async with Emulator(devices=3, token=TOKEN) as emulator:
        findings = await found(to(emulator.base_url, token=None))
    assert healths(findings) == {**ALL_WELL, "token": "failed", "role": "skipped"}


async def test_a_closed_port(server: FaultServer) -> None:
    await server.stop()
    around = attrs.evolve(CALM, environ={"http_proxy": "http://proxy.test", "HTTPS_PROXY": "x"})
    findings = await found(to(server.base_url), around)
    assert healths(findings) == after("connection")
    assert "Connection refused" in findings["connection"].said
    assert "http_proxy is set, but is used only on request" in findings["connection"].advice


async def test_one_address_of_two_is_enough(server: FaultServer) -> None:
    def two(_host: str, port: int) -> list[Any]:
        return [
            (socket.AF_INET, 1, 6, "", (address, port)) for address in ("127.0.0.9", "127.0.0.1")
        ]

    findings = await found(to(server.base_url), attrs.evolve(CALM, lookup=two))
    assert findings["connection"].health is Health.WARNING
    assert "1 of 2 addresses" in findings["connection"].said
    assert findings["token"].health is Health.OK


def unknown(_host: str, _port: int) -> list[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_an_unknown_host_name() -> None:
    around = attrs.evolve(CALM, lookup=unknown)
    findings = await found(to("https://gateway.local/api"), around)
    assert healths(findings) == {**after("name"), "tls": "skipped"}
    assert findings["name"].said == (
        "the name gateway.local cannot be resolved: Name or service not known"
    )
    assert "mDNS" in findings["name"].advice


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """An event that blocks a resolver until the test is over."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_hanging_resolver_does_not_block(stuck: threading.Event) -> None:
    def hangs(_host: str, _port: int) -> list[Any]:
        stuck.wait(30)
        return []

    began = time.monotonic()
    findings = await found(to("https://api.test"), attrs.evolve(BRIEF, lookup=hangs))
    assert time.monotonic() - began < 25
    assert healths(findings) == after("name")
    assert "within 0.15 s" in findings["name"].said


CERTIFICATES: dict[str, tuple[dict[str, Any], str]] = {
    "untrusted": ({"authority": "other"}, "was not issued by the authority in"),
    "wrong-name": ({"names": "DNS:elsewhere.example.test"}, "is for another address"),
    "expired": ({"days": -1}, "has expired"),
}


@pytest.mark.parametrize("case", CERTIFICATES.values(), ids=CERTIFICATES.keys())
async def test_a_bad_certificate(
    case: tuple[dict[str, Any], str], certificates: Certificates
) -> None:
    fault, word = case
    async with FaultServer(ssl_context=certificates.server(**fault)) as server:
        connection = to(server.base_url, ca_file=certificates.folder / "ca.pem")
        findings = await found(connection)
        assert healths(findings) == after("tls")
        assert word in findings["tls"].said
        assert server.arrivals == []


async def test_a_wrong_name_is_reported_with_the_names_of_the_certificate(
    certificates: Certificates,
) -> None:
    names = "DNS:gateway.example.test,IP:10.0.0.5"
    async with FaultServer(ssl_context=certificates.server(names=names)) as server:
        findings = await found(to(server.base_url, ca_file=certificates.folder / "ca.pem"))
        assert "it is for gateway.example.test, 10.0.0.5" in findings["tls"].said
        assert server.arrivals == []


async def test_the_systems_authorities_do_not_include_a_gateways(
    certificates: Certificates,
) -> None:
    async with FaultServer(ssl_context=certificates.server()) as server:
        findings = await found(to(server.base_url))
    assert findings["tls"].health is Health.FAILED
    assert "authority that this machine does not trust" in findings["tls"].said


async def test_a_custom_authority_and_a_certificate_that_expires_soon(
    certificates: Certificates,
) -> None:
    """The test's certificates are valid for two days."""
    async with FaultServer(ssl_context=certificates.server()) as server:
        connection = to(server.base_url, ca_file=certificates.folder / "ca.pem")
        findings = await found(connection)
    tls = findings["tls"]
    assert tls.health is Health.WARNING
    assert "expires in 1 days" in tls.said
    assert tls.facts["issuer"] == "ca"
    assert tls.facts["names"] == "localhost, 127.0.0.1"
    assert tls.facts["authorities"].endswith("ca.pem alone")
    assert findings["token"].health is Health.OK
    assert findings["clock"].health is Health.SKIPPED, "this server does not send its time"


async def test_a_port_without_tls() -> None:
    async with Emulator(devices=3, token=TOKEN) as emulator:
        findings = await found(to(emulator.base_url.replace("http:", "https:")))
    assert healths(findings) == after("tls")
    assert "does not speak TLS" in findings["tls"].said


async def test_a_server_that_accepts_and_stays_silent() -> None:
    accepted: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await reader.read()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        secured = await found(to(f"https://127.0.0.1:{port}"), BRIEF)
        plain = await found(to(f"http://127.0.0.1:{port}"), BRIEF)
    finally:
        for writer in accepted:
            writer.close()
        listening.close()
    assert healths(secured) == after("tls")
    assert "in time" in secured["tls"].said
    assert plain["token"].health is Health.FAILED
    assert plain["clock"].health is Health.SKIPPED


REFUSALS: dict[str, tuple[Any, str, str]] = {
    "403": (errors(403), "failed", "invalid or expired"),
    "429": (errors(429), "warning", "too many"),
    "a proxy's page": (html(200), "failed", "not an Enapter API"),
    "a redirect": (answer(302, None, ("Location", "/login")), "failed", "never followed"),
    "a failure": (errors(500), "failed", "has a problem"),
    "silence": (hang(), "failed", ""),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_server_that_refuses(case: tuple[Any, str, str], server: FaultServer) -> None:
    reply, health, word = case
    server.always(ignored(reply))
    findings = await found(to(server.base_url), BRIEF)
    assert str(findings["token"].health) == health
    assert word in findings["token"].advice
    assert findings["role"].health is Health.SKIPPED


async def test_a_clock_that_is_wrong() -> None:
    clock = Clock(wall=lambda: time.time() - 3600)
    async with Emulator(devices=3, token=TOKEN) as emulator:
        findings = await found(to(emulator.base_url), attrs.evolve(CALM, clock=clock))
    assert findings["clock"].health is Health.WARNING
    # The server's clock differs from ours by less than a second plus the time of the request.
    assert -3602 <= int(findings["clock"].facts["difference_seconds"]) <= -3598
    assert "behind the server's" in findings["clock"].said


@pytest.mark.parametrize(
    ("base_url", "more", "word"),
    [
        ("http://gateway.test", {}, "would send the token unencrypted"),
        ("api.enapter.com", {}, "https://api.enapter.com; got 'api.enapter.com'"),
        ("me:secret@api.enapter.com", {}, "base_url must be a URL such as https://api.enapter.com"),
        ("https://api.test", {"ca_file": Path("/no/such.pem")}, "ca_file /no/such.pem"),
        ("https://api.test", {"token": "two words"}, "token contains a space"),
    ],
)
async def test_a_configuration_that_is_wrong(
    base_url: str, more: dict[str, Any], word: str
) -> None:
    findings = await found(to(base_url, **more))
    assert healths(findings) == {"versions": "ok", "configuration": "failed"}
    assert word in findings["configuration"].said
    assert "secret" not in findings["configuration"].said


@pytest.mark.parametrize("ca_file", [Path("/no/such.pem"), None], ids=["not come to", "not there"])
async def test_an_unread_token_is_not_reported_as_set(ca_file: Path | None) -> None:
    def unreadable() -> str:
        raise ConfigurationError("token_command: 'pass' cannot be run")

    connection = attrs.evolve(
        to("https://api.test", ca_file=ca_file), token=Setting(unreadable, "profile here")
    )
    findings = await found(connection)
    assert findings["configuration"].facts["token"] == "not read (profile here)"


async def test_an_unencrypted_gateway_is_a_warning() -> None:
    around = attrs.evolve(CALM, lookup=unknown)
    findings = await found(to("http://gateway.test", allow_insecure_http=True), around)
    assert findings["configuration"].health is Health.WARNING
    assert "unencrypted" in findings["configuration"].said


async def test_an_unknown_aiohttp(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "enapter_async.diagnosis.examination.probe", lambda _: "ResponseHandler.read"
    )
    findings = await found(to(server.base_url))
    assert findings["versions"].health is Health.WARNING
    assert "ResponseHandler.read" in findings["versions"].said
