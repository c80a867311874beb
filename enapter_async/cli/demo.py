"""`enapter-async demo`: changes a thousand devices over a bad network, and checks each outcome."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from enapter_async.cli import completion
from enapter_async.cli.demo_plan import make_world, write_plan
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.rehearsal import KINDS, Rehearsal, rehearse
from enapter_async.cli.summary import output_console, save_picture, states_table
from enapter_async.emulator.faults import (
    FaultProfile,
    Faults,
    Target,
    TooManyRequests,
)
from enapter_async.emulator.world import World
from enapter_async.errors import APIError
from enapter_async.fleet.operation_files import read_operations
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import State, reason_of
from enapter_async.operation import Operation

_LIES_SHOWN: Final = 20
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
@click.option(
    "--faults",
    type=click.FloatRange(0, 1),
    default=0.15,
    show_default=True,
    metavar="RATE",
    help="Share of requests that get a fault, from 0 to 1.",
)
@click.option(
    "--max-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="N",
    help="Start at most N requests per second, slow enough to watch.",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    shell_complete=completion.files,
    help="Save the output to this file as an SVG picture.",
)
def command(devices: int, seed: int, faults: float, max_rate: float, svg: Path | None) -> None:
    """Change a thousand emulated devices over a bad network, and check every outcome.

    Starts the emulator on this machine, writes a CSV file of renames, blueprint changes,
    configurations and deletions, and applies it as `fleet apply` does. Meanwhile requests are
    delayed, refused, dropped before or after they took effect, or answered only in part. Then each
    outcome is compared with the emulator's own log. The exit code is 1 if any reported outcome is
    wrong. Nothing leaves this machine.
    """
    console = output_console() if svg is None else output_console(width=_PICTURE, record=True)
    ending = asyncio.run(_demo(console, devices, seed, faults, max_rate))
    if svg is not None:
        save_picture(console, svg, "enapter-async demo")
    click.get_current_context().exit(ending)


async def _demo(console: Console, devices: int, seed: int, rate: float, max_rate: float) -> Exit:
    console.print(
        Panel(
            Text(f"{devices:,} devices, a bad network, and the truth about each one"),
            title="enapter-async demo",
            border_style="cyan",
            expand=False,
        )
    )
    world = make_world(devices, seed)
    faults = Faults(FaultProfile(rate=rate, kinds=KINDS, seed=seed))
    if rate:
        # These pause all calls of the client, so they are injected only after half the job: a
        # random 429, or one before any response, says nothing about the rate that the server can
        # handle.
        def is_under_way(_: Target) -> bool:
            return world.log.count_arrivals() > devices // 2

        faults.add(TooManyRequests(retry_after=1), when=is_under_way)
        faults.add(TooManyRequests(), when=is_under_way, times=3)
    with tempfile.TemporaryDirectory(prefix="enapter-demo-") as folder:
        console.print(f"[bold]1[/] an emulator has {devices:,} devices, generated with seed {seed}")
        console.print(f"[bold]2[/] {rate * 100:g} % of the requests to it get a fault")
        operations = _plan(world, Path(folder), seed, console)
        rehearsed = await rehearse(
            world,
            operations,
            RunOptions(abort=()),
            folder=Path(folder),
            faults=faults,
            max_rate=max_rate,
        )
    _show(console, rehearsed)
    if rehearsed.lies:
        return Exit.FAILED
    return rehearsed.cut_short or Exit.DONE


def _plan(world: World, folder: Path, seed: int, console: Console) -> list[Operation[Any]]:
    changes = folder / "changes.csv"
    write_plan(world, changes, seed)
    operations = read_operations(changes)
    kinds = Counter(type(operation).__name__ for operation in operations)
    named = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    console.print(f"[bold]3[/] {changes.name} holds {len(operations):,} operations: {named}\n")
    return operations


def _show(console: Console, told: Rehearsal) -> None:
    report = told.report
    console.print()
    console.print(
        Columns(
            [
                states_table(report),
                _counts_table("What the network did", told.faults),
                _counts_table("Failed attempts and their known effect", told.failed),
            ],
            padding=(0, 3),
        )
    )
    refused = Counter(
        reason_of(outcome.error)
        for outcome in told.outcomes
        if outcome.state is State.FAILED and isinstance(outcome.error, APIError)
    )
    if refused:
        console.print(_counts_table("Refused by the API, not done", refused))
    console.print(
        f"[bold]{report.retried}[/] operations were retried; the table includes them. "
        f"[bold]{report.settled}[/] lost their response and were settled by reading back."
    )
    if report.counts[State.UNKNOWN]:
        console.print(_unknown(told))
    held = report.counts[State.HELD]
    if held and told.cut_short is None:
        console.print(
            f"[bold]{held}[/] were not started, because an earlier operation on the same device "
            f"may not have been done."
        )
    console.print(
        f"[bold]{told.requests:,}[/] requests in [bold]{told.seconds:.1f} s[/], "
        f"{told.requests / told.seconds:,.0f} a second, pauses included\n"
    )
    console.print(_verdict(told))


def _counts_table(title: str, counts: Mapping[str, int]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("times", justify="right")
    for what, number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        table.add_row(Text(what), str(number))
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
