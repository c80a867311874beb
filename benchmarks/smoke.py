"""The brief run of CI: has this SDK become slower than its reference?

The ratios of `reference.json` were measured in the same brief way, on the date given there. They
are ratios of CPU time, which other load on the machine disturbs least. A ratio that exceeds its
reference by half fails the run. Medians of three rounds are taken twice, and each pair's better try
counts.
"""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.catalog import BASELINE, PLAIN, SMOKED
from benchmarks.comparison import Scope, compare, present, section
from benchmarks.figures import Cell, Verdict, cpu_ratio
from benchmarks.grid import Effort
from benchmarks.machine import Cores
from benchmarks.parts import tell
from benchmarks.report import Section, describe
from benchmarks.server import Server

REFERENCE: Final = Path(__file__).with_name("reference.json")
TOLERANCE: Final = 1.5
CONCURRENCY: Final = 64
TRIES: Final = 2
EFFORT: Final = Effort(rounds=3, seconds=0.3, limit=20_000, warm_up=128, patience=8.0, budget=26.0)
PAIRS: Final = (
    *((name, BASELINE) for name in SMOKED if name not in (BASELINE, "official")),
    ("sdk", "official"),
)


def family(server: Server) -> str:
    """Return the reference that applies: on a core shared with a slow server, all look slower."""
    return "nginx" if server.kind.startswith("nginx") else "raw"


def ratios(cells: Sequence[Cell]) -> dict[str, float]:
    """Return the median ratio of CPU time of each pair that was measured."""
    return {
        f"{name} / {against}": round(found.median, 3)
        for name, against in PAIRS
        if (found := cpu_ratio(cells, name, against=against, concurrency=CONCURRENCY))
    }


def judge(cells: Sequence[Cell], reference: dict[str, float]) -> tuple[Verdict, ...]:
    """Compare each pair's CPU time with its reference."""
    return tuple(
        Verdict(
            what=f"CPU of {name} / {against}",
            found=cpu_ratio(cells, name, against=against, concurrency=CONCURRENCY),
            bound=round(TOLERANCE * reference[f"{name} / {against}"], 3),
            at_most=True,
        )
        for name, against in PAIRS
    )


def smoke(server: Server, cores: Cores | None) -> tuple[Section, bool]:
    """Measure briefly, twice if a ratio has risen; return the section, and whether all is well."""
    known = json.loads(REFERENCE.read_text("utf-8"))["cpu"][family(server)]
    best: tuple[Verdict, ...] = ()
    for attempt in range(TRIES):
        found, cells = _measure(server, cores)
        best = better(best, judge(cells, known))
        found = attrs.evolve(found, verdicts=best)
        for verdict in best:
            tell(f"after try {attempt + 1}: {describe(verdict)}")
        if found.good or found.failures or found.notes:
            break
    return found, found.good and not found.notes


def better(first: Sequence[Verdict], second: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Return each pair's better try: a contender that is really slower is slower in both."""
    if not first:
        return tuple(second)

    def median(verdict: Verdict) -> float:
        return math.inf if verdict.found is None else verdict.found.median

    return tuple(min(pair, key=median) for pair in zip(first, second, strict=True))


def note(
    servers: Sequence[Server],
    cores: Cores | None,
    *,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Measure the reference for later runs, in three brief runs each."""
    found: dict[str, dict[str, float]] = {}
    for server in servers:
        each = [ratios(_measure(server, cores)[1]) for _ in range(3)]
        found[family(server)] = {
            pair: statistics.median(one[pair] for one in each) for pair in each[0]
        }
    return {**facts, "cpu": found}


def _measure(server: Server, cores: Cores | None) -> tuple[Section, list[Cell]]:
    contenders, notes = present(SMOKED)
    scope = Scope(contenders=contenders, concurrencies=(CONCURRENCY,), links=(PLAIN,))
    servers = {PLAIN.name: server}
    cells, failures = compare(scope, EFFORT, servers=servers, cores=cores)
    found = section(cells, effort=EFFORT, servers=servers, notes=notes, failures=failures)
    return found, cells
