"""Prints the summary of a run, with meanings and colours for its states."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from enapter_async.cli.causes import Cause, show_causes
from enapter_async.cli.options import DOCTOR
from enapter_async.cli.streams import fancy
from enapter_async.errors import TransportError, reason_of
from enapter_async.fleet.errors import PausedTooLongError
from enapter_async.fleet.outcomes import Outcome, Report, State
from enapter_async.fleet.planning.plan import Kind, kind_of
from enapter_async.operation import Operation, described
from enapter_async.text import counted, plain

COLOURS: Final = {
    State.APPLIED: "green",
    State.UNCHANGED: "cyan",
    State.ABSENT: "blue",
    State.DIFFERS: "bright_red",
    State.PENDING: "bright_yellow",
    State.FAILED: "red",
    State.UNKNOWN: "magenta",
    State.HELD: "yellow",
}
MEANINGS: Final = {
    State.APPLIED: "done",
    State.UNCHANGED: "already had the requested state",
    State.ABSENT: "was already gone",
    State.DIFFERS: "done, but with a different result",
    State.PENDING: "accepted, and not ended yet",
    State.FAILED: "not done",
    State.UNKNOWN: "may or may not have been done",
    State.HELD: "not started",
}
_ADVICE: Final = "Unknown operations may or may not have been done."
_ADVICE_OF: Final = MappingProxyType(
    {
        Kind.USUAL: "Updates, deletions and blueprint changes can simply be applied again.",
        Kind.SECRET: "A configuration cannot be read back: check the device first, then generate "
        "it again if necessary.",
        Kind.ONCE: "Check before you repeat a creation or a command: the list of objects, or the "
        "device's executions, may show it.",
    }
)
TITLES: Final = MappingProxyType(
    {
        "held": ("Not started", "yellow"),
        "pending": ("Not ended yet", "bright_yellow"),
        "differs": ("Done, but with a different result", "bright_red"),
        "failed": ("Failed", "red"),
        "unknown": ("Unknown", "magenta"),
    }
)


def output_console(*, width: int | None = None, record: bool = False) -> Console:
    """Return a console for standard output; without a terminal it is wide and uncoloured."""
    if fancy(sys.stdout):
        return Console(file=sys.stdout, width=width, record=record)
    return Console(file=sys.stdout, width=width or 120, color_system=None, record=record)


def show_lines(console: Console, lines: Iterable[str], style: str | None = None) -> None:
    """Print lines as they are: unmarked, and whole even where a terminal is narrower."""
    for line in lines:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def show_counts(console: Console, counts: Mapping[State, int]) -> None:
    """Print how many operations are in each state, with its meaning."""
    for state, number in counts.items():
        if number:
            show_lines(console, [f"  {number:>8} {state:<10} {MEANINGS[state]}"], COLOURS[state])


def save_picture(console: Console, path: Path, title: str) -> None:
    """Save a recording console's output as a self-contained SVG."""
    picture = console.export_svg(title=title, unique_id="terminal")
    path.write_text(re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL), "utf-8")


def show_report(report: Report, causes: Sequence[Cause] = ()) -> None:
    """Write the summary of a run to standard output: what was not done and why, then the counts."""
    console = output_console()
    show_causes(console, causes, TITLES)
    if report.counts[State.UNKNOWN]:
        console.print(f"{advice(each.operation for each in report.unknowns)}\n")
    console.print(states_table(report))
    console.print(
        f"{counted(report.attempts, 'attempt')}, "
        f"{counted(report.retried, 'operation')} tried more than once, "
        f"{report.settled} settled by reading back, {report.elapsed:.1f} s",
        style="dim",
    )
    if report.stopped is not None:
        console.print(Text(f"Stopped: {reason_of(report.stopped)}", "bold red"))
        if isinstance(report.stopped, TransportError | PausedTooLongError):
            console.print(DOCTOR)
    if not report.complete:
        console.print("The input was not read completely.", style="yellow")


def advice(unknown: Iterable[Operation[Any]]) -> str:
    """Return what to do about unknown operations, depending on their kinds."""
    kinds = {Kind.USUAL if kind is Kind.REMOVES else kind for kind in map(kind_of, unknown)}
    return " ".join((_ADVICE, *(text for kind, text in _ADVICE_OF.items() if kind in kinds)))


def states_table(report: Report) -> Table:
    """Return a table of the number of operations in each state that occurred."""
    table = Table(title="Outcomes of the operations", title_justify="left")
    table.add_column("state")
    table.add_column("operations", justify="right")
    table.add_column("meaning", style="dim")
    for state, number in report.counts.items():
        if not number:
            continue
        style = COLOURS[state]
        table.add_row(Text(str(state), style), Text(str(number), style), MEANINGS[state])
    table.add_row(Text("total", "bold"), Text(str(report.total), "bold"), "")
    return table


def line_of(outcome: Outcome[Any]) -> str:
    """Return an outcome as one line."""
    reason = "" if outcome.error is None else f": {reason_of(outcome.error)}"
    return plain(f"{described(outcome.operation)} {outcome.state}") + reason
