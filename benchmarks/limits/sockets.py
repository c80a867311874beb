"""Three of the rows, and nginx's own limit, over a real socket in real time."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from benchmarks.drivers import NAME, TOKEN, bare_aiohttp
from benchmarks.limits.rows import WORKERS
from benchmarks.limits.world import LATENCY
from benchmarks.parts import tell
from benchmarks.server import ROOT, find_nginx, free_port
from benchmarks.worker import DeviceIds
from enapter_async import Client, UpdateDevice, fleet
from enapter_async.hooks import AttemptFailed, CallEnded, Event

COUNT: Final = 1_000
ROUNDS: Final = 5
SHARES: Final = {0.0: (1.05, 1.0), 0.01: (1.3, 1 / 0.99 + 0.01), 0.02: (1.3, 1 / 0.98 + 0.01)}
"""For each share of random 429s, the bounds of time and requests."""
NGINX_RATE: Final = 50
NGINX_BURST: Final = 10
NGINX_BOUNDS: Final = (1.1, 1.1)
NGINX: Final = f"nginx, limit_req {NGINX_RATE}/s, {NGINX_BURST} saved up"


@attrs.frozen(kw_only=True)
class Job:
    """One job over a socket. `requests` is the number per success."""

    row: str
    ideal: float
    seconds: float
    requests: float
    time_bound: float
    requests_bound: float


class Count:
    """A hook that counts attempts."""

    def __init__(self) -> None:
        self.attempts = 0

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, AttemptFailed):
            self.attempts += 1
        elif isinstance(event, CallEnded):
            self.attempts += event.error is None


async def bare(base_url: str, count: int) -> float:
    """Return the seconds that bare aiohttp takes without a limit."""
    async with bare_aiohttp.opened(base_url, concurrency=WORKERS, way="") as load:
        began = time.monotonic()
        await load(DeviceIds(first=0, limit=count))
        return time.monotonic() - began


async def job(base_url: str, count: int) -> tuple[float, float]:
    """Return the seconds of a default fleet job, and its requests per success."""
    told = Count()
    operations = [
        UpdateDevice(device_id=each, name=NAME) for each in DeviceIds(first=0, limit=count)
    ]
    async with Client(TOKEN, base_url=base_url, hooks=[told]) as client:
        began = time.monotonic()
        report = await fleet.apply(client, operations, concurrency=WORKERS, abort=None)
        seconds = time.monotonic() - began
    if report.counts[fleet.State.APPLIED] != count:
        raise RuntimeError(f"of {count} operations it says {dict(report.counts)}")
    return seconds, told.attempts / count


@contextlib.contextmanager
def limited(*arguments: str) -> Iterator[str]:
    """Run a server with a limit, and yield its address."""
    command = [sys.executable, "-m", "benchmarks.limited_server", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def by_chance(*, count: int = COUNT, rounds: int = ROUNDS) -> list[Job]:
    """Measure a share of random 429s, at 20 ms.

    The ideal is bare aiohttp's time in the same round, and the start as in `rows.unlimited`.
    """
    found = []
    for number in range(rounds):
        for share, (time_bound, requests_bound) in SHARES.items():
            seed = ("--seed", str(number + 1), "--latency", str(LATENCY))
            with limited(*seed) as base_url:
                free = asyncio.run(bare(base_url, count))
            with limited(*seed, "--share", str(share)) as base_url:
                seconds, requests = asyncio.run(job(base_url, count))
            found.append(
                Job(
                    row=f"{share:.0%} of 429 at random",
                    ideal=free / (1.0 - share) + 4 * LATENCY,
                    seconds=seconds,
                    requests=requests,
                    time_bound=time_bound,
                    requests_bound=requests_bound,
                )
            )
    return found


def against_nginx(*, count: int = COUNT) -> list[Job]:
    """Measure nginx's `limit_req` (429 as HTML, without Retry-After); nothing without nginx."""
    if find_nginx() is None:
        return []
    with limited() as upstream, _nginx_before(upstream) as base_url:
        seconds, requests = asyncio.run(job(base_url, count))
    return [
        Job(
            row=NGINX,
            ideal=(count - NGINX_BURST) / NGINX_RATE,
            seconds=seconds,
            requests=requests,
            time_bound=NGINX_BOUNDS[0],
            requests_bound=NGINX_BOUNDS[1],
        )
    ]


def measured() -> list[Job]:
    """Measure all of them."""
    tell("over a real socket")
    return [*by_chance(), *against_nginx()]


@contextlib.contextmanager
def _nginx_before(upstream: str) -> Iterator[str]:
    program = find_nginx()
    if program is None:
        raise FileNotFoundError("nginx is not installed")
    with tempfile.TemporaryDirectory(prefix="enapter-benchmarks-") as folder:
        port = free_port()
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(_configuration(folder, port, upstream), "utf-8")
        command = [program, "-p", folder, "-c", str(configuration)]
        with subprocess.Popen(command) as process:
            try:
                time.sleep(0.5)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def _configuration(folder: str, port: int, upstream: str) -> str:
    paths = "\n".join(
        f'    {module}_temp_path "{folder}/{module}";'
        for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
master_process off;
worker_processes 1;
pid "{folder}/nginx.pid";
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
{paths}
    limit_req_zone $binary_remote_addr zone=all:1m rate={NGINX_RATE}r/s;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            limit_req zone=all burst={NGINX_BURST} nodelay;
            limit_req_status 429;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass {upstream};
        }}
    }}
}}
"""
