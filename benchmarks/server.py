"""The server that contenders are measured against: nginx if installed, otherwise a raw one."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

import attrs

from benchmarks.authority import Certificate, issue
from benchmarks.catalog import PLAIN, Link
from benchmarks.machine import children_on

ROOT: Final = Path(__file__).resolve().parent.parent

_DEVICE: Final = {
    "blueprint_id": "bluepri1-50n3-4t9d-e6v0-69i310cb110e",
    "name": "Hydrogen detector",
    "site_id": "sitebba0-79f2-4e9e-a6f0-69a310ab110b",
    # The page's 1735689600, as live servers write it: the official SDK reads no other form.
    "updated_at": "2025-01-01T00:00:00Z",
    "slug": "gas-detector-in-living-room",
    "type": "LUA",
    "authorized_role": "INSTALLER",
}
_CHECKED_ID: Final = "5eba0000-45f2-4e9e-a6f0-ffffffffffff"
_START_SECONDS: Final = 10.0
_VERSION: Final = re.compile(r"nginx/[\w.]+")
_OPTIONAL_MODULES: Final = ("proxy", "fastcgi", "uwsgi", "scgi")


@attrs.frozen(kw_only=True)
class Server:
    """A running server. `kind` describes it in words; `ca` is the authority to trust, for https."""

    kind: str
    base_url: str
    ca: Path | None = None


class ServerStartError(Exception):
    """The server did not start; the message holds its output."""


def answer_template(device_id: str) -> str:
    """Return the API page's example device with that id, as JSON in its envelope."""
    return json.dumps({"device": {"id": device_id, **_DEVICE}}, separators=(",", ":"))


def nginx_configuration(
    prefix: Path, port: int, modules: tuple[str, ...], certificate: Certificate | None = None
) -> str:
    """Return an nginx configuration that stays within its own folder and answers at once.

    `modules` are the optional modules that were built in: each needs a folder.
    """
    folders = "\n".join(
        f'    {module}_temp_path "{prefix / module}";' for module in ("client_body", *modules)
    )
    secured, files = "", ""
    if certificate is not None:
        secured = " ssl"
        files = (
            f'        ssl_certificate "{certificate.certificate}";\n'
            f'        ssl_certificate_key "{certificate.key}";\n'
        )
    return f"""\
daemon off;
master_process off;
worker_processes 1;
pid "{prefix / "nginx.pid"}";
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
{folders}
    server {{
        listen 127.0.0.1:{port} backlog=4096{secured};
{files}\
        location ~ ^/v3/devices/(?<id>[^/]+)$ {{
            default_type application/json;
            return 200 '{answer_template("$id")}';
        }}
    }}
}}
"""


@contextmanager
def serving(kind: str = "auto", *, core: int | None = None, link: Link = PLAIN) -> Iterator[Server]:
    """Run a server on 127.0.0.1 and end it.

    `kind` is nginx, raw, or auto, which uses nginx if it is installed and starts. A link with
    latency has its own server, because nginx cannot delay answers.
    """
    with contextlib.ExitStack() as stack:
        certificate = None
        if link.tls:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="enapter-benchmarks-"))
            certificate = issue(Path(folder))
        if link.latency or kind == "raw" or (kind == "auto" and find_nginx() is None):
            yield stack.enter_context(_raw(core, certificate, link.latency))
            return
        try:
            server = stack.enter_context(_nginx(core, certificate))
        except ServerStartError as error:
            if kind == "nginx":
                raise
            print(f"nginx did not start, so the raw server serves: {error}", file=sys.stderr)
            server = stack.enter_context(_raw(core, certificate, 0.0))
        yield server


def find_nginx() -> str | None:
    """Find nginx, even if only administrators have it on their path."""
    places = (os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin")
    return shutil.which("nginx", path=os.pathsep.join(places))


@contextmanager
def _nginx(core: int | None, certificate: Certificate | None) -> Iterator[Server]:
    program = find_nginx()
    if program is None:
        raise ServerStartError("it is not installed")
    built = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=10)
    modules = tuple(
        name for name in _OPTIONAL_MODULES if f"--without-http_{name}_module" not in built.stderr
    )
    version = _VERSION.search(built.stderr)
    with tempfile.TemporaryDirectory(prefix="enapter-benchmarks-") as folder:
        prefix, port = Path(folder), free_port()
        configuration = prefix / "nginx.conf"
        configuration.write_text(nginx_configuration(prefix, port, modules, certificate), "utf-8")
        with (
            (prefix / "said").open("w+b") as said,
            _process([program, "-p", folder, "-c", str(configuration)], core, said) as process,
        ):
            _wait_until_it_answers(process, port, said, certificate)
            yield _server(version[0] if version else "nginx", port, certificate)


@contextmanager
def _raw(core: int | None, certificate: Certificate | None, latency: float) -> Iterator[Server]:
    uvloop = find_spec("uvloop") is not None
    module = "benchmarks.limited_server" if latency else "benchmarks.raw_server"
    command = [
        *(sys.executable, "-m", module),
        *(("--latency", str(latency)) if latency else ()),
        *(("--uvloop",) if uvloop else ()),
    ]
    if certificate is not None:
        command += ["--certificate", str(certificate.certificate), "--key", str(certificate.key)]
    with (
        tempfile.TemporaryFile() as said,
        _process(command, core, said, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - it was asked for
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise ServerStartError(f"the raw server did not start: {_read(said)}")
        port = int(line)
        _wait_until_it_answers(process, port, said, certificate)
        why = f", which answers {latency * 1000:g} ms late" if latency else " (nginx not used)"
        kind = f"a raw asyncio protocol{' on uvloop' if uvloop else ''}{why}"
        yield _server(kind, port, certificate)


def _server(kind: str, port: int, certificate: Certificate | None) -> Server:
    if certificate is None:
        return Server(kind=kind, base_url=f"http://127.0.0.1:{port}")
    return Server(kind=kind, base_url=f"https://127.0.0.1:{port}", ca=certificate.authority)


@contextmanager
def _process(
    command: list[str], core: int | None, said: IO[bytes], *, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    with children_on(core):
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stdout, stderr=said
        )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_it_answers(
    process: subprocess.Popen[bytes],
    port: int,
    said: IO[bytes],
    certificate: Certificate | None,
) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            answered = _ask(port, certificate)
        except OSError:
            time.sleep(0.02)
            continue
        if answered != answer_template(_CHECKED_ID):
            raise ServerStartError(f"port {port} answers otherwise than our server does")
        return
    raise ServerStartError(_read(said) or f"no answer within {_START_SECONDS:.0f} s")


def _ask(port: int, certificate: Certificate | None) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    if certificate is not None:
        trusting = ssl.create_default_context(cafile=certificate.authority)
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=trusting)
    with contextlib.closing(connection):
        connection.request("PATCH", f"/v3/devices/{_CHECKED_ID}", body='{"name":"x"}')
        return connection.getresponse().read().decode("utf-8", "replace")


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _read(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read(4096).decode("utf-8", "replace").strip()
