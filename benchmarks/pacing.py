"""How well a fleet job finds its pace over a link with high latency.

    python -m benchmarks.pacing                     # about four minutes
    python -m benchmarks.pacing --operations 5000   # about one

At 100 ms of latency: at least 0.9 of the throughput of the best fixed concurrency, up to the job's
own. The server is a separate process. `python -m benchmarks.limits` measures servers that limit.
Exit code 0: within the bound. 1: not.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import attrs

from benchmarks.drivers import NAME, TOKEN
from benchmarks.figures import Verdict, spread
from benchmarks.limits.sockets import limited
from benchmarks.parts import begin, command_line, finish
from benchmarks.report import Section, Table
from benchmarks.worker import DeviceIds
from enapter_async import Client, UpdateDevice, fleet

LATENCY: Final = 0.1
CONCURRENCY: Final = 64
FIXED: Final = (16, 32, 64)
LEAST_SHARE: Final = 0.9
OPERATIONS: Final = 20_000


@attrs.frozen(kw_only=True)
class Cell:
    """One measurement; `seconds` is the total time."""

    name: str
    operations: int
    applied: int
    seconds: float


def operations(count: int) -> list[UpdateDevice]:
    """Return that many updates."""
    return [UpdateDevice(device_id=each, name=NAME) for each in DeviceIds(first=0, limit=count)]


async def job(base_url: str, count: int) -> Cell:
    """Measure a fleet job with the default settings."""
    async with Client(TOKEN, base_url=base_url) as client:
        began = time.monotonic()
        report = await fleet.apply(client, operations(count), concurrency=CONCURRENCY)
        seconds = time.monotonic() - began
    return Cell(
        name="paced",
        operations=count,
        applied=report.counts[fleet.State.APPLIED],
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
    return Cell(name=f"fixed at {concurrency}", operations=count, applied=count, seconds=seconds)


def over_a_long_way(count: int) -> tuple[Cell, list[Cell]]:
    """Measure a job, and fixed numbers of workers, at 100 ms of latency."""
    with limited("--latency", str(LATENCY)) as base_url:
        paced = asyncio.run(job(base_url, count))
        # Fewer operations for fewer workers, so that each run takes equally long.
        others = [asyncio.run(fixed(base_url, count * each // CONCURRENCY, each)) for each in FIXED]
    return paced, others


def section(paced: Cell, others: Sequence[Cell]) -> Section:
    """Summarize, and judge."""
    speeds = {cell.name: cell.operations / cell.seconds for cell in (paced, *others)}
    best = max(speeds[cell.name] for cell in others)
    failures = []
    if paced.applied != paced.operations:
        failures.append(f"only {paced.applied} of {paced.operations} were applied")
    return Section(
        name="pacing",
        title="How a job finds its pace",
        lead=f"`fleet.apply` without any setting, at {LATENCY * 1000:.0f} ms of latency.",
        tables=(
            Table(
                title=f"{paced.operations:,} operations at {LATENCY * 1000:.0f} ms",
                headings=("concurrency", "a second"),
                rows=tuple((name, f"{speed:,.0f}") for name, speed in speeds.items()),
            ),
        ),
        verdicts=(
            Verdict(
                what=f"a job at {LATENCY * 1000:.0f} ms / the best fixed concurrency",
                found=spread([speeds["paced"] / best]),
                bound=LEAST_SHARE,
            ),
        ),
        failures=tuple(failures),
        data={"latency": LATENCY, "cells": [attrs.asdict(cell) for cell in (paced, *others)]},
    )


def run(*, operations: int = OPERATIONS) -> Section:
    """Measure and summarize."""
    return section(*over_a_long_way(operations))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("pacing", __doc__)
    parser.add_argument("--operations", type=int, default=OPERATIONS)
    options = parser.parse_args(arguments)
    return finish(run(operations=options.operations), options)


if __name__ == "__main__":
    begin(main)
