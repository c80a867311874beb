"""Servers that cannot prove their identity: nothing is sent, and the error is immediate."""

import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

from enapter_async.errors import (
    AmbiguousOutcomeError,
    Certainty,
    ConfigurationError,
    HostDownError,
    TLSError,
    TransportError,
)
from tests.support.names import Here
from tests.support.rig import ALL, BRISK, CONFIG, GET, UPDATE, TransportKind, attempts, open_rig
from tests.support.server import Connection, FaultServer
from tests.support.tls import Certificates


@pytest.fixture
async def secured(certificates: Certificates) -> AsyncIterator[FaultServer]:
    async with FaultServer(ssl_context=certificates.server()) as server:
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_that_proves_its_identity_is_accepted(
    transport: TransportKind, host: str, certificates: Certificates, secured: FaultServer
) -> None:
    options: dict[str, Any] = {
        "ssl_context": certificates.trusting(),
        "base_url": f"https://{host}:{secured.port}",
    }
    async with open_rig(transport, secured, **options) as rig:
        for _ in range(3):
            await rig.run(UPDATE)
            assert rig.attempts == ()
    assert len(secured.connections) == 1


BAD: dict[str, dict[str, Any]] = {
    "row05-untrusted": {"authority": "other"},
    "row05-wrong-name": {"names": "DNS:elsewhere.example.test"},
    "row05-expired": {"days": -1},
}


@pytest.mark.parametrize("fault", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("operation", [GET, CONFIG], ids=["get", "config"])
async def test_a_bad_certificate_is_never_tried_again(
    transport: TransportKind, operation: Any, fault: dict[str, Any], certificates: Certificates
) -> None:
    async with FaultServer(ssl_context=certificates.server(**fault)) as server:
        context = certificates.trusting()
        async with open_rig(transport, server, ssl_context=context) as rig:
            error = await rig.fails(operation)
            assert type(error) is TLSError
            assert not error.sent
            assert rig.certainties == [Certainty.NOT_SENT]
            assert rig.clock.sleeps == []
        assert server.arrivals == []


async def test_row05_without_a_context_the_systems_authorities_apply(
    transport: TransportKind, secured: FaultServer
) -> None:
    async with open_rig(transport, secured) as rig:
        assert type(await rig.fails(GET)) is TLSError
        assert len(rig.attempts) == 1
    assert secured.arrivals == []


@pytest.mark.parametrize("operation", ALL.values(), ids=ALL.keys())
async def test_row06_a_server_without_tls_is_tried_twice_more(
    transport: TransportKind, operation: Any, certificates: Certificates, server: FaultServer
) -> None:
    address = f"https://127.0.0.1:{server.port}"
    options: dict[str, Any] = {"base_url": address, "ssl_context": certificates.trusting()}

    async def answer_in_the_clear(connection: Any) -> bool:
        connection.push(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        return False

    server.on_connect = answer_in_the_clear
    async with open_rig(transport, server, **options) as rig:
        error = await rig.fails(operation)
        assert isinstance(error, TLSError)
        assert rig.certainties == [Certainty.NOT_SENT] * 3
    assert server.arrivals == []


async def test_row06_plain_http_to_a_tls_port_is_never_a_success(
    transport: TransportKind, secured: FaultServer
) -> None:
    address = f"http://127.0.0.1:{secured.port}"
    async with open_rig(transport, secured, base_url=address) as rig:
        # The request was sent, and any kind of server may have received it.
        assert type(await rig.fails(CONFIG)) is AmbiguousOutcomeError
        assert rig.certainties == [Certainty.MAYBE]
    assert secured.arrivals == []


@pytest.mark.parametrize("operation", [UPDATE, CONFIG], ids=["update", "config"])
async def test_row06_a_server_without_a_protocol_in_common_is_sent_nothing(
    transport: TransportKind, operation: Any, certificates: Certificates
) -> None:
    context = certificates.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = certificates.trusting()
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    async with FaultServer(ssl_context=context) as server:
        async with open_rig(transport, server, ssl_context=client) as rig:
            # A server may give a reason before it closes; asyncio's own gives none.
            error = await rig.fails(operation)
            assert isinstance(error, TLSError | HostDownError)
            assert set(rig.certainties) == {Certainty.NOT_SENT}
        assert server.arrivals == []


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
async def test_a_handshake_that_breaks_off_sent_nothing(
    transport: TransportKind, how: str, certificates: Certificates, server: FaultServer
) -> None:
    async def break_off(connection: Connection) -> bool:
        await connection.reader.read(1)
        if how == "rst":
            connection.reset()
        elif how == "silence":
            await connection.gone()
        return False

    server.on_connect = break_off
    options: dict[str, Any] = {
        "base_url": f"https://127.0.0.1:{server.port}",
        "ssl_context": certificates.trusting(),
        "timeouts": BRISK,
        "retry": attempts(2),
    }
    async with open_rig(transport, server, **options) as rig:
        error = await rig.fails(CONFIG)
        assert isinstance(error, TransportError)
        assert not error.sent
        assert rig.certainties == [Certainty.NOT_SENT] * 2
    assert server.arrivals == []


@pytest.mark.parametrize("signed_by_itself", [True, False], ids=["itself", "its-own-authority"])
async def test_a_gateway_with_its_own_authority_is_accepted(
    transport: TransportKind, signed_by_itself: bool, certificates: Certificates
) -> None:
    name = "enapter-gateway.local"
    if signed_by_itself:
        context, client = certificates.signed_by_itself(name)
    else:
        context = certificates.server(names=f"DNS:{name}", authority="other")
        client = certificates.trusting("other")
    async with FaultServer(ssl_context=context, prefix="/api") as server:
        address = f"https://{name}:{server.port}/api"
        async with open_rig(transport, server, base_url=address, ssl_context=client) as rig:
            rig.connector._resolver = Here(server.port)  # type: ignore[attr-defined]  # a resolver is set at its making only
            await rig.run(UPDATE)
            assert rig.attempts == ()
        assert server.arrivals[0].target == "/api/v3/devices/dev-1"
        assert server.arrivals[0].header("Host") == f"{name}:{server.port}"
        strangers = certificates.trusting()
        async with open_rig(transport, server, base_url=address, ssl_context=strangers) as rig:
            rig.connector._resolver = Here(server.port)  # type: ignore[attr-defined]  # as above
            assert type(await rig.fails(CONFIG)) is TLSError
        assert len(server.arrivals) == 1


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _nameless() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


@pytest.mark.parametrize("make", [_unverified, _nameless])
async def test_a_context_that_does_not_verify_is_refused(
    make: Any, transport: TransportKind, server: FaultServer
) -> None:
    with pytest.raises(ConfigurationError):
        async with open_rig(transport, server, ssl_context=make()):
            pass


async def test_session_keys_are_never_written(
    transport: TransportKind,
    secured: FaultServer,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    async with open_rig(transport, secured) as rig:
        assert type(await rig.fails(GET)) is TLSError
    keys = tmp_path / "keys"
    assert not keys.exists() or "SECRET" not in keys.read_text()
