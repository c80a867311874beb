"""All contenders compared: the cells of a run, summarized as a section."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from benchmarks.catalog import BASELINE, LINKED, LINKS, NAMES, PLAIN, TARGETS, Contender, Link
from benchmarks.figures import Cell, Verdict, cpu_ratio, judge, of, wall_ratio
from benchmarks.grid import Effort, Planned, measure, plan
from benchmarks.machine import Cores
from benchmarks.report import Section, Table, shown
from benchmarks.server import Server

NAME: Final = "comparison"

_HEADINGS: Final = (
    "contender",
    "CPU µs/request",
    f"of {BASELINE}'s CPU (min-max)",
    "requests/s",
    f"times {BASELINE} (min-max)",
    "peak MiB",
)


@attrs.frozen(kw_only=True)
class Scope:
    """What is compared: contenders, concurrencies and links."""

    contenders: Sequence[Contender]
    concurrencies: Sequence[int]
    links: Sequence[Link]

    def planned(self, effort: Effort) -> Iterator[Planned]:
        """Yield the cells in the order to be measured."""
        for link in self.links:
            who = [one for one in self.contenders if link is PLAIN or one.name in LINKED]
            where = [each for each in self.concurrencies if each in (link.concurrencies or (each,))]
            yield from plan(who, where, effort, link)


def present(names: Sequence[str]) -> tuple[list[Contender], list[str]]:
    """Return the contenders that can be measured, and notes on those that cannot."""
    found, notes = [], []
    for name in names:
        if missing := NAMES[name].missing():
            notes.append(f"{name} left out: {' and '.join(missing)} not installed")
        else:
            found.append(NAMES[name])
    return found, notes


def compare(
    scope: Scope,
    effort: Effort,
    *,
    servers: Mapping[str, Server],
    cores: Cores | None,
) -> tuple[list[Cell], list[str]]:
    """Measure; return the cells and the failures."""
    cells, failures = measure(scope.planned(effort), effort, servers=servers, cores=cores)
    measured = {cell.contender for cell in cells}
    failures += [
        f"{one.name} was never measured" for one in scope.contenders if one.name not in measured
    ]
    return cells, failures


def section(
    cells: Sequence[Cell],
    *,
    effort: Effort,
    servers: Mapping[str, Server],
    notes: Sequence[str],
    failures: Sequence[str],
) -> Section:
    """Summarize the cells."""
    kinds = "; ".join(f"{link}: {server.kind}" for link, server in servers.items())
    return Section(
        name=NAME,
        title="Single calls and fleet jobs",
        lead=(
            f"Each call updates a different device on 127.0.0.1. Servers: {kinds}. "
            f"Rounds: {effort.rounds}, {effort.seconds:g} s per cell; medians over rounds, "
            "ratios within a round."
        ),
        tables=tuple(_tables(cells)),
        verdicts=tuple(verdicts(cells)),
        notes=tuple(notes),
        failures=tuple(failures),
        data={
            "effort": attrs.asdict(effort),
            "servers": {link: server.kind for link, server in servers.items()},
            "cells": [attrs.asdict(cell) for cell in cells],
        },
    )


def verdicts(cells: Sequence[Cell]) -> list[Verdict]:
    """Compare the figures with the targets of the contenders in this run."""
    measured = {cell.contender for cell in cells}
    return judge(
        cells,
        [bound for bound in TARGETS if {bound.contender, bound.against} <= measured],
    )


def ranked(cells: Sequence[Cell], link: str, concurrency: int) -> list[str]:
    """Return the contenders of one concurrency over one link, the cheapest first."""
    names = {
        cell.contender for cell in cells if (cell.link, cell.concurrency) == (link, concurrency)
    }

    def rank(name: str) -> tuple[float, str]:
        own = of(cells, name, concurrency, link)
        return statistics.median(cell.cpu_us_per_request for cell in own), name

    return sorted(names, key=rank)


def _tables(cells: Sequence[Cell]) -> Iterator[Table]:
    for link in LINKS:
        for concurrency in sorted({each.concurrency for each in cells if each.link == link.name}):
            over = "" if link is PLAIN else f", {link.name}"
            yield Table(
                title=f"Concurrency {concurrency}{over}",
                headings=_HEADINGS,
                rows=tuple(
                    _row(cells, name, concurrency, link.name)
                    for name in ranked(cells, link.name, concurrency)
                ),
            )


def _row(cells: Sequence[Cell], contender: str, concurrency: int, link: str) -> tuple[str, ...]:
    own = of(cells, contender, concurrency, link)
    by_cpu = cpu_ratio(cells, contender, against=BASELINE, concurrency=concurrency, link=link)
    by_wall = wall_ratio(cells, contender, against=BASELINE, concurrency=concurrency, link=link)
    peaks = [cell.peak_rss_bytes for cell in own if cell.peak_rss_bytes is not None]
    return (
        contender,
        f"{statistics.median(cell.cpu_us_per_request for cell in own):,.1f}",
        "" if by_cpu is None else shown(by_cpu),
        f"{statistics.median(cell.requests_per_second for cell in own):,.0f}",
        "" if by_wall is None else shown(by_wall),
        f"{statistics.median(peaks) / 2**20:.1f}" if peaks else "",
    )
