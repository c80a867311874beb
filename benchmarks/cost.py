"""The CPU time of one call: a quick measurement for tuning the package.

    python -m benchmarks.cost                           # aiohttp and this SDK, half a minute
    python -m benchmarks.cost sdk sdk-fleet --rounds 12
    python -m benchmarks.cost sdk --beside ../before    # the same of another checkout, in turn

Short cells follow each other, in a different order in each round. `best` is the minimum of the
rounds, because other load on the machine only ever adds to it. Exit code 0: everything was
measured. 1: it was not.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from benchmarks.catalog import BASELINE, NAMES, Contender
from benchmarks.grid import CellError, Effort, run_worker, worker_command
from benchmarks.machine import choose_cores
from benchmarks.parts import begin
from benchmarks.server import ROOT, serving


@attrs.frozen(kw_only=True)
class Subject:
    """A contender in one checkout."""

    name: str
    contender: Contender
    root: Path


@attrs.frozen(kw_only=True)
class Cost:
    """One cell's CPU time per call, user and system, in microseconds, and its calls per second."""

    cpu_us: float
    per_second: float


def subjects(names: Sequence[str], beside: Path | None) -> list[Subject]:
    """Return the contenders of this checkout, and the SDK's own of the other checkout."""
    found = []
    for name in names:
        found.append(Subject(name=name, contender=NAMES[name], root=ROOT))
        if beside is not None and NAMES[name].driver == "this_sdk":
            found.append(Subject(name=f"{name} there", contender=NAMES[name], root=beside))
    return found


def table(measured: dict[str, list[Cost]]) -> Iterator[str]:
    """Return a line for each subject, in units of the first one's best."""
    width = max(len(name) for name in measured)
    yield f"{'':{width}}   best µs   median µs   saved µs   of first   calls/s (median)"
    first: float | None = None
    for name, costs in measured.items():
        best = min(cost.cpu_us for cost in costs)
        first = best if first is None else first
        median = statistics.median(cost.cpu_us for cost in costs)
        rate = statistics.median(cost.per_second for cost in costs)
        yield (
            f"{name:{width}} {best:9.1f} {median:11.1f} {first - best:10.1f} "
            f"{first / best:10.2f} {rate:10,.0f}"
        )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("contenders", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.5, help="seconds for each cell")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--server", choices=("auto", "nginx", "raw"), default="auto")
    options = parser.parse_args(arguments)
    options.contenders = options.contenders or [BASELINE, "sdk"]
    if unknown := set(options.contenders) - set(NAMES):
        parser.error(f"no contender is named {', '.join(sorted(unknown))}")
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if options.beside is not None and not (options.beside / "benchmarks" / "worker.py").exists():
        parser.error(f"{options.beside} is not a checkout with benchmarks/worker.py")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit code."""
    options = parse(arguments)
    wanted = subjects(options.contenders, options.beside)
    effort = Effort(seconds=options.seconds)
    measured: dict[str, list[Cost]] = {subject.name: [] for subject in wanted}
    chance = random.Random(effort.seed)  # noqa: S311 - an order, not a secret
    cores, failed = choose_cores(), False
    with serving(options.server, core=cores.server if cores else None) as server:
        print(f"{server.kind}, concurrency {options.concurrency}", file=sys.stderr)
        for number in range(options.rounds):
            for subject in chance.sample(wanted, len(wanted)):
                command = worker_command(subject.contender, options.concurrency, effort, server)
                try:
                    figures = run_worker(command, cores=cores, timeout=60, root=subject.root)
                except CellError as error:
                    print(f"FAILED: {subject.name}: {error}", file=sys.stderr)
                    failed = True
                    continue
                measured[subject.name].append(
                    Cost(
                        cpu_us=figures["cpu_us_per_request"],
                        per_second=figures["requests_per_second"],
                    )
                )
            print(f"\rround {number + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print("\n".join(table({name: costs for name, costs in measured.items() if costs})))
    return 1 if failed else 0


if __name__ == "__main__":
    begin(main)
