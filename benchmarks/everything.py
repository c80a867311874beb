"""Every other benchmark after the comparison, one after another: `python -m benchmarks --all`."""

from collections.abc import Callable
from pathlib import Path

from benchmarks import decode, growth, imports, journal, pacing, plots, safety
from benchmarks.machine import Cores
from benchmarks.report import Report, Section


def others(
    cores: Cores | None, *, server: str, brief: bool, tell: Callable[[str], None]
) -> list[Section]:
    """Run them, the quick ones first; `brief` to see that all of them run, not for figures."""
    tell("decoding")
    found = [decode.run(rounds=3 if brief else decode.ROUNDS)]
    tell("importing")
    found.append(imports.run(cores, rounds=3 if brief else imports.ROUNDS))
    rounds = 10 if brief else safety.ROUNDS
    jobs = 1 if brief else safety.JOBS
    found.append(safety.run(cores, server=server, rounds=rounds, jobs=jobs, tell=tell))
    rounds, count = (1, 2_000) if brief else (journal.ROUNDS, journal.COUNT)
    found.append(journal.run(cores, server=server, rounds=rounds, count=count, tell=tell))
    sizes = growth.SIZES[:2] if brief else growth.FULL
    found.append(growth.run(cores, sizes=sizes, server=server, tell=tell))
    tell("pacing: waiting, mostly")
    operations, far = (300, 2_000) if brief else (pacing.OPERATIONS, pacing.FAR)
    found.append(pacing.run(operations=operations, far=far))
    return found


def draw(report: Report, folder: Path, *, tell: Callable[[str], None]) -> None:
    """Draw the plots of a report; without matplotlib, say so and draw none."""
    if not plots.available():
        tell("plots left out: matplotlib not installed")
        return
    for path in plots.draw(report, folder):
        tell(f"drawn: {path}")
