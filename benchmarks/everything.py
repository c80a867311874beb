"""Every other benchmark after the comparison, one after another: `python -m benchmarks --all`."""

from collections.abc import Callable
from pathlib import Path

from benchmarks import decode, growth, imports, journal, pacing, plots, safety
from benchmarks.machine import Cores
from benchmarks.report import Report, Section


def others(cores: Cores | None, *, server: str, tell: Callable[[str], None]) -> list[Section]:
    """Run them, the quick ones first."""
    tell("decoding")
    found = [decode.run()]
    tell("importing")
    found.append(imports.run(cores))
    found.append(safety.run(cores, server=server, tell=tell))
    found.append(
        journal.run(cores, server=server, rounds=journal.ROUNDS, count=journal.COUNT, tell=tell)
    )
    found.append(growth.run(cores, sizes=growth.FULL, server=server, tell=tell))
    tell("pacing: six minutes of waiting, mostly")
    found.append(pacing.run())
    return found


def draw(report: Report, folder: Path, *, tell: Callable[[str], None]) -> None:
    """Draw the plots of a report; without matplotlib, say so and draw none."""
    if not plots.available():
        tell("plots left out: matplotlib not installed")
        return
    for path in plots.draw(report, folder):
        tell(f"drawn: {path}")
