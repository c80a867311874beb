"""`enapter-async fleet`: many devices, from a file."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from enapter_async.cli.journalled import Job, carry_out
from enapter_async.cli.options import Settings, connection_options, tell
from enapter_async.cli.runs import resume, runs, status
from enapter_async.fleet.continuing import JournalOptions
from enapter_async.fleet.inputs import parse_operations, read_operations
from enapter_async.fleet.runs import RunFolder, runs_directory
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
    help="Add minted configurations to this file of JSON Lines; it is made with mode 0600. "
    "[default: credentials.jsonl in the run's folder]",
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
    them fails, its later ones are held. Equal operations are merged; two values for one
    field, or anything after a deletion, is refused.

    Each run has a folder in $ENAPTER_STATE_DIR/runs (else in your state folder) with its
    journal and its results. Ctrl-C lets what is under way end, and `fleet resume` goes on.
    """
    operations = _read(file)
    kinds = Counter(type(operation).__name__ for operation in operations)
    named = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    folder = RunFolder.create(runs_directory(), now=time.time())
    try:
        tell(f"{len(operations)} operations{': ' if named else ''}{named}")
        tell(f"run {folder.id}")
        job = Job(
            folder=folder,
            journal=JournalOptions(path=folder.journal, facts={"source": file}),
            operations=operations,
            total=len(operations),
            concurrency=concurrency,
            check=check,
            credentials=credentials or _credentials(operations, folder),
            results=results,
        )
        ending = asyncio.run(carry_out(settings, job))
    finally:
        folder.discard_if_unused()
    click.get_current_context().exit(ending)


def _credentials(operations: Sequence[Operation[Any]], folder: RunFolder) -> str | None:
    mints = any(each.answer.secret for each in operations)
    return str(folder.credentials) if mints else None


def _read(file: str) -> list[Operation[Any]]:
    if file == "-":
        return parse_operations(sys.stdin.buffer.read(), source="standard input")
    return read_operations(file)


command.add_command(resume)
command.add_command(status)
command.add_command(runs)
