"""`enapter-async fleet`: many devices, from a file."""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from enapter_async.cli.exits import Exit, exit_of_report
from enapter_async.cli.job import run_job
from enapter_async.cli.options import Settings, connection_options, tell
from enapter_async.cli.results import ResultsFile, json_line, outcome_row, report_row
from enapter_async.cli.screen import Watch, show_report, tracker
from enapter_async.fleet.inputs import parse_operations, read_operations
from enapter_async.fleet.report import Outcome
from enapter_async.operation import Operation


@click.group("fleet")
def command() -> None:
    """Change many devices with one intention."""


@command.command("apply")
@connection_options
@click.argument("file")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="How many devices to change at once.",
)
@click.option("--check", is_flag=True, help="Read each device first; write only what differs.")
@click.option(
    "--credentials",
    metavar="FILE",
    help="Add minted configurations to this file of JSON Lines; it is made with mode 0600.",
)
@click.option(
    "--results",
    metavar="FILE",
    help="Write every outcome to this new file: CSV if named .csv, else JSON Lines.",
)
def apply_file(
    settings: Settings,
    *,
    file: str,
    concurrency: int,
    check: bool,
    credentials: str | None,
    results: str | None,
) -> None:
    r"""Carry out the operations of FILE, which is CSV or JSON Lines; '-' is standard input.

    \b
    operation,device_id,name,slug,blueprint_id,protocol
    update,dev-1,Boiler pump,,,
    assign_blueprint,dev-1,,,bp-2,
    generate_config,dev-2,,,,MQTTS
    delete,dev-3,,,,

    An empty cell leaves alone, other columns are ignored. The whole file is checked before
    the first request. Operations of one device go in the order of the file; once one of
    them fails, its later ones are held. Ctrl-C lets what is under way end, and reports.
    """
    operations = _read(file)
    if credentials is None and any(each.answer.secret for each in operations):
        raise click.UsageError(
            "the file generates configurations: say with --credentials FILE where they go"
        )
    click.get_current_context().exit(
        asyncio.run(
            _apply(
                settings,
                operations,
                concurrency=concurrency,
                check=check,
                credentials=credentials,
                results=results,
            )
        )
    )


def _read(file: str) -> list[Operation[Any]]:
    if file == "-":
        return parse_operations(sys.stdin.buffer.read(), source="standard input")
    return read_operations(file)


async def _apply(
    settings: Settings,
    operations: Sequence[Operation[Any]],
    *,
    concurrency: int,
    check: bool,
    credentials: str | None,
    results: str | None,
) -> Exit:
    watch = Watch()
    kinds = Counter(type(operation).__name__ for operation in operations)
    named = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    with contextlib.ExitStack() as stack:
        client = settings.client(hooks=[watch], in_flight=concurrency)
        written = stack.enter_context(ResultsFile(results)) if results else None
        tell(f"{len(operations)} operations{': ' if named else ''}{named}")
        tracking = stack.enter_context(tracker(len(operations), watch))

        def on_outcome(outcome: Outcome[Any]) -> None:
            tracking.advance(outcome)
            if settings.as_json:
                click.echo(json_line(outcome_row(outcome)))
            if written is not None:
                written.write(outcome)

        async with client:
            report, cut_short = await run_job(
                client,
                operations,
                on_outcome=on_outcome,
                concurrency=concurrency,
                credentials=credentials,
                check=check,
            )
    if settings.as_json:
        click.echo(json_line(report_row(report)))
    else:
        show_report(report)
    return exit_of_report(report) if cut_short is None else cut_short
