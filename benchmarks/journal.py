"""The cost of a journal: a fleet job with and without one, in turn, in one run.

    python -m benchmarks.journal                       # against nginx: the least favourable
    python -m benchmarks.journal --server emulator     # against a server of common speed

Each job is a separate process, and so is the server. Exit code 0: a journal costs at most a quarter
of the throughput. 1: more. `benchmarks.growth` measures the cost of a job by its size.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.drivers import NAME, TOKEN
from benchmarks.figures import Verdict, spread
from benchmarks.grid import in_a_process
from benchmarks.machine import Cores, children_on, choose_cores
from benchmarks.parts import begin, command_line, finish, tell
from benchmarks.report import Section, Table
from benchmarks.server import ROOT, serving
from benchmarks.worker import peak_rss_bytes
from enapter_async import Client, Pacing, UpdateDevice, fleet
from enapter_async.emulator import Device, Emulator, World

LEAST_SHARE: Final = 0.75
COUNT: Final = 20_000
ROUNDS: Final = 5
WARM_UP: Final = 500
WAYS: Final = ("none", "journal", "known")
WAYS_NAMED: Final = {"none": "none", "journal": "streamed", "known": "a list"}


def operations(count: int) -> Iterator[UpdateDevice]:
    """Return that many updates, always the same."""
    return (UpdateDevice(device_id=device_id(number), name=NAME) for number in range(1, count + 1))


def device_id(number: int) -> str:
    """Return a device's id, a UUID, so that the check of each answer's id is on."""
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
    return {
        "way": way,
        "count": count,
        "per_second": count / seconds,
        "cpu_us": cpu / count * 1e6,
        "peak_mib": (peak_rss_bytes() or 0) / 2**20,
    }


@contextlib.contextmanager
def emulated(devices: int, core: int | None) -> Iterator[str]:
    """Run the emulator, with the devices of `operations`, in another process."""
    with (
        children_on(core),
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.journal", "--emulate", str(devices)],
            cwd=ROOT,
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
    """Run the emulator until standard input ends."""
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


def measure(
    rounds: int,
    count: int,
    concurrency: int,
    base_url: str,
    cores: Cores | None,
) -> list[dict[str, Any]]:
    """Do the same job in each way in turn; return the measurements, round by round."""
    found = []
    for number in range(rounds):
        tell(f"journal: round {number + 1} of {rounds}")
        for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
            measured = in_a_process(
                "journal", base_url, cores, count=count, way=way, concurrency=concurrency
            )
            found.append({"round": number, **measured})
    return found


def section(found: Sequence[Mapping[str, Any]], kind: str) -> Section:
    """Summarize, and judge the medians of the ratios within a round."""
    plain = {cell["round"]: cell["per_second"] for cell in found if cell["way"] == "none"}
    return Section(
        name="journal",
        title="What a journal costs",
        lead=(
            f"`fleet.apply` of {found[0]['count']:,} operations, server: {kind}; a streamed "
            "input, and a list, which is written whole before the first request. "
            f"{len(plain)} rounds, medians, ratios within a round."
        ),
        tables=(
            Table(
                headings=("journal, its input", "a second", "CPU µs per operation", "peak MiB"),
                rows=tuple(
                    (name, *_figures([cell for cell in found if cell["way"] == way]))
                    for way, name in WAYS_NAMED.items()
                ),
            ),
        ),
        verdicts=tuple(
            Verdict(
                what=f"a job with a journal, its input {WAYS_NAMED[way]} / without",
                found=spread(
                    cell["per_second"] / plain[cell["round"]]
                    for cell in found
                    if cell["way"] == way
                ),
                bound=LEAST_SHARE,
            )
            for way in WAYS[1:]
        ),
        data={"jobs": list(found)},
    )


def _figures(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for key in ("per_second", "cpu_us", "peak_mib"):
        yield f"{statistics.median(cell[key] for cell in cells):,.1f}"


def run(
    cores: Cores | None,
    *,
    server: str,
    rounds: int,
    count: int,
    concurrency: int = 64,
) -> Section:
    """Measure and summarize."""
    core = cores.server if cores else None
    with contextlib.ExitStack() as stack:
        if server == "emulator":
            base_url, kind = stack.enter_context(emulated(max(count, WARM_UP), core)), server
        else:
            running = stack.enter_context(serving(server, core=core))
            base_url, kind = running.base_url, running.kind
        return section(measure(rounds, count, concurrency, base_url, cores), kind)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, and return the exit code."""
    parser = command_line("journal", __doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="operations per job")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--server", choices=("auto", "nginx", "raw", "emulator"), default="auto")
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
    found = run(
        choose_cores(),
        server=options.server,
        rounds=options.rounds,
        count=options.count,
        concurrency=options.concurrency,
    )
    return finish(found, options)


if __name__ == "__main__":
    begin(main)
