"""The brief run of CI: has any contender of ours fallen behind what it once was?

The ratios of `reference.json` were measured in the same brief way, on a date that it tells. A
ratio that falls below two thirds of its own fails the run; medians of three rounds, tried
twice, since CI machines are noisy: what counts is a pair's better try.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.catalog import BASELINE, PLAIN, SMOKED
from benchmarks.comparison import Scope, compare, present, section
from benchmarks.figures import Cell, Verdict, ratio
from benchmarks.grid import Effort
from benchmarks.machine import Cores, others_running
from benchmarks.report import Section, describe
from benchmarks.server import Server

REFERENCE: Final = Path(__file__).with_name("reference.json")
SHARE: Final = 2 / 3
CONCURRENCY: Final = 64
TRIES: Final = 2
BUSY: Final = 0.5
"""With more tasks of others than this that want to run, throughput says little."""
EFFORT: Final = Effort(rounds=3, seconds=0.3, limit=20_000, warm_up=128, patience=8.0, budget=26.0)
PAIRS: Final = (
    *((name, BASELINE) for name in SMOKED if name not in (BASELINE, "official")),
    ("sdk", "official"),
)


def family(server: Server) -> str:
    """Say which reference counts: against a slow server the fastest look slower."""
    return "nginx" if server.kind.startswith("nginx") else "raw"


def ratios(cells: Sequence[Cell], *, by_cpu: bool) -> dict[str, float]:
    """Return the median ratio of each pair that was measured."""
    return {
        f"{name} / {against}": round(found.median, 3)
        for name, against in PAIRS
        if (found := ratio(cells, name, against=against, concurrency=CONCURRENCY, by_cpu=by_cpu))
    }


def judge(
    cells: Sequence[Cell], reference: dict[str, float], *, by_cpu: bool
) -> tuple[Verdict, ...]:
    """Hold each pair against two thirds of its reference."""
    return tuple(
        Verdict(
            what=f"{name} / {against}{' by CPU' if by_cpu else ''}",
            found=ratio(cells, name, against=against, concurrency=CONCURRENCY, by_cpu=by_cpu),
            bound=round(SHARE * reference[f"{name} / {against}"], 3),
        )
        for name, against in PAIRS
    )


def smoke(
    server: Server, cores: Cores | None, *, tell: Callable[[str], None]
) -> tuple[Section, bool]:
    """Measure briefly; once more where a ratio has fallen. Give the section, and if all is well.

    Where client and server cannot have a core each, the server's work is in every figure but
    the client's CPU time, and where others run besides, theirs is; so CPU time is compared
    in place of throughput.
    """
    by_cpu = cores is None or others_running() > BUSY
    if by_cpu:
        tell("client and server have no core each of their own: CPU time is compared")
    reference = json.loads(REFERENCE.read_text("utf-8"))
    known = reference["by_cpu" if by_cpu else "throughput"][family(server)]
    best: tuple[Verdict, ...] = ()
    for attempt in range(TRIES):
        found, cells = _measure(server, cores, tell)
        best = better(best, judge(cells, known, by_cpu=by_cpu))
        found = attrs.evolve(found, verdicts=best)
        for verdict in best:
            tell(f"after try {attempt + 1}: {describe(verdict)}")
        if found.good or found.failures or found.notes:
            break
    return found, found.good and not found.notes


def better(first: Sequence[Verdict], second: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Return each pair's better try: who has truly fallen behind is behind in both."""
    if not first:
        return tuple(second)

    def median(verdict: Verdict) -> float:
        return -1.0 if verdict.found is None else verdict.found.median

    return tuple(max(pair, key=median) for pair in zip(first, second, strict=True))


def note(
    servers: Sequence[Server],
    cores: Cores | None,
    *,
    facts: dict[str, Any],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Measure the ratios that later runs are held against, in three brief runs each."""
    written: dict[str, Any] = {**facts, "throughput": {}, "by_cpu": {}}
    for server in servers:
        runs = [_measure(server, cores, tell)[1] for _ in range(3)]
        for name, by_cpu in (("throughput", False), ("by_cpu", True)):
            each = [ratios(cells, by_cpu=by_cpu) for cells in runs]
            written[name][family(server)] = {
                pair: statistics.median(one[pair] for one in each) for pair in each[0]
            }
    return written


def _measure(
    server: Server, cores: Cores | None, tell: Callable[[str], None]
) -> tuple[Section, list[Cell]]:
    contenders, notes = present(SMOKED)
    scope = Scope(contenders=contenders, concurrencies=(CONCURRENCY,), links=(PLAIN,))
    servers = {PLAIN.name: server}
    cells, failures = compare(scope, EFFORT, servers=servers, cores=cores, tell=tell)
    found = section(cells, effort=EFFORT, servers=servers, notes=notes, failures=failures)
    return found, cells
