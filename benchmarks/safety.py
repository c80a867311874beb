"""The cost of each safety feature: CPU time of a call with all of them, and without one, in turn.

    python -m benchmarks.safety              # half a minute

All clients are open in one process and take turns in short blocks, so that a cost of half a
microsecond is visible. The costs of the journal and the fleet engine come from cells like those of
the comparison. A negative cost means that the safe way is also the faster one.
"""

import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from types import ModuleType
from typing import Any, Final, cast

from benchmarks.catalog import NAMES
from benchmarks.grid import CellError, Effort, in_a_process, run_worker, worker_command
from benchmarks.machine import Cores, choose_cores
from benchmarks.parts import begin, command_line, finish, tell
from benchmarks.report import Section, Table
from benchmarks.server import Server, serving
from benchmarks.worker import DeviceIds

ROUNDS: Final = 60
BLOCK: Final = 500
JOBS: Final = 5
BY_JOBS: Final = (
    ("fleet engine", "sdk-fleet", "sdk"),
    ("journal", "sdk-fleet-journal", "sdk-fleet"),
)


async def measure(base_url: str, *, rounds: int, block: int) -> dict[str, list[float]]:
    """Return CPU microseconds per call for each variant, one value for each round."""
    # Here, so that orjson can be hidden before the package is imported.
    bypassed = import_module("benchmarks.drivers.bypassed")
    safeties = (bypassed.WHOLE, *bypassed.SAFETIES)
    found: dict[str, list[float]] = {each.name: [] for each in safeties}
    chance = random.Random(1)  # noqa: S311 - an order, not a secret
    first = 0
    async with AsyncExitStack() as stack:
        loads = {each.name: await each.opened(stack, base_url) for each in safeties}
        for number in range(-1, rounds):  # the first round opens the connections
            gc.collect()
            for name in chance.sample(list(loads), len(loads)):
                began = time.process_time()
                await loads[name](DeviceIds(first=first, limit=block))
                cpu = time.process_time() - began
                first += block
                if number >= 0:
                    found[name].append(1e6 * cpu / block)
    return found


def by_jobs(
    server: Server, cores: Cores | None, *, jobs: int
) -> tuple[dict[str, list[float]], list[str]]:
    """Measure single calls, the fleet engine and its journal, in turn."""
    names = list(dict.fromkeys(name for _, *pair in BY_JOBS for name in pair))
    found: dict[str, list[float]] = {name: [] for name in names}
    failures = []
    for _ in range(jobs):
        for name in names:
            command = worker_command(NAMES[name], 64, Effort(seconds=0.7), server)
            try:
                figures = run_worker(command, cores=cores, timeout=60)
            except CellError as error:
                failures.append(f"{name}: {error}")
            else:
                found[name].append(figures["cpu_us_per_request"])
    return found, failures


def price(
    whole: Sequence[float], without: Sequence[float], *, adds: bool
) -> tuple[float, float, float]:
    """Return the cost of a feature: the lower quartile, median and upper quartile of the rounds."""
    sign = -1 if adds else 1
    differences = [sign * (one - other) for one, other in zip(whole, without, strict=False)]
    if len(differences) < 2:
        differences *= 2
    low, middle, high = statistics.quantiles(differences, n=4, method="inclusive")
    return low, middle, high


def section(
    found: Mapping[str, Sequence[float]],
    jobs: Mapping[str, Sequence[float]],
    failures: Sequence[str],
) -> Section:
    """Summarize the measurements."""
    bypassed = import_module("benchmarks.drivers.bypassed")
    whole = found[bypassed.WHOLE.name]
    rows = [
        _row(each.name, each.what, whole, found[each.name], adds=each.adds)
        for each in bypassed.SAFETIES
    ]
    rows += [
        _row(name, f"{dearer} compared with {cheaper}", jobs[dearer], jobs[cheaper], adds=False)
        for name, dearer, cheaper in BY_JOBS
        if jobs[dearer] and jobs[cheaper]
    ]
    return Section(
        name="safety",
        title="The cost of each safety feature",
        lead=(
            "Microseconds of CPU time per call, of "
            f"{statistics.median(whole):.1f} with everything on; concurrency 64, default loop, no "
            "orjson. A negative cost means that the safe way is faster."
        ),
        tables=(
            Table(
                headings=("safety", "µs (quartiles)"),
                rows=tuple(rows),
            ),
        ),
        failures=tuple(failures),
        data={"blocks": dict(found), "jobs": dict(jobs)},
    )


def _row(
    name: str, what: str, whole: Sequence[float], without: Sequence[float], *, adds: bool
) -> tuple[str, str]:
    low, middle, high = price(whole, without, adds=adds)
    return f"{name}: {what}", f"{middle:.1f} ({low:.1f} to {high:.1f})"


def run(
    cores: Cores | None,
    *,
    server: str,
    rounds: int = ROUNDS,
    block: int = BLOCK,
    jobs: int = JOBS,
) -> Section:
    """Measure and summarize."""
    with serving(server, core=cores.server if cores else None) as running:
        tell("the cost of each safety feature")
        found = in_a_process("safety", running.base_url, cores, rounds=rounds, block=block)
        tell("the cost of the fleet engine and its journal")
        return section(found, *by_jobs(running, cores, jobs=jobs))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("safety", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--block", type=int, default=BLOCK, help="calls per block")
    parser.add_argument("--jobs", type=int, default=JOBS, help="rounds of fleet jobs")
    parser.add_argument("--server", choices=("auto", "nginx", "raw"), default="auto")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.cell:
        cast("dict[str, ModuleType | None]", sys.modules)["orjson"] = None
        found: Any = asyncio.run(measure(options.cell, rounds=options.rounds, block=options.block))
        print(json.dumps(found))
        return 0
    found = run(
        choose_cores(),
        server=options.server,
        rounds=options.rounds,
        block=options.block,
        jobs=options.jobs,
    )
    return finish(found, options)


if __name__ == "__main__":
    begin(main)
