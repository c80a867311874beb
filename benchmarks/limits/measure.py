"""Measures rows on virtual time, one process for each core, and summarizes everything."""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Final, TypeVar

from benchmarks.limits import calls, product, rivals, sockets, world
from benchmarks.limits.rows import ROWS
from benchmarks.limits.summary import Cell, section
from benchmarks.parts import tell
from benchmarks.report import Section

T = TypeVar("T")

SEEDS: Final = (1, 2, 3, 4, 5)
SMOKE_SEEDS: Final = (1, 2, 3)


def cell(name: str, seed: int, *, rival: bool) -> Cell:
    """Measure one row with one seed."""
    row = ROWS[name]
    server = calls.seeded(row.make(), seed)
    seconds = world.run(product.jobs(server, row.operations, row.clients, seed))
    ideal = row.ideal
    if ideal is None:
        ideal, _ = _rival(name, "as told", seed)
    other = _rival(name, "botocore adaptive", seed) if rival else (None, None)
    return Cell(
        row=name,
        seed=seed,
        ideal=ideal,
        seconds=seconds,
        requests=server.requests / server.good,
        rival_seconds=other[0],
        rival_requests=other[1],
    )


def _rival(name: str, rule: str, seed: int) -> tuple[float, float]:
    row = ROWS[name]
    server = calls.seeded(row.make(), seed)
    seconds = world.run(rivals.pooled(server, rule, row.operations, row.clients, seed))
    return seconds, server.requests / server.good


def run(
    *,
    seeds: Sequence[int] = SEEDS,
    smoke: bool = False,
    only: str = "",
    processes: int | None = None,
) -> Section:
    """Measure and summarize; `smoke` selects the short form, and `only` the rows with that name."""
    wanted = [row for row in ROWS.values() if only in row.name and (row.smoke or not smoke)]
    gathers = [
        row for row in calls.GATHERS.values() if only in row.name and (row.smoke or not smoke)
    ]
    rates = () if only else calls.DECLARED[:1] if smoke else calls.DECLARED
    with ProcessPoolExecutor(processes or os.cpu_count(), initializer=_quiet) as pool:

        def begun(measure: Callable[..., T], *given: Any, **named: Any) -> "list[Future[T]]":
            return [pool.submit(measure, *given, seed, **named) for seed in seeds]

        cells = {row.name: begun(cell, row.name, rival=not smoke) for row in wanted}
        plain = [future for row in gathers for future in begun(calls.gather, row.name)]
        plain += [] if only else begun(calls.mixed)
        declared = [future for rate in rates for future in begun(calls.declared, rate)]
        found: list[Cell] = []
        for name, futures in cells.items():
            tell(name)
            found += [future.result() for future in futures]
        tell("plain calls")
        met = [future.result() for future in plain]
        at_rates = [future.result() for future in declared]
    over_sockets = [] if smoke or only else sockets.measured()
    return section(found, met, at_rates, over_sockets)


def _quiet() -> None:
    """Leave the end of a run to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
