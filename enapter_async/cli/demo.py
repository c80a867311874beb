"""`enapter-async demo`: changes a thousand devices over a bad network, and checks each outcome."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from enapter_async.cli import completion
from enapter_async.cli.causes import Cause
from enapter_async.cli.demo_plan import make_world, write_plan
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.options import faults_option, tell
from enapter_async.cli.rehearsal import KINDS, Rehearsal, rehearse
from enapter_async.cli.summary import COLOURS, output_console, save_picture
from enapter_async.emulator.faults import (
    FaultProfile,
    Faults,
    Target,
    TooManyRequests,
)
from enapter_async.emulator.world import World
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.operation_files import read_operations
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import Report, State
from enapter_async.fleet.reporting.html import write_report
from enapter_async.operation import Operation
from enapter_async.text import plain

_LIES_SHOWN: Final = 20
_STRIP: Final = 100
_PICTURE: Final = 104
"""The width of a picture, in columns."""


@click.command("demo")
@click.option(
    "--devices",
    type=click.IntRange(min=10),
    default=1000,
    show_default=True,
    help="Number of devices.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the fleet and its faults."
)
@faults_option(0.15)
@click.option(
    "--max-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="N",
    help="Start at most N requests per second, slow enough to watch.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    shell_complete=completion.files,
    help="Save the run's report to this file as an HTML page.",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    shell_complete=completion.files,
    help="Save the output to this file as an SVG picture.",
)
def command(page: Path | None, svg: Path | None, devices: int, **chosen: Any) -> None:
    """Change a thousand emulated devices over a bad network, and check every outcome.

    Starts the emulator on this machine, writes a CSV file of renames, blueprint changes,
    configurations and deletions, and applies it as `fleet apply` does. Meanwhile requests are
    delayed, refused, dropped before or after they took effect, or answered only in part. Then each
    outcome is compared with the emulator's own log. The exit code is 1 if any reported outcome is
    wrong. Nothing leaves this machine.
    """
    console = output_console() if svg is None else output_console(width=_PICTURE, record=True)
    with tempfile.TemporaryDirectory(prefix="enapter-demo-") as made:
        folder = Path(made)
        ending = asyncio.run(_demo(console, folder, devices, **chosen))
        if page is not None:
            write_report(folder / "journal.db", page, name="enapter-async demo")
            tell(f"report: {plain(page)}")
    if svg is not None:
        save_picture(console, svg, "enapter-async demo")
    click.get_current_context().exit(ending)


async def _demo(
    console: Console, folder: Path, devices: int, *, seed: int, faults: float, max_rate: float
) -> Exit:
    title = f"{devices:,} devices, a bad network, and the truth about each one"
    console.print(Panel(title, title="enapter-async demo", border_style="cyan", expand=False))
    world = make_world(devices, seed)
    injected = Faults(FaultProfile(rate=faults, kinds=KINDS, seed=seed))
    if faults:
        # These pause all calls of the client, so they are injected only after half the job: a
        # random 429, or one before any response, says nothing about the rate that the server can
        # handle.
        def is_under_way(_: Target) -> bool:
            return world.log.count_arrivals() > devices // 2

        injected.add(TooManyRequests(retry_after=1), when=is_under_way)
        injected.add(TooManyRequests(), when=is_under_way, times=3)
    console.print(f"[bold]1[/] an emulator has {devices:,} devices, generated with seed {seed}")
    console.print(f"[bold]2[/] {faults * 100:g} % of the requests to it get a fault")
    rehearsed = await rehearse(
        world,
        _plan(world, folder, seed, console),
        RunOptions(abort=()),
        folder=folder,
        faults=injected,
        max_rate=max_rate,
    )
    _show(console, rehearsed)
    if rehearsed.lies:
        return Exit.FAILED
    return rehearsed.cut_short or Exit.DONE


def _plan(world: World, folder: Path, seed: int, console: Console) -> list[WorkItem]:
    """Write the file of changes, and return its operations with what is known of the devices.

    They are not planned, because a plan would refuse the mistakes in the file.
    """
    changes = folder / "changes.csv"
    write_plan(world, changes, seed)
    operations = read_operations(changes)
    kinds = Counter(operation.kind.removeprefix("device.") for operation in operations)
    named = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    console.print(f"[bold]3[/] {changes.name} holds {len(operations):,} operations: {named}")
    return [_item(world, seq, operation) for seq, operation in enumerate(operations)]


def _item(world: World, seq: int, operation: Operation[Any]) -> WorkItem:
    name = operation.subject() or ""
    if name not in world:
        return WorkItem(seq, operation)
    device = world.get(name)
    return WorkItem(seq, operation, group=device.site_id, name=device.name, type=device.type)


def _show(console: Console, told: Rehearsal) -> None:
    report = told.report
    console.print()
    console.print(_strip(report, min(console.width, _STRIP)))
    console.print(
        f"[bold]{told.requests:,}[/] requests in [bold]{told.seconds:.1f} s[/], "
        f"{told.requests / told.seconds:,.0f} a second, pauses included. "
        f"[bold]{report.retried}[/] operations were retried, "
        f"[bold]{report.settled}[/] lost their response and were settled by reading back."
    )
    faults = sorted(told.faults.items(), key=lambda pair: (-pair[1], pair[0]))
    if faults:
        met = ", ".join(f"{number} {name}" for name, number in faults)
        console.print(f"The network's faults: {met}.", style="dim", highlight=False)
    console.print()
    refused = [cause for cause in told.causes if cause.state == State.FAILED]
    if refused:
        console.print(_refusals(refused))
        console.print()
    if report.counts[State.UNKNOWN]:
        console.print(_unknown(told))
    held = report.counts[State.HELD]
    if held and told.cut_short is None:
        console.print(
            f"[bold]{held}[/] were not started, because an earlier operation on the same device "
            f"may not have been done."
        )
    console.print()
    console.print(_verdict(told))


def _strip(report: Report, width: int) -> Text:
    """Return a bar of all outcomes by state, at least one column each, with its legend."""
    found = {state: number for state, number in report.counts.items() if number}
    text = Text()
    for state, number in found.items():
        text.append("█" * max(1, number * width // max(report.total, 1)), COLOURS[state])
    text.append("\n")
    for state, number in found.items():
        text.append("■ ", COLOURS[state])
        text.append(f"{number:,}", "bold")
        text.append(f" {state}   ")
    return text


def _refusals(causes: Sequence[Cause]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.title, table.title_justify = "Refused by the API, not done", "left"
    table.add_column(justify="right", style="red")
    for cause in causes:
        table.add_row(str(cause.number), Text(plain(cause.why)))
    return table


def _unknown(told: Rehearsal) -> Text:
    kinds = Counter(
        type(outcome.operation).__name__
        for outcome in told.outcomes
        if outcome.state is State.UNKNOWN
    )
    named = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    said = ["the response was lost."]
    if kinds["GenerateConfig"]:
        said.append(
            "Each request generates a new configuration, so none was sent twice, and a "
            "configuration cannot be read back."
        )
    if kinds.total() > kinds["GenerateConfig"]:
        said.append(
            "Operations that set a state were sent again, but reading back failed or showed "
            "another state."
        )
    return Text.assemble((f"{named} with an unknown outcome", "magenta"), f": {' '.join(said)}")


def _verdict(told: Rehearsal) -> Panel:
    number = len(told.outcomes)
    if not told.lies:
        return Panel(
            Text(f"CHECKED: all {number:,} outcomes agree with the emulator's own log."),
            border_style="bold green",
            expand=False,
        )
    shown: list[Text] = [Text(lie) for lie in told.lies[:_LIES_SHOWN]]
    head = Text(f"WRONG: {len(told.lies)} of {number:,} outcomes", "bold red")
    return Panel(Group(head, *shown), border_style="bold red", expand=False)
