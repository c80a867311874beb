import http.client
import importlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import authority, worker
from benchmarks.authority import Certificate
from benchmarks.catalog import CONTENDERS, LINKS, NAMES, Contender, Link
from benchmarks.grid import CellError, CellTimeoutError, Effort, run_worker, worker_command
from benchmarks.server import Server, answer_template, find_nginx, nginx_configuration, serving
from enapter_async.errors import TLSError

EXAMPLE = {
    "device": {
        "id": "devicea0-45f2-4e9e-a6f0-69a310ab110b",
        "blueprint_id": "bluepri1-50n3-4t9d-e6v0-69i310cb110e",
        "name": "Hydrogen detector",
        "site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
        "updated_at": "2025-01-01T00:00:00Z",
        "slug": "gas-detector-in-living-room",
        "type": "LUA",
        "authorized_role": "INSTALLER",
    }
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("raw") as raw:
        yield raw


def test_the_answer_is_the_pages_example() -> None:
    assert json.loads(answer_template("devicea0-45f2-4e9e-a6f0-69a310ab110b")) == EXAMPLE


def test_nginx_keeps_to_loopback_and_to_its_folder() -> None:
    text = nginx_configuration(Path("/tmp/x y"), 18_999, ("proxy", "scgi"))  # noqa: S108 - only a name
    assert "listen 127.0.0.1:18999 " in text
    assert text.count("listen ") == 1
    assert '    client_body_temp_path "/tmp/x y/client_body";\n' in text
    assert '    proxy_temp_path "/tmp/x y/proxy";\n    scgi_temp_path "/tmp/x y/scgi";\n' in text
    assert "fastcgi" not in text
    assert "uwsgi" not in text
    assert f"return 200 '{answer_template('$id')}';" in text
    assert text.count("{") - text.count("}") == 0


@pytest.mark.parametrize("kind", ["raw", "nginx"])
def test_a_server_answers_on_one_connection_with_the_asked_id(kind: str) -> None:
    if kind == "nginx" and find_nginx() is None:
        pytest.skip("nginx is not installed")
    with serving(kind) as running:
        host, port = running.base_url.removeprefix("http://").split(":")
        assert host == "127.0.0.1"
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        for number in range(3):
            connection.request("PATCH", f"/v3/devices/dev-{number}", body='{"name":"x"}')
            response = connection.getresponse()
            assert response.status == 200
            assert response.getheader("Content-Type") == "application/json"
            assert json.loads(response.read())["device"]["id"] == f"dev-{number}"
        connection.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=30)


def test_the_raw_server_takes_requests_in_pieces_and_in_rows(server: Server) -> None:
    host, port = server.base_url.removeprefix("http://").split(":")
    one = b"PATCH /v3/devices/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
    both = one % b"dev-1" + one % b"dev-2"
    with socket.create_connection((host, int(port)), timeout=30) as peer:
        answers = b""
        for piece in (both[:20], both[20:70], both[70:]):
            peer.sendall(piece)
        while answers.count(b"}}") < 2:
            answers += peer.recv(65_536)
        assert answers.index(b'"dev-1"') < answers.index(b'"dev-2"')
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
        peer.sendall(b"GET /else HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.recv(65_536).startswith(b"HTTP/1.1 400 ")
        assert peer.recv(1) == b""


DRIVEN = [one for one in CONTENDERS if one.driver]
BRIEF = Effort(limit=24, warm_up=8, seconds=30)


async def measured(name: str, server: Server, *without: str) -> dict[str, Any]:
    """Measure a contender as its process would, but in this one, with part of its command."""
    contender = NAMES[name]
    if missing := contender.missing():
        pytest.skip(f"{missing[0]} not installed")
    command = worker_command(contender, 4, BRIEF, server)
    arguments = command[command.index("benchmarks.worker") + 1 :]
    options = worker.parse([each for each in arguments if each not in without])
    driver = importlib.import_module(f"benchmarks.drivers.{options.driver}")
    return await worker.measure(driver, options)


@pytest.mark.parametrize("name", [one.name for one in DRIVEN])
async def test_every_contender_makes_its_calls(server: Server, name: str) -> None:
    figures = await measured(name, server)
    assert figures["requests"] == 24
    assert figures["requests_per_second"] == pytest.approx(24 / figures["seconds"])
    assert figures["cpu_us_per_request"] > 0


@pytest.mark.parametrize("name", ["aiohttp", "sdk-fleet-journal+orjson+uvloop"])
def test_a_process_measures_one_contender(server: Server, name: str) -> None:
    """With and without the extras; the smoke run of CI starts one for each that it compares."""
    if missing := NAMES[name].missing():
        pytest.skip(f"{missing[0]} not installed")
    command = worker_command(NAMES[name], 4, BRIEF, server)
    assert run_worker(command, cores=None, timeout=45)["requests"] == 24


def test_a_failing_contender_is_reported(server: Server) -> None:
    broken = Contender(name="broken", what="x", driver="this_sdk", way="sideways")
    command = worker_command(broken, 4, Effort(limit=4), server)
    with pytest.raises(CellError, match="way is 'sideways'"):
        run_worker(command, cores=None, timeout=45)


def test_a_contender_that_hangs_is_ended(server: Server) -> None:
    command = worker_command(CONTENDERS[0], 4, Effort(seconds=3600), server)
    with pytest.raises(CellTimeoutError):
        run_worker(command, cores=None, timeout=0.1)


def test_wrk_requests_a_different_device_each_time(server: Server) -> None:
    if NAMES["wrk"].missing():
        pytest.skip("wrk is not installed")
    command = worker_command(NAMES["wrk"], 4, Effort(seconds=1), server)
    figures = run_worker(command, cores=None, timeout=45)
    assert figures["requests"] > 0
    assert figures["requests_per_second"] == pytest.approx(figures["requests"] / figures["seconds"])


@pytest.fixture(scope="module")
def secured() -> Iterator[Server]:
    if not authority.available():
        pytest.skip("the openssl command is missing")
    with serving("raw", link=Link(name="TLS", tls=True)) as running:
        yield running


@pytest.mark.parametrize("name", ["sdk", "sdk-session"])
async def test_this_sdk_trusts_the_authority_of_the_run(secured: Server, name: str) -> None:
    assert (await measured(name, secured))["requests"] == 24
    with pytest.raises(ExceptionGroup) as refused:
        await measured(name, secured, "--ca", str(secured.ca))
    assert {type(each) for each in refused.value.exceptions} == {TLSError}


@pytest.mark.parametrize("name", ["aiohttp", "official", "httpx"])
def test_others_trust_the_authority_of_the_run(secured: Server, name: str) -> None:
    """In processes, because a failed handshake leaves some of them with an open socket."""
    if missing := NAMES[name].missing():
        pytest.skip(f"{missing[0]} not installed")
    command = worker_command(NAMES[name], 4, BRIEF, secured)
    assert run_worker(command, cores=None, timeout=45)["requests"] == 24
    untrusted = [part for part in command if part not in ("--ca", str(secured.ca))]
    with pytest.raises(CellError, match="certificate"):
        run_worker(untrusted, cores=None, timeout=45)


def test_a_latency_is_on_every_answer_and_carries_all_at_once() -> None:
    link = LINKS[-1]
    effort = Effort(limit=64, seconds=0.01)
    with serving(link=link) as far:
        figures = run_worker(worker_command(NAMES["sdk"], 32, effort, far), cores=None, timeout=45)
    assert figures["requests"] == 64
    # Two turns of 32 each; one at a time there would be 64.
    assert 2 * link.latency <= figures["seconds"] < 64 * link.latency


def test_nginx_speaks_tls_too() -> None:
    if find_nginx() is None or not authority.available():
        pytest.skip("nginx or the openssl command is missing")
    with serving("nginx", link=LINKS[1]) as running:
        command = worker_command(NAMES["sdk"], 4, Effort(limit=24, warm_up=8), running)
        assert run_worker(command, cores=None, timeout=45)["requests"] == 24


def test_nginx_serves_https_with_the_certificate() -> None:
    files = Certificate(certificate=Path("/c.pem"), key=Path("/k.pem"), authority=Path("/a.pem"))
    text = nginx_configuration(Path("/x"), 18_999, (), files)
    assert "listen 127.0.0.1:18999 backlog=4096 ssl;" in text
    assert 'ssl_certificate "/c.pem";' in text
    assert 'ssl_certificate_key "/k.pem";' in text
    assert "ssl" not in nginx_configuration(Path("/x"), 18_999, ())
