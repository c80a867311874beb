"""What a journal costs: a fleet job with one and without, in turn, in one run.

    python -m benchmarks.journal                    # throughput at concurrency 64
    python -m benchmarks.journal --growth 1000 20000 100000    # memory and time an operation

Each cell is a process of its own, and the server another. Exit code 0: within the bounds
(a journal costs at most a quarter of the throughput; from the smallest to the largest
number of operations memory grows by less than 20 MiB, and time an operation by less than
a half). 1: not.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.drivers import NAME, TOKEN
from benchmarks.machine import Cores, children_on, choose_cores
from benchmarks.server import serving
from enapter_async import Client, Pacing, UpdateDevice, fleet
from enapter_async.emulator import Device, Emulator, World

LEAST_SHARE: Final = 0.75
MOST_GROWTH_MIB: Final = 20.0
MOST_SLOWING: Final = 1.5
WARM_UP: Final = 500
WAYS: Final = ("none", "journal", "known")
PATIENCE_SECONDS: Final = 600


def operations(count: int) -> Iterator[UpdateDevice]:
    """Give updates of so many devices, the same ones each time."""
    return (UpdateDevice(device_id=device_id(number), name=NAME) for number in range(1, count + 1))


def device_id(number: int) -> str:
    """Give a device's id, a UUID, so that the check of each answer's id is on."""
    return str(uuid.UUID(int=number, version=4))


async def cell(base_url: str, *, count: int, way: str, concurrency: int) -> dict[str, Any]:
    """Measure one job: `none` without a journal, `journal` streamed, `known` as a list."""
    pacing = Pacing(max_in_flight=max(Pacing().max_in_flight, concurrency))
    with tempfile.TemporaryDirectory() as folder:
        async with Client(TOKEN, base_url=base_url, pacing=pacing) as client:
            await fleet.apply(client, operations(WARM_UP), concurrency=concurrency)
            work = list(operations(count)) if way == "known" else operations(count)
            journal = None if way == "none" else Path(folder) / "journal.db"
            began, cpu = time.perf_counter(), time.process_time()
            report = await fleet.apply(client, work, concurrency=concurrency, journal=journal)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if report.counts[fleet.State.APPLIED] != count:
        raise RuntimeError(f"the fleet's report is {dict(report.counts)}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "way": way,
        "count": count,
        "per_second": count / seconds,
        "cpu_us": cpu / count * 1e6,
        "peak_mib": peak / (1024 * 1024 if sys.platform == "darwin" else 1024),
    }


def in_a_process(base_url: str, cores: Cores | None, **settings: Any) -> dict[str, Any]:
    """Measure a cell in a process of its own, on the client's core."""
    arguments = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    with children_on(cores.client if cores else None):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.journal", "--cell", base_url, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            timeout=PATIENCE_SECONDS,
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def emulated(devices: int, core: int | None) -> Iterator[str]:
    """Run the emulator, with the devices of `operations`, in another process."""
    with (
        children_on(core),
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.journal", "--emulate", str(devices)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            if process.stdout is None:
                raise RuntimeError("the emulator has no output to read")
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def emulate(devices: int) -> None:
    """Serve as the emulator until standard input ends."""
    made = (
        Device(
            id=device_id(number),
            name="Old name",
            slug=f"device-{number}",
            site_id="site",
            updated_at=datetime(2025, 1, 1, tzinfo=UTC),
        )
        for number in range(1, devices + 1)
    )
    world = World(made, keep_records=False)
    async with Emulator(world=world, token=TOKEN) as emulator:
        print(emulator.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def throughput(options: argparse.Namespace, cores: Cores | None) -> bool:
    """Measure the ways in turn, and judge the medians of their ratios within a round."""
    ratios: dict[str, list[float]] = {way: [] for way in WAYS[1:]}
    with contextlib.ExitStack() as stack:
        core = cores.server if cores else None
        if options.server == "emulator":
            base_url = stack.enter_context(emulated(max(options.count, WARM_UP), core))
        else:
            base_url = stack.enter_context(serving(options.server, core=core)).base_url
        for number in range(options.rounds):
            order = WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]
            found = {
                way: in_a_process(
                    base_url, cores, count=options.count, way=way, concurrency=options.concurrency
                )
                for way in order
            }
            for way in WAYS:
                print(
                    f"round {number + 1} {way:<8} {found[way]['per_second']:>8.0f}/s"
                    f" {found[way]['cpu_us']:>6.1f} µs CPU {found[way]['peak_mib']:>6.1f} MiB"
                )
            for way, shares in ratios.items():
                shares.append(found[way]["per_second"] / found["none"]["per_second"])
    good = True
    for way, shares in ratios.items():
        median = statistics.median(shares)
        good &= median >= LEAST_SHARE
        print(
            f"{way}: {median:.2f} of the throughput without one "
            f"({min(shares):.2f} to {max(shares):.2f}), bound {LEAST_SHARE}"
        )
    return good


def growth(options: argparse.Namespace, cores: Cores | None) -> bool:
    """Measure jobs of several sizes, and judge the largest by the smallest."""
    sizes = sorted(options.growth)
    with emulated(sizes[-1], cores.server if cores else None) as base_url:
        found = [
            in_a_process(
                base_url, cores, count=size, way="journal", concurrency=options.concurrency
            )
            for size in sizes
        ]
    for each in found:
        print(
            f"{each['count']:>8} operations: {each['peak_mib']:.1f} MiB, "
            f"{1e6 / each['per_second']:.0f} µs and {each['cpu_us']:.0f} µs CPU an operation"
        )
    grown = found[-1]["peak_mib"] - found[0]["peak_mib"]
    slowed = found[-1]["cpu_us"] / found[0]["cpu_us"]
    print(f"memory grew by {grown:.1f} MiB, CPU time an operation to {slowed:.2f} of the smallest")
    return bool(grown < MOST_GROWTH_MIB and slowed < MOST_SLOWING)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, measure, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.journal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=20_000, help="operations of a job")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", choices=("auto", "nginx", "raw", "emulator"), default="auto")
    parser.add_argument("--growth", type=int, nargs="+", metavar="COUNT")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, default="journal", help=argparse.SUPPRESS)
    parser.add_argument("--emulate", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.emulate:
        asyncio.run(emulate(options.emulate))
        return 0
    if options.cell:
        measured = cell(
            options.cell,
            count=options.count,
            way=options.way,
            concurrency=options.concurrency,
        )
        print(json.dumps(asyncio.run(measured)))
        return 0
    cores = choose_cores()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    good = growth(options, cores) if options.growth else throughput(options, cores)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
