"""The results as plain text, as Markdown, and as JSON that can be read back."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs

from benchmarks.figures import Spread, Verdict

SCHEMA: Final = 3
"""Increased when a field of the JSON changes its meaning."""


@attrs.frozen(kw_only=True)
class Table:
    """Rows under headings; the first column is text, the others are figures."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@attrs.frozen(kw_only=True)
class Section:
    """One part of a run. `data` is everything measured, for recalculation.

    `lead` says how it was measured, `notes` what was left out, `failures` what went wrong.
    """

    name: str
    title: str
    lead: str = ""
    tables: tuple[Table, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    data: dict[str, Any] = attrs.Factory(dict)

    @property
    def good(self) -> bool:
        """Return whether nothing failed and every bound was kept."""
        return not self.failures and all(verdict.met for verdict in self.verdicts)


@attrs.frozen(kw_only=True)
class Report:
    """A whole run, and the facts about the machine that a reader needs to judge it."""

    started: str
    machine: dict[str, Any]
    versions: dict[str, str | None]
    pinning: str
    sections: tuple[Section, ...]
    schema: int = SCHEMA

    def section(self, name: str) -> Section | None:
        """Find a section by its name."""
        return next((each for each in self.sections if each.name == name), None)


def circumstances(report: Report) -> Iterator[str]:
    """Return the lines about the machine and the versions."""
    machine = report.machine
    yield f"{report.started}, {machine['python']}, {machine['system']}"
    yield f"{machine['cpu']}, {machine['cores']} cores; {report.pinning}"
    if machine["load_average"] is not None:
        yield f"load average before: {machine['load_average'][0]:.2f}"
    yield ", ".join(f"{name} {version}" for name, version in report.versions.items() if version)


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON, with every figure measured."""
    written: dict[str, Any] = cattrs.unstructure(report)
    for each, section in zip(written["sections"], report.sections, strict=True):
        for line, verdict in zip(each["verdicts"], section.verdicts, strict=True):
            line["met"] = verdict.met
    return written


def from_json(data: dict[str, Any]) -> Report:
    """Read a report back.

    Raises: ValueError: It is from another version of these benchmarks.
    """
    if data.get("schema") != SCHEMA:
        raise ValueError(f"schema is {data.get('schema')!r}; this reads {SCHEMA}")
    return cattrs.structure(data, Report)


def as_text(report: Report) -> str:
    """Return the report for a terminal."""
    lines = list(circumstances(report))
    for section in report.sections:
        lines += ["", section.title.upper(), *([section.lead] if section.lead else [])]
        for table in section.tables:
            lines += ["", *([table.title] if table.title else []), *_aligned(table)]
        lines += ["", *(describe(verdict) for verdict in section.verdicts), *section.notes]
        lines += [f"FAILED: {failure}" for failure in section.failures]
    return "\n".join(lines).rstrip()


def as_markdown(report: Report, *, level: int = 3, figures: Path | None = None) -> str:
    """Return the report for a README, with headings from `level` on.

    `figures` is the folder of the plots, relative to that README; without it, no plot is shown.
    """
    lines = [f"- {line}" for line in circumstances(report)]
    for section in report.sections:
        lines += ["", section_markdown(section, level=level)]
        plot = PLOTS.get(section.name)
        if figures is not None and plot is not None:
            lines += ["", f"![{plot[1]}]({(figures / plot[0]).as_posix()})"]
    return "\n".join(lines)


PLOTS: Final = {
    "comparison": ("cpu.svg", "CPU time per operation by concurrency"),
    "growth": ("memory.svg", "Peak memory by number of operations"),
}
"""For each section with a plot: the file, and its caption."""


def section_markdown(section: Section, *, level: int) -> str:
    """Return one section for a README."""
    lines = [f"{'#' * level} {section.title}", "", section.lead]
    if section.verdicts:
        lines += ["", *verdict_rows(section.verdicts)]
    for table in section.tables:
        lines += ["", *([f"**{table.title}**", ""] if table.title else []), *_piped(table)]
    told = [*section.notes, *(f"FAILED: {failure}" for failure in section.failures)]
    if told:
        lines += ["", *(f"- {line}" for line in told)]
    return "\n".join(lines)


def verdict_rows(verdicts: Sequence[Verdict]) -> list[str]:
    """Return verdicts as a Markdown table."""
    rows = tuple(
        (
            verdict.what,
            f"at {'most' if verdict.at_most else 'least'} {verdict.bound:g}",
            "not measured" if verdict.found is None else shown(verdict.found),
            "met" if verdict.met else "**missed**",
        )
        for verdict in verdicts
    )
    return _piped(Table(headings=("target", "bound", "found (min-max)", ""), rows=rows))


def describe(verdict: Verdict) -> str:
    """Return one verdict as a line."""
    found = "not measured" if verdict.found is None else shown(verdict.found)
    bound = f"at {'most' if verdict.at_most else 'least'} {verdict.bound:g}"
    return f"{verdict.what}: {found}; {bound}: {'met' if verdict.met else 'MISSED'}"


def shown(found: Spread) -> str:
    """Return a median as text, with its range if there is one."""
    digits = 3 if abs(found.median) < 0.1 else 2
    if found.values == 1:
        return f"{found.median:.{digits}f}"
    return f"{found.median:.{digits}f} ({found.least:.{digits}f}-{found.most:.{digits}f})"


def _aligned(table: Table) -> Iterator[str]:
    rows = [table.headings, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headings))]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  " + "   ".join((first, *rest)).rstrip()


def _piped(table: Table) -> list[str]:
    return [
        _row(table.headings),
        "|---|" + "---:|" * (len(table.headings) - 1),
        *(_row(row) for row in table.rows),
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
