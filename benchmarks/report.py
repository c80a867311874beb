"""A run's figures as plain text, as Markdown, and as JSON."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from benchmarks.catalog import BASELINE
from benchmarks.figures import Cell, Judgement, Spread, of, ratio
from benchmarks.grid import Effort
from benchmarks.machine import Cores
from benchmarks.server import Server

SCHEMA: Final = 1
"""Raised when a field of the JSON changes its meaning."""

_HEADINGS: Final = (
    "contender",
    f"times {BASELINE} (min-max)",
    "requests/s",
    "CPU µs/request",
    "peak MiB",
)


@attrs.frozen(kw_only=True)
class Record:
    """All that one run found, and what a reader needs to judge it.

    `notes` tell what was left out, `failures` what went wrong.
    """

    started: str
    effort: Effort
    server: Server
    cores: Cores | None
    machine: dict[str, Any]
    versions: dict[str, str | None]
    notes: Sequence[str]
    failures: Sequence[str]
    cells: Sequence[Cell]
    judgements: Sequence[Judgement]


def as_json(record: Record) -> dict[str, Any]:
    """Give the record as JSON, with every cell, and the ratios made of them."""
    return {
        "schema": SCHEMA,
        **attrs.asdict(record),
        "judgements": [
            {**attrs.asdict(judgement), "met": judgement.met} for judgement in record.judgements
        ],
        "ratios": [
            {
                "contender": contender,
                "against": BASELINE,
                "concurrency": concurrency,
                **attrs.asdict(found),
            }
            for concurrency, contender in _measured(record.cells)
            if (found := _to_baseline(record.cells, contender, concurrency)) is not None
        ],
    }


def as_text(record: Record) -> str:
    """Write the record for a terminal."""
    lines = list(_circumstances(record))
    for concurrency, rows in _tables(record.cells):
        table = [_HEADINGS, *rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(_HEADINGS))]
        lines += ["", f"concurrency {concurrency}"]
        for row in table:
            first, *rest = (
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  " + "   ".join((first, *rest)))
    return "\n".join([*lines, "", *_verdicts(record)])


def as_markdown(record: Record) -> str:
    """Write the record for a README."""
    lines = [f"- {line}" for line in _circumstances(record)]
    for concurrency, rows in _tables(record.cells):
        lines += ["", f"### Concurrency {concurrency}", ""]
        lines += [_markdown_row(_HEADINGS), "|---|" + "---:|" * (len(_HEADINGS) - 1)]
        lines += [_markdown_row(row) for row in rows]
    return "\n".join([*lines, "", *(f"- {line}" for line in _verdicts(record))])


def describe(judgement: Judgement, *, expected: str) -> str:
    """Write one judgement; `expected` is what the bound is called."""
    bound = judgement.bound
    found = "not measured" if judgement.ratio is None else _spread(judgement.ratio)
    return (
        f"{bound.contender} / {bound.against} at {bound.concurrency}: {found}; "
        f"{expected} {bound.at_least:g}: {'met' if judgement.met else 'MISSED'}"
    )


def _circumstances(record: Record) -> Iterator[str]:
    versions = record.versions
    yield f"{record.started}, {record.machine['python']}, {record.machine['system']}"
    yield f"{record.machine['cpu']}, {record.machine['cores']} cores; {_pinning(record.cores)}"
    yield f"server: {record.server.kind}, on 127.0.0.1"
    if record.machine["load_average"] is not None:
        yield f"load average before: {record.machine['load_average'][0]:.2f}"
    yield ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield (
        f"rounds: {record.effort.rounds}, {record.effort.seconds:g} s a cell; "
        "medians over rounds, ratios within a round"
    )
    yield from record.notes


def _pinning(cores: Cores | None) -> str:
    if cores is None:
        return "not pinned: the ratios are less steady"
    return f"client on core {cores.client}, server on core {cores.server}"


def _tables(cells: Sequence[Cell]) -> Iterator[tuple[int, list[tuple[str, ...]]]]:
    measured = _measured(cells)
    for concurrency in sorted({concurrency for concurrency, _ in measured}):
        yield (
            concurrency,
            [
                _row(cells, contender, concurrency)
                for at, contender in measured
                if at == concurrency
            ],
        )


def _measured(cells: Sequence[Cell]) -> list[tuple[int, str]]:
    """Give (concurrency, contender), the fastest first."""
    found = {(cell.concurrency, cell.contender) for cell in cells}

    def rank(pair: tuple[int, str]) -> tuple[int, float, str]:
        concurrency, contender = pair
        rates = [cell.requests_per_second for cell in of(cells, contender, concurrency)]
        return concurrency, -statistics.median(rates), contender

    return sorted(found, key=rank)


def _row(cells: Sequence[Cell], contender: str, concurrency: int) -> tuple[str, ...]:
    own = of(cells, contender, concurrency)
    found = _to_baseline(cells, contender, concurrency)
    peaks = [cell.peak_rss_bytes for cell in own if cell.peak_rss_bytes is not None]
    return (
        contender,
        "" if found is None else _spread(found),
        f"{statistics.median(cell.requests_per_second for cell in own):,.0f}",
        f"{statistics.median(cell.cpu_us_per_request for cell in own):,.1f}",
        f"{statistics.median(peaks) / 2**20:.1f}" if peaks else "",
    )


def _to_baseline(cells: Sequence[Cell], contender: str, concurrency: int) -> Spread | None:
    return ratio(cells, contender, against=BASELINE, concurrency=concurrency)


def _spread(found: Spread) -> str:
    digits = 3 if found.median < 0.1 else 2
    return f"{found.median:.{digits}f} ({found.least:.{digits}f}-{found.most:.{digits}f})"


def _verdicts(record: Record) -> Iterator[str]:
    for judgement in record.judgements:
        yield describe(judgement, expected="target")
    for failure in record.failures:
        yield f"FAILED: {failure}"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
