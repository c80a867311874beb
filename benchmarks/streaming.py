"""The cost of a row of a time series, and of a frame of a stream.

    python -m benchmarks.streaming

Rows are compared with a bare `csv` reader, which holds the whole answer in memory, and with the
official SDK; frames with a bare websocket of aiohttp (the official SDK has no streams). Each
contender is a fresh process, in turn, beside the same server; CPU time counts, because wall time
includes the server's. Exit code 0: every bound was kept. 1: one was missed.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

from benchmarks.drivers.readers import READERS, need
from benchmarks.figures import Spread, Verdict, spread
from benchmarks.grid import CellError, in_a_process
from benchmarks.machine import Cores, children_on, choose_cores
from benchmarks.parts import begin, command_line, finish, tell
from benchmarks.report import Section, Table, shown
from benchmarks.server import ROOT
from benchmarks.worker import peak_rss_bytes

ROWS: Final = 200_000
FRAMES: Final = 50_000
ROUNDS: Final = 5
WARM_UP: Final = 100
MOST_OF_OFFICIAL: Final = 0.7
MOST_OF_CSV: Final = 1.5
MOST_OF_AIOHTTP: Final = 2.5

Found = Mapping[str, Sequence[Mapping[str, float]]]


def cell(name: str, base_url: str, count: int) -> dict[str, float]:
    """Read that many rows or frames in this process, after a short warm-up."""
    read = READERS[name]
    asyncio.run(read(base_url, WARM_UP))
    before = peak_rss_bytes() or 0
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(read(base_url, count))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "count": count,
        "cpu_us": cpu / count * 1e6,
        "per_second": count / seconds,
        "grown_mib": ((peak_rss_bytes() or 0) - before) / 2**20,
    }


@contextmanager
def serving_streams(core: int | None) -> Iterator[str]:
    """Run the server in another process; yield its base URL."""
    with (
        children_on(core),
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stream_server"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no output to read")
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def present() -> list[str]:
    """Return the contenders whose packages are installed."""
    return [name for name in READERS if not need(name) or find_spec(need(name)) is not None]


def measure(
    base_url: str,
    cores: Cores | None,
    *,
    rows: int,
    frames: int,
    rounds: int,
) -> tuple[dict[str, list[dict[str, float]]], list[str]]:
    """Run the contenders in turn; return the measurements and the failures."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in present()}
    failures = []
    for number in range(rounds):
        for name, cells in found.items():
            tell(f"{name}, {number + 1} of {rounds}")
            count = rows if name.startswith("rows") else frames
            try:
                cells.append(in_a_process("streaming", base_url, cores, name=name, count=count))
            except CellError as error:
                failures.append(f"{name}: {error}")
    return found, failures


def section(found: Found, failures: Sequence[str] = ()) -> Section:
    """Summarize, and judge each ratio within a round."""
    headings = ("", "CPU µs each (min-max)", "a second", "memory grown by, MiB")
    bounds = (
        ("rows: sdk", "rows: official", MOST_OF_OFFICIAL),
        ("rows: sdk", "rows: csv", MOST_OF_CSV),
        ("frames: sdk", "frames: aiohttp", MOST_OF_AIOHTTP),
    )
    counts = {name: round(cells[0]["count"]) for name, cells in found.items() if cells}
    return Section(
        name="streaming",
        title="Rows and frames",
        lead=(
            "Each contender in a process of its own, in turn. A row has a time and five values: "
            "three floats, an integer and a string. Memory is the growth of the peak after a "
            "warm-up."
        ),
        tables=tuple(
            Table(
                title=f"{counts[own[0]]:,} {what}",
                headings=headings,
                rows=tuple(_row(name, found[name]) for name in own),
            )
            for what in ("rows", "frames")
            if (own := [name for name in counts if name.startswith(what)])
        ),
        verdicts=tuple(
            Verdict(
                what=f"CPU of {ours} / {theirs.partition(': ')[2]}",
                found=_ratio(found, ours, theirs),
                bound=bound,
                at_most=True,
            )
            for ours, theirs, bound in bounds
            if theirs in found
        ),
        notes=tuple(
            f"{name} left out: {need(name)} is not installed"
            for name in READERS
            if name not in found
        ),
        failures=tuple(failures),
        data={name: list(map(dict, cells)) for name, cells in found.items()},
    )


def run(
    cores: Cores | None,
    *,
    rows: int = ROWS,
    frames: int = FRAMES,
    rounds: int = ROUNDS,
) -> Section:
    """Measure and summarize."""
    with serving_streams(cores.server if cores else None) as base_url:
        found, failures = measure(base_url, cores, rows=rows, frames=frames, rounds=rounds)
    return section(found, failures)


def _ratio(found: Found, ours: str, theirs: str) -> Spread | None:
    pairs = zip(found.get(ours, ()), found.get(theirs, ()), strict=False)
    return spread(mine["cpu_us"] / other["cpu_us"] for mine, other in pairs)


def _row(name: str, cells: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    cpu = spread(each["cpu_us"] for each in cells)
    return (
        name.partition(": ")[2],
        "" if cpu is None else shown(cpu),
        f"{statistics.median(each['per_second'] for each in cells):,.0f}",
        f"{statistics.median(each['grown_mib'] for each in cells):.1f}",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("streaming", __doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options: Any = parser.parse_args(arguments)
    if options.cell:
        print(json.dumps(cell(options.name, options.cell, options.count)))
        return 0
    found = run(
        choose_cores(),
        rows=options.rows,
        frames=options.frames,
        rounds=options.rounds,
    )
    return finish(found, options)


if __name__ == "__main__":
    begin(main)
