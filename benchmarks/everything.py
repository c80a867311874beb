"""The other benchmarks after the comparison, one after another: `python -m benchmarks --all`."""

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import decode, growth, imports, journal, pacing, plots, safety, streaming
from benchmarks.limits import measure as limits
from benchmarks.machine import Cores
from benchmarks.parts import tell
from benchmarks.report import Report, Section


def others(cores: Cores | None, *, server: str, brief: bool) -> Iterator[Section]:
    """Run them, the quick ones first; `brief` only shows that all of them run."""
    rounds = (
        (3, 3, 10, 1) if brief else (decode.ROUNDS, imports.ROUNDS, safety.ROUNDS, journal.ROUNDS)
    )
    jobs, count = (1, 2_000) if brief else (safety.JOBS, journal.COUNT)
    sizes = growth.SIZES[:2] if brief else growth.FULL
    far = 2_000 if brief else pacing.OPERATIONS
    parts: dict[str, Callable[[], Section]] = {
        "decode": lambda: decode.run(rounds=rounds[0]),
        "imports": lambda: imports.run(cores, rounds=rounds[1]),
        "safety": lambda: safety.run(cores, server=server, rounds=rounds[2], jobs=jobs),
        "journal": lambda: journal.run(cores, server=server, rounds=rounds[3], count=count),
        "growth": lambda: growth.run(cores, sizes=sizes, server=server),
        "streaming": lambda: streaming.run(
            cores,
            rows=1_000 if brief else streaming.ROWS,
            frames=1_000 if brief else streaming.FRAMES,
            rounds=1 if brief else streaming.ROUNDS,
        ),
        "pacing": lambda: pacing.run(operations=far),
        "limits": lambda: limits.run(smoke=brief),
    }
    for name, run in parts.items():
        tell(f"benchmarks.{name}")
        yield attempted(name, run)


def attempted(name: str, run: Callable[[], Section]) -> Section:
    """Run one part; if it fails, report that in its place, because the others took their time."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - reported as a failure of the section and of the run
        failure = f"{type(error).__name__}: {error}"
        return Section(name=name, title=f"benchmarks.{name}", failures=(failure,))


def draw(report: Report, folder: Path) -> None:
    """Draw the plots of a report; without matplotlib, say so and draw none."""
    if not plots.available():
        tell("plots left out: matplotlib not installed")
        return
    for path in plots.draw(report, folder):
        tell(f"drawn: {path}")
