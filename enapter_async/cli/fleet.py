"""`enapter-async fleet`: many devices, from a file."""

import sys
from collections.abc import Collection
from typing import Any

import click

from enapter_async.cli import completing
from enapter_async.cli.applying import How, apply_all, guard_option
from enapter_async.cli.confirm import yes_option
from enapter_async.cli.options import Settings, connection_options
from enapter_async.cli.planning import make_plan, template
from enapter_async.cli.reporting import rehearse_plan, report_run
from enapter_async.cli.runs import resume, runs, status
from enapter_async.cli.staging import Staging, staging_options
from enapter_async.cli.undoing import undo_run
from enapter_async.fleet.inputs import parse_operations, read_operations
from enapter_async.fleet.planning.file import is_plan
from enapter_async.fleet.planning.guard import GuardMode
from enapter_async.fleet.planning.plan import read_plan


@click.group("fleet")
def command() -> None:
    """Change many devices with one intention."""


@command.command("apply")
@connection_options
@click.argument("file", shell_complete=completing.files)
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
    shell_complete=completing.files,
    help="Add minted configurations to this file of JSON Lines; it is made with mode 0600. "
    "[default: credentials.jsonl in the run's folder]",
)
@click.option(
    "--results",
    metavar="FILE",
    shell_complete=completing.files,
    help="Write every outcome to this new file: CSV if named .csv, else JSON Lines.",
)
@guard_option
@staging_options
@click.option(
    "--power",
    is_flag=True,
    help="Let the journal survive a power loss, too: every request waits up to 10 ms for the disk, "
    "not only those that make configurations.",
)
@click.option("--skip-refused", is_flag=True, help="Leave out what a plan says cannot be done.")
@yes_option
def apply_file(
    settings: Settings,
    *,
    file: str,
    concurrency: int,
    check: bool,
    credentials: str | None,
    results: str | None,
    guard: str,
    staging: Staging,
    power: bool,
    skip_refused: bool,
    yes: bool,
) -> None:
    """Carry out FILE: a plan, or operations as CSV or JSON Lines; '-' is standard input.

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

    A plan, which `fleet plan` writes, is applied exactly, and only to devices that are still
    as planned; the API has no conditional write, so a change by somebody else between look
    and write is overwritten. Deletions and new configurations are confirmed by typing their
    number, or by --yes.

    Each run has a folder in $ENAPTER_STATE_DIR/runs (else in your state folder) with its
    journal and its results. Ctrl-C lets what is under way end, and `fleet resume` goes on.
    """  # noqa: D301 - \b is click's own mark: leave the lines of this paragraph as they are
    how = How(
        concurrency=concurrency,
        check=check,
        credentials=credentials,
        results=results,
        guard=GuardMode(guard),
        staging=staging,
        yes=yes,
        skip_refused=skip_refused,
        power=power,
    )
    click.get_current_context().exit(apply_all(settings, _read(file), how, source=file))


def _read(file: str) -> Collection[Any]:
    if file == "-":
        return parse_operations(sys.stdin.buffer.read(), source="standard input")
    return read_plan(file) if is_plan(file) else read_operations(file)


for each in (template, make_plan, rehearse_plan, resume, status, runs, report_run, undo_run):
    command.add_command(each)
