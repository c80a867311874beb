"""How well a fleet job finds its pace: against a rate limit, and over a long way.

    python -m benchmarks.pacing                     # about six minutes
    python -m benchmarks.pacing --operations 1000 --far 5000     # about two

Against 50 requests a second (429 with Retry-After, without, and as nginx says it): at most
1.1 requests for each success, and 1.2 of the ideal time (1.15 is the goal). At 100 ms of
latency: at least 0.9 of the throughput of the best fixed concurrency not above the job's.
The servers are processes of their own. Exit code 0: within the bounds. 1: not.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.drivers import NAME, TOKEN
from benchmarks.figures import Verdict, spread
from benchmarks.parts import begin, command_line, finish
from benchmarks.report import Section, Table
from benchmarks.server import ROOT, find_nginx, free_port
from enapter_async import Client, UpdateDevice, fleet
from enapter_async.hooks import AttemptFailed, CallEnded, Event

RATE: Final = 50.0
BURST: Final = 10
MOST_REQUESTS: Final = 1.1
MOST_TIME: Final = 1.2
LATENCY: Final = 0.1
CONCURRENCY: Final = 64
FIXED: Final = (16, 32, 64)
LEAST_SHARE: Final = 0.9
OPERATIONS: Final = 3_000
FAR: Final = 20_000


@attrs.frozen(kw_only=True)
class Cell:
    """One measurement. `requests` counts every attempt; `seconds` is the job's whole time."""

    name: str
    operations: int
    applied: int
    requests: int
    refused: int
    seconds: float


class Count:
    """A hook that counts attempts, and those that were answered 429."""

    def __init__(self) -> None:
        self.ended = 0
        self.failed = 0
        self.refused = 0

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, AttemptFailed):
            self.failed += 1
            self.refused += event.attempt.status == 429
        elif isinstance(event, CallEnded):
            self.ended += event.error is None


def operations(count: int) -> list[UpdateDevice]:
    """Return updates of so many devices."""
    ids = (str(uuid.UUID(int=number, version=4)) for number in range(1, count + 1))
    return [UpdateDevice(device_id=each, name=NAME) for each in ids]


async def job(name: str, base_url: str, count: int) -> Cell:
    """Measure a fleet job as it comes, without any setting."""
    told = Count()
    async with Client(TOKEN, base_url=base_url, hooks=[told]) as client:
        began = time.monotonic()
        report = await fleet.apply(client, operations(count), concurrency=CONCURRENCY)
        seconds = time.monotonic() - began
    return Cell(
        name=name,
        operations=count,
        applied=report.counts[fleet.State.APPLIED],
        requests=told.ended + told.failed,
        refused=told.refused,
        seconds=seconds,
    )


async def fixed(base_url: str, count: int, concurrency: int) -> Cell:
    """Measure a fixed number of workers, without a fleet job."""
    waiting = iter(operations(count))

    async def work(client: Client) -> None:
        for each in waiting:
            await client.execute(each)

    async with Client(TOKEN, base_url=base_url) as client:
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(concurrency):
                tasks.create_task(work(client))
        seconds = time.monotonic() - began
    return Cell(
        name=f"fixed at {concurrency}",
        operations=count,
        applied=count,
        requests=count,
        refused=0,
        seconds=seconds,
    )


@contextlib.contextmanager
def limited(*arguments: str) -> Iterator[str]:
    """Run a server with a limit, and give where it is."""
    command = [sys.executable, "-m", "benchmarks.limited_server", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextlib.contextmanager
def nginx_before(upstream: str) -> Iterator[str]:
    """Run nginx with `limit_req` before a server: its 429 is HTML without Retry-After."""
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
    limit_req_zone $binary_remote_addr zone=all:1m rate={RATE:g}r/s;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            limit_req zone=all burst={BURST} nodelay;
            limit_req_status 429;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass {upstream};
        }}
    }}
}}
"""


def against_a_rate(count: int) -> list[Cell]:
    """Measure jobs against servers that allow 50 requests a second."""
    rate = ("--rate", str(RATE), "--burst", str(BURST))
    cells = []
    with limited(*rate, "--retry-after", "1") as base_url:
        cells.append(asyncio.run(job("429 with Retry-After: 1", base_url, count)))
    with limited(*rate) as base_url:
        cells.append(asyncio.run(job("429 without Retry-After", base_url, count)))
    if find_nginx() is None:
        print("nginx is not installed, and left out", file=sys.stderr)
        return cells
    with limited() as upstream, nginx_before(upstream) as base_url:
        cells.append(asyncio.run(job("429 as nginx says it", base_url, count)))
    return cells


def over_a_long_way(count: int) -> tuple[Cell, list[Cell]]:
    """Measure a job, and fixed numbers of workers, at 100 ms of latency."""
    with limited("--latency", str(LATENCY)) as base_url:
        paced = asyncio.run(job("paced", base_url, count))
        # Fewer operations for fewer workers, so that each takes as long.
        others = [asyncio.run(fixed(base_url, count * each // CONCURRENCY, each)) for each in FIXED]
    return paced, others


def section(rated: Sequence[Cell], paced: Cell, others: Sequence[Cell]) -> Section:
    """Sum up, and judge."""
    verdicts, rows, failures = [], [], []
    for cell in rated:
        share, over = cell.requests / max(1, cell.applied), cell.seconds / ideal(cell)
        rows.append(
            (cell.name, f"{cell.applied:,}", f"{share:.3f}", str(cell.refused), f"{over:.3f}")
        )
        verdicts += [
            _at_most(f"requests for each success, {cell.name}", share, MOST_REQUESTS),
            _at_most(f"time against the ideal, {cell.name}", over, MOST_TIME),
        ]
    speeds = {cell.name: cell.operations / cell.seconds for cell in (paced, *others)}
    best = max(speeds[cell.name] for cell in others)
    verdicts.append(
        Verdict(
            what=f"a job at {LATENCY * 1000:.0f} ms / the best fixed concurrency",
            found=spread([speeds["paced"] / best]),
            bound=LEAST_SHARE,
        )
    )
    failures = [
        f"{cell.name}: only {cell.applied} of {cell.operations} were applied"
        for cell in (*rated, paced)
        if cell.applied != cell.operations
    ]
    return Section(
        name="pacing",
        title="How a job finds its pace",
        lead=(
            f"`fleet.apply` without any setting, against {RATE:g} requests a second with "
            f"{BURST} saved up, and at {LATENCY * 1000:.0f} ms of latency."
        ),
        tables=(
            Table(
                title=f"{rated[0].operations:,} operations against a rate limit",
                headings=(
                    *("server", "applied", "requests for each", "refused", "of the ideal time"),
                ),
                rows=tuple(rows),
            ),
            Table(
                title=f"{paced.operations:,} operations at {LATENCY * 1000:.0f} ms",
                headings=("concurrency", "a second"),
                rows=tuple((name, f"{speed:,.0f}") for name, speed in speeds.items()),
            ),
        ),
        verdicts=tuple(verdicts),
        failures=tuple(failures),
        data={
            "rate": RATE,
            "burst": BURST,
            "latency": LATENCY,
            "cells": [attrs.asdict(cell) for cell in (*rated, paced, *others)],
        },
    )


def ideal(cell: Cell) -> float:
    """Return the seconds that nobody can undercut: the burst at once, the rest at the rate."""
    return (cell.operations - BURST) / RATE


def _at_most(what: str, value: float, bound: float) -> Verdict:
    return Verdict(what=what, found=spread([value]), bound=bound, at_most=True)


def run(*, operations: int = OPERATIONS, far: int = FAR) -> Section:
    """Measure and sum up."""
    return section(against_a_rate(operations), *over_a_long_way(far))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and give the exit code."""
    parser = command_line("pacing", __doc__)
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="against the rate limit")
    parser.add_argument("--far", type=int, default=FAR, help="operations at 100 ms of latency")
    options = parser.parse_args(arguments)
    return finish(run(operations=options.operations, far=options.far), options)


if __name__ == "__main__":
    begin(main)
