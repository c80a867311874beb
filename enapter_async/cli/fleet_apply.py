"""`enapter-async fleet apply`: applies operations or a plan, in a new run folder."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final

import attrs
import click

from enapter_async.cli import completion
from enapter_async.cli.causes import SHOWN, causes_of_plan, lines_of
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.files import operations_of
from enapter_async.cli.fleet_jobs import apply_as_job
from enapter_async.cli.options import Settings, shared_command, tell, typed
from enapter_async.cli.prompts import confirm_lasting, yes_option
from enapter_async.cli.run_options import (
    AGAIN,
    CAUTION,
    CHECK,
    CONCURRENCY,
    WAIT,
    WAVES,
    NewJob,
    job_options,
    pace_facts,
    run_options,
)
from enapter_async.cli.runner import carry_out
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.run_folders import RunFolder, runs_directory
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.plan import Kind, Plan, kind_of, read_plan
from enapter_async.fleet.planning.plan_file import is_plan
from enapter_async.fleet.row_numbers import RowNumbers, rows_text
from enapter_async.text import counted

_LASTING: Final = {
    Kind.REMOVES: "deletion",
    Kind.SECRET: "new configuration",
    Kind.ONCE: "once-only operation",
}


def apply_all(
    settings: Settings,
    operations: Collection[Any],
    options: RunOptions,
    *,
    source: str,
    results: str | None = None,
    force: bool = False,
    power: bool = False,
    skip_refused: bool = False,
    yes: bool = False,
) -> Exit:
    """Ask for confirmation, create the run's folder, run the job; return the exit code.

    Raises:
        click.UsageError: confirmation is required but not possible, or the plan refuses items.
        click.Abort: the user did not confirm.
    """
    kinds = _confirm(operations, skip_refused=skip_refused, yes=yes)
    folder = RunFolder.create(runs_directory(), now=time.time())
    copy = folder.path / "plan.jsonl"
    try:
        if isinstance(operations, Plan):
            operations.write(copy)
        tell(_told(operations))
        default = str(folder.credentials) if kinds[Kind.SECRET] else None
        options = attrs.evolve(
            options,
            journal=JournalOptions(
                path=folder.journal,
                power=power,
                facts={
                    "source": source,
                    "command": typed(),
                    "rows": rows_of(operations),
                    **pace_facts(settings, options.concurrency),
                },
            ),
            credentials=options.credentials or default,
        )
        running = carry_out(
            settings,
            folder,
            operations,
            options,
            total=len(operations),
            results=results,
            replace_results=force,
            new=True,
        )
        return asyncio.run(running)
    finally:
        if not folder.journal.exists():
            copy.unlink(missing_ok=True)
        folder.discard_if_unused()


def _confirm(operations: Collection[Any], *, skip_refused: bool, yes: bool) -> Mapping[Kind, int]:
    """Ask for confirmation of lasting changes; return how many operations are of each kind."""
    kinds: Mapping[Kind, int]
    if isinstance(operations, Plan):
        _check_plan(operations, skip_refused=skip_refused)
        kinds = {
            Kind.REMOVES: operations.deletions,
            Kind.SECRET: operations.configurations,
            Kind.ONCE: operations.once,
        }
    elif skip_refused:
        raise click.UsageError(
            "--skip-refused needs a plan, because only a plan refuses operations: make one with "
            "`enapter-async fleet plan FILE -o PLAN`"
        )
    else:
        kinds = Counter(map(kind_of, operations))
    confirm_lasting({what: kinds[kind] for kind, what in _LASTING.items()}, yes=yes)
    return kinds


def _check_plan(plan: Plan, *, skip_refused: bool) -> None:
    refused = plan.counts[Verdict.REFUSED]
    if refused and not skip_refused:
        width = len(str(refused))
        lines = [line for cause in causes_of_plan(plan)[:SHOWN] for line in lines_of(cause, width)]
        raise click.UsageError(
            f"the plan has {counted(refused, 'operation')} that cannot be done; correct the "
            "input, or leave out what cannot be done with --skip-refused:\n" + "\n".join(lines)
        )


def rows_of(operations: Collection[Any]) -> str:
    """Return which rows of the user's file the items of a run come from, as far as is known."""
    if not isinstance(operations, Plan):
        return rows_text(enumerate(getattr(operations, "rows", ())))
    lines = RowNumbers(operations.header.rows)
    found = ((each.seq, lines.row(each.line)) for each in operations.items())
    return rows_text((seq, row) for seq, row in found if seq is not None and row is not None)


def _told(operations: Collection[Any]) -> str:
    if isinstance(operations, Plan):
        counts = {str(verdict): number for verdict, number in operations.counts.items()}
    else:
        kinds = Counter(type(each) for each in operations).most_common()
        counts = {kind.__name__: number for kind, number in kinds}
    named = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return f"{counted(len(operations), 'operation')}{': ' if named else ''}{named}"


@shared_command("apply")
@click.argument("file", shell_complete=completion.files)
@run_options(CONCURRENCY, CHECK, AGAIN, WAIT, *WAVES, *CAUTION)
@click.option(
    "--credentials",
    metavar="FILE",
    shell_complete=completion.files,
    help="Append generated configurations to this JSON Lines file, which is created with mode "
    "0600. "
    "[default: credentials.jsonl in the run's folder]",
)
@click.option(
    "--results",
    metavar="FILE",
    shell_complete=completion.files,
    help="Write every outcome to this new file, as CSV if its name ends in .csv, otherwise as JSON "
    "Lines.",
)
@click.option("--force", is_flag=True, help="Replace the file of --results if it already exists.")
@click.option(
    "--power",
    is_flag=True,
    help="Make the journal survive a power loss: every request waits up to 10 ms for the disk, not "
    "only those that generate configurations.",
)
@click.option(
    "--skip-refused", is_flag=True, help="Leave out the operations that the plan refuses."
)
@job_options
@yes_option
def apply_file(
    settings: Settings,
    *,
    file: str,
    options: RunOptions,
    new_job: NewJob | None,
    **how: Any,
) -> None:
    """Apply FILE: a plan, or operations as CSV or JSON Lines; '-' reads standard input.

    \b
    operation,device_id,name,slug,blueprint_id,protocol
    update,dev-1,Boiler pump,,,
    assign_blueprint,dev-1,,,bp-2,
    generate_config,dev-2,,,,MQTTS
    delete,dev-3,,,,

    An empty cell leaves the field unchanged. Other columns are listed and ignored. The whole file
    is checked before the first request. Operations on one device run in file order; if one fails,
    the later ones are held. Duplicate operations are merged. Two values for one field are refused,
    and so is any operation after a deletion.

    A plan, written by `fleet plan`, is applied exactly, and only to devices that are still as
    planned. The API has no conditional write, so a change made by somebody else between this check
    and the write is overwritten. Deletions and new configurations must be confirmed by typing their
    number, or with --yes. A plan that generates configurations is applied only once, even from a
    copy of its file; then plan again, or use --again.

    Each run has a folder for its journal and results in $ENAPTER_STATE_DIR/runs (by default, in
    your state folder). Ctrl-C lets operations in flight finish; `fleet resume` does the rest.

    With --journal, FILE becomes a job for several workers instead; see `fleet worker`.
    """  # noqa: D301 - \b is click's own mark: leave the lines of this paragraph as they are
    if new_job is None:
        ending = apply_all(settings, _read(file), options, source=file, **how)
    else:
        operations = _read(file)
        _confirm(operations, skip_refused=how["skip_refused"], yes=how["yes"])
        for option in ("results", "power", "force"):
            if how[option]:
                raise click.UsageError(f"--{option} cannot be combined with --journal")
        ending = apply_as_job(
            settings,
            operations,
            options,
            new_job,
            credentials=None if options.credentials is None else str(options.credentials),
            facts={"source": file, "command": typed(), "rows": rows_of(operations)},
        )
    click.get_current_context().exit(ending)


def _read(file: str) -> Collection[Any]:
    return read_plan(file) if file != "-" and is_plan(file) else operations_of(file)
