import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.catalog import CONTENDERS, VARIANTS, Contender
from benchmarks.grid import CellError, CellTimeoutError, Effort, run_worker, worker_command
from benchmarks.server import Server, answer_template, find_nginx, nginx_configuration, serving

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
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        for number in range(3):
            connection.request("PATCH", f"/v3/devices/dev-{number}", body='{"name":"x"}')
            response = connection.getresponse()
            assert response.status == 200
            assert response.getheader("Content-Type") == "application/json"
            assert json.loads(response.read())["device"]["id"] == f"dev-{number}"
        connection.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=10)


def test_the_raw_server_takes_requests_in_pieces_and_in_rows(server: Server) -> None:
    host, port = server.base_url.removeprefix("http://").split(":")
    one = b"PATCH /v3/devices/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
    both = one % b"dev-1" + one % b"dev-2"
    with socket.create_connection((host, int(port)), timeout=10) as peer:
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


@pytest.mark.parametrize("contender", [*CONTENDERS, *VARIANTS], ids=lambda one: one.name)
def test_every_contender_makes_its_calls(server: Server, contender: Contender) -> None:
    if missing := contender.missing():
        pytest.skip(f"{missing} not installed")
    effort = Effort(limit=24, warm_up=8, seconds=30)
    command = worker_command(contender, 4, effort, server.base_url)
    figures = run_worker(command, cores=None, timeout=45)
    assert figures["requests"] == 24
    assert figures["requests_per_second"] == pytest.approx(24 / figures["seconds"])
    assert figures["cpu_us_per_request"] > 0


def test_a_contender_that_fails_is_told(server: Server) -> None:
    broken = Contender(name="broken", what="x", driver="this_sdk", way="sideways")
    command = worker_command(broken, 4, Effort(limit=4), server.base_url)
    with pytest.raises(CellError, match="way is 'sideways'"):
        run_worker(command, cores=None, timeout=45)


def test_a_contender_that_hangs_is_ended(server: Server) -> None:
    command = worker_command(CONTENDERS[0], 4, Effort(seconds=3600), server.base_url)
    with pytest.raises(CellTimeoutError):
        run_worker(command, cores=None, timeout=0.1)
