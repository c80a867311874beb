"""The cost of a fleet job by its size: memory and CPU time, with a journal and without.

    python -m benchmarks.growth              # 1,000 to 100,000 operations, half a minute
    python -m benchmarks.growth --full       # to 1,000,000, five minutes

Each job is a separate process on the client's core, and streams its operations from a generator.
Small jobs are repeated.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.figures import Verdict, spread
from benchmarks.grid import CellError, in_a_process
from benchmarks.machine import Cores, choose_cores
from benchmarks.parts import begin, command_line, finish, tell
from benchmarks.report import Section, Table
from benchmarks.server import serving

SIZES: Final = (1_000, 10_000, 100_000)
FULL: Final = (*SIZES, 1_000_000)
WAYS: Final = {"none": "without a journal", "journal": "with a journal"}
CONCURRENCY: Final = 64
MOST_GROWTH_MIB: Final = 15.0
MOST_SLOWING: Final = 1.1
"""The tolerance of "flat": the CPU time of one operation may differ by a tenth."""

Found = dict[tuple[str, int], list[dict[str, Any]]]


def repeats(size: int) -> int:
    """Return how often a job of that size is run: single small jobs vary too much."""
    return 5 if size <= 1_000 else 3 if size <= 10_000 else 1


def measure(
    sizes: Sequence[int],
    base_url: str,
    cores: Cores | None,
) -> tuple[Found, list[str]]:
    """Run the jobs, the ways in turn; return the measurements and the failures."""
    found: Found = {(way, size): [] for way in WAYS for size in sizes}
    failures: list[str] = []
    for size in sizes:
        for number in range(repeats(size)):
            for way in WAYS:
                tell(f"{size:,} operations {WAYS[way]}, {number + 1} of {repeats(size)}")
                try:
                    cell = in_a_process(
                        "journal", base_url, cores, count=size, way=way, concurrency=CONCURRENCY
                    )
                except CellError as error:
                    failures.append(f"{size:,} operations {WAYS[way]}: {error}")
                else:
                    found[way, size].append(cell)
    return found, failures


def section(found: Mapping[tuple[str, int], list[dict[str, Any]]], failures: list[str]) -> Section:
    """Summarize, and compare the largest jobs with the smallest."""
    known = {pair: cells for pair, cells in found.items() if cells}
    sizes = sorted({size for _, size in known})
    return Section(
        name="growth",
        title="Memory and time by number of operations",
        lead=(f"`fleet.apply`, concurrency {CONCURRENCY}; medians of repeated jobs."),
        tables=(
            Table(
                headings=("operations", "journal", "peak MiB", "CPU µs per operation", "a second"),
                rows=tuple(_row(way, size, known[way, size]) for way, size in known),
            ),
        ),
        verdicts=tuple(
            verdict
            for way in WAYS
            for verdict in _verdicts(way, known, sizes[0], sizes[-1])
            if len(sizes) > 1
        ),
        failures=tuple(failures),
        data={"jobs": [cell for cells in known.values() for cell in cells]},
    )


def run(
    cores: Cores | None,
    *,
    sizes: Sequence[int],
    server: str,
) -> Section:
    """Measure and summarize."""
    with serving(server, core=cores.server if cores else None) as running:
        found, failures = measure(sizes, running.base_url, cores)
    return section(found, failures)


def _median(cells: Sequence[Mapping[str, Any]], name: str) -> float:
    return statistics.median(float(cell[name]) for cell in cells)


def _row(way: str, size: int, cells: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return (
        f"{size:,}",
        "yes" if way == "journal" else "no",
        f"{_median(cells, 'peak_mib'):.1f}",
        f"{_median(cells, 'cpu_us'):.1f}",
        f"{_median(cells, 'per_second'):,.0f}",
    )


def _verdicts(
    way: str,
    known: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]],
    small: int,
    large: int,
) -> tuple[Verdict, Verdict]:
    few, many = known.get((way, small), ()), known.get((way, large), ())
    memory = [_median(many, "peak_mib") - cell["peak_mib"] for cell in few] if many else []
    time = [_median(many, "cpu_us") / cell["cpu_us"] for cell in few] if many else []
    return (
        Verdict(
            what=f"peak MiB at {large:,} above that at {small:,}, {WAYS[way]}",
            found=spread(memory),
            bound=MOST_GROWTH_MIB,
            at_most=True,
        ),
        Verdict(
            what=f"CPU time per operation at {large:,} / at {small:,}, {WAYS[way]}",
            found=spread(time),
            bound=MOST_SLOWING,
            at_most=True,
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("growth", __doc__)
    parser.add_argument("--full", action="store_true", help="also 1,000,000 operations")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="COUNT")
    parser.add_argument("--server", choices=("auto", "nginx", "raw"), default="auto")
    options = parser.parse_args(arguments)
    sizes = sorted(options.sizes or (FULL if options.full else SIZES))
    found = run(
        choose_cores(),
        sizes=sizes,
        server=options.server,
    )
    return finish(found, options)


if __name__ == "__main__":
    begin(main)
