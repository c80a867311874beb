"""Connections that nginx ends, forwards or secures; each call must report the truth."""

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import pytest

from enapter_async._http.retry import RetryPolicy
from enapter_async.emulator import Drop
from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    EnapterError,
    NotFoundError,
    TLSError,
)
from enapter_async.operation import Operation
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.fleet.fleets import uuid
from tests.real.front import (
    ALL,
    CONFIG,
    DELETE,
    GET,
    SETTING,
    WRITES,
    TransportKind,
    open_front,
)
from tests.real.rows import PASS
from tests.support.kinds import each
from tests.support.tls import Certificates

ONCE = RetryPolicy(attempts=1)

TWO_UPSTREAMS = "upstream api { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; }"
PASS_ON = "location / { proxy_pass http://api; }"


async def test_a_deletion_that_was_passed_on_is_never_reported_as_failed(
    transport: TransportKind, tmp_path: Path
) -> None:
    async with open_front(transport, tmp_path, server=PASS_ON, http=TWO_UPSTREAMS) as front:
        front.emulator.faults.add(Drop(after_effect=True), method="DELETE")
        error = await front.run(DELETE)
        # A first 404 only claims that the device is gone, which is true.
        assert isinstance(error, NotFoundError)
        assert error.from_api
        assert front.world.log.count_arrivals("DELETE") == 2
        assert front.effects(DELETE) == 1
        (line,) = await front.seen()
        assert (line.method, line.status, line.upstream) == ("DELETE", 404, "502, 404")


@each("operation", {name: each for name, each in WRITES.items() if each is not DELETE})
async def test_nothing_else_is_passed_on(
    transport: TransportKind, operation: Operation[Any], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"server": PASS_ON, "http": TWO_UPSTREAMS, "retry": ONCE}
    async with open_front(transport, tmp_path, **options) as front:
        front.emulator.faults.add(Drop(after_effect=True), method="PATCH")
        front.emulator.faults.add(Drop(after_effect=True), method="POST")
        ended = await front.run(operation)
        assert (type(ended) is AmbiguousOutcomeError) == (operation is CONFIG)
        assert front.effects(operation) == 1
        assert (await front.seen())[0].upstream == "502"


async def test_row14_connections_that_serve_five_requests_each_lose_none(
    transport: TransportKind, tmp_path: Path
) -> None:
    server = "keepalive_requests 5;" + PASS
    async with open_front(transport, tmp_path, server=server, retry=ONCE) as front:
        for _ in range(100):
            await front.client.execute(CONFIG)
            assert front.ended.attempts == ()
        lines = await front.seen()
        assert front.effects(CONFIG) == len(lines) == 100
        assert len({line.connection for line in lines}) == 20


async def test_row14_many_at_once_on_connections_that_end_lose_none(
    transport: TransportKind, tmp_path: Path
) -> None:
    server = "keepalive_requests 3;" + PASS
    operations = [GenerateConfig(device_id=uuid(n % 20), protocol="MQTT") for n in range(200)]
    async with open_front(transport, tmp_path, server=server, devices=20, retry=ONCE) as front:
        await asyncio.gather(*(front.client.execute(each) for each in operations))
        lines = await front.seen()
        assert front.world.count("generate_config") == len(lines) == 200
        served = [line.connection for line in lines]
        assert max(served.count(each) for each in served) <= 3


async def test_row14_connections_that_end_while_idle_cause_no_false_report(
    transport: TransportKind, tmp_path: Path
) -> None:
    # nginx closes after 4 ms of idling, and the calls come at about that time: some meet the close.
    chance = random.Random(14)
    server = "keepalive_timeout 4ms;" + PASS
    async with open_front(transport, tmp_path, server=server, devices=5) as front:
        told = 0

        async def calls(number: int) -> None:
            nonlocal told
            for turn in range(20):
                await asyncio.sleep(chance.uniform(0.002, 0.007))
                if number:
                    wanted = UpdateDevice(device_id=uuid(number), name=f"Name {turn}")
                    device = await front.client.execute(wanted)
                    assert front.world.device(uuid(number)).name == device.name == wanted.name
                else:
                    with contextlib.suppress(AmbiguousOutcomeError):
                        await front.client.execute(CONFIG)
                        told += 1

        await asyncio.gather(*(calls(number) for number in range(5)))
        lines = await front.seen()
        assert len({line.connection for line in lines}) > 5
        configs = sum(line.path.endswith("/generate_config") for line in lines)
        assert told <= front.effects(CONFIG) <= configs <= 20


@each("operation", ALL)
async def test_a_server_that_comes_back_is_called_again(
    transport: TransportKind, operation: Operation[Any], tmp_path: Path
) -> None:
    async with open_front(transport, tmp_path, server=PASS, retry=ONCE) as front:
        await front.client.execute(GET)
        await front.nginx.stop()
        error = await front.run(operation)
        assert isinstance(error, EnapterError)
        # The pooled connection was seen to be closed, and a new one was refused.
        assert not isinstance(error, AmbiguousOutcomeError)
        assert await front.nginx.start()
        assert not isinstance(await front.run(operation), EnapterError)
        assert front.effects(operation) == (0 if operation is GET else 1)
        assert len(await front.seen()) == 2


# TLS


@pytest.fixture
def secured(certificates: Certificates) -> dict[str, Any]:
    """Return the files that nginx, and a client that trusts it, need."""
    return {"certificate": certificates.issue(), "ssl_context": certificates.trusting()}


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@each("operation", ALL)
async def test_tls_of_either_version_works_and_is_kept_alive(
    transport: TransportKind,
    operation: Operation[Any],
    version: str,
    secured: dict[str, Any],
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {
        "server": f"ssl_protocols {version};{PASS}",
        **secured,
        "retry": ONCE,
    }
    async with open_front(transport, tmp_path, **options) as front:
        for _ in range(3):
            # nginx sends the session tickets of TLS 1.3 unasked; they do not make a connection
            # stale.
            await front.client.execute(GET)
        assert not isinstance(await front.run(operation), EnapterError)
        assert front.ended.attempts == ()
        assert len({line.connection for line in await front.seen()}) == 1


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_row14_secured_connections_that_end_lose_none(
    transport: TransportKind,
    version: str,
    secured: dict[str, Any],
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {
        "server": f"ssl_protocols {version}; keepalive_requests 5;{PASS}",
        **secured,
        "retry": ONCE,
    }
    async with open_front(transport, tmp_path, **options) as front:
        for _ in range(40):
            await front.client.execute(CONFIG)
        lines = await front.seen()
        assert front.effects(CONFIG) == len(lines) == 40
        assert len({line.connection for line in lines}) == 8


@pytest.mark.parametrize(
    "issued",
    [{"authority": "other"}, {"names": "DNS:elsewhere.example.test"}, {"days": -1}],
    ids=["row05-untrusted", "row05-wrong-name", "row05-expired"],
)
@each("operation", {"get": GET, "config": CONFIG})
async def test_a_bad_certificate_is_refused(
    transport: TransportKind,
    operation: Operation[Any],
    issued: dict[str, Any],
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {
        "server": PASS,
        "certificate": certificates.issue(**issued),
        "ssl_context": certificates.trusting(),
    }
    async with open_front(transport, tmp_path, **options) as front:
        error = await front.run(operation)
        assert type(error) is TLSError
        assert len(error.attempts) == 1
        assert await front.seen() == []


@each("operation", WRITES)
async def test_a_server_that_requires_a_client_certificate_refuses(
    transport: TransportKind,
    operation: Operation[Any],
    secured: dict[str, Any],
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    authority = certificates.folder / "ca.pem"
    options: dict[str, Any] = {
        "server": f'ssl_verify_client on; ssl_client_certificate "{authority}";{PASS}',
        **secured,
    }
    async with open_front(transport, tmp_path, **options) as front:
        error = await front.run(operation)
        assert isinstance(error, APIError)
        assert error.status == 400
        assert front.world.log.count_arrivals() == 0


@each("operation", WRITES)
async def test_plaintext_on_the_tls_port_is_refused(
    transport: TransportKind, operation: Operation[Any], secured: dict[str, Any], tmp_path: Path
) -> None:
    async with open_front(transport, tmp_path, server=PASS, plain=True, **secured) as front:
        error = await front.run(operation)
        assert isinstance(error, APIError)
        assert (error.status, error.from_api) == (400, False)
        assert front.world.log.count_arrivals() == 0


@each("operation", SETTING)
async def test_row06_tls_on_the_plaintext_port_is_not_sent(
    transport: TransportKind, operation: Operation[Any], certificates: Certificates, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"server": PASS, "ssl_context": certificates.trusting()}
    async with open_front(transport, tmp_path, plain=False, **options) as front:
        error = await front.run(operation)
        assert type(error) is TLSError
        assert len(error.attempts) == 3
        assert front.world.log.count_arrivals() == 0
