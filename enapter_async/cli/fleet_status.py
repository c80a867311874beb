"""`enapter-async fleet resume`, `status`, `runs` and `report`: shows and continues runs."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import click
from rich.console import Console

from enapter_async.cli import completion
from enapter_async.cli.causes import causes_in, show_causes
from enapter_async.cli.endings import exit_of_run
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.fleet_jobs import (
    job_at,
    list_jobs,
    report_path,
    resume_job,
    show_status,
)
from enapter_async.cli.options import Settings, shared_command, tell
from enapter_async.cli.places import AddressedRun, Place, find_place
from enapter_async.cli.prompts import confirm, force_option, output_option
from enapter_async.cli.rows import json_line
from enapter_async.cli.run_options import (
    CAUTION,
    CHECK,
    CONCURRENCY,
    WAIT,
    WORKERS,
    paced_as_begun,
    run_options,
)
from enapter_async.cli.runner import carry_out, commands_on
from enapter_async.cli.streams import although_unheard, fancy
from enapter_async.cli.summary import TITLES, output_console, show_counts, show_lines
from enapter_async.cli.tables import write_table
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.journal.names import read_journal, store_of
from enapter_async.fleet.journal.options import AMBIGUOUS, JournalOptions
from enapter_async.fleet.journal.run_folders import RunFolder, all_runs, runs_directory
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.private_files import check_new
from enapter_async.fleet.reporting.html import write_report
from enapter_async.fleet.reporting.results import write_result_files
from enapter_async.fleet.reporting.status import RunStatus
from enapter_async.text import counted, plain

_DAY: Final = 86_400.0
_EXPLAINED: Final = (State.PENDING, State.DIFFERS, State.FAILED, State.UNKNOWN)
_EXPLAINED_AT_MOST: Final = 100_000
"""Operations; finding the causes among more of them would take longer than a status should."""


def row_of_run(folder: Place, status: RunStatus) -> dict[str, Any]:
    """Return a run's status as one JSON object."""
    return {
        "run": folder.id,
        "path": str(folder.path),
        "created_at": status.created_at,
        "base_url": status.facts.get("base_url"),
        "source": status.facts.get("source"),
        "running": status.running,
        "complete_input": status.complete,
        "counts": {str(state): number for state, number in status.counts.items()},
        "in_flight": status.in_flight,
        "waiting": status.waiting,
        "wave": status.wave,
        "waves": status.waves,
        "pace": None if status.pace is None else str(status.pace),
        "acknowledged": status.acknowledged,
        "intents": status.intents,
        "credentials": status.credentials,
        "credentials_kept": status.kept,
        "credentials_elsewhere": list(status.credentials_elsewhere),
        "next": [command for _, command in commands_on(folder, status)],
    }


@shared_command("resume")
@click.argument("run", shell_complete=completion.runs)
@click.option("--retry-failed", is_flag=True, help="Also retry failed operations.")
@click.option(
    "--ambiguous",
    type=click.Choice(AMBIGUOUS),
    default="report",
    show_default=True,
    help="How to treat what is done only once, such as configurations and commands, and has an "
    "unknown outcome: leave it unknown, send it again, or leave it unknown and record that you "
    "acknowledge it.",
)
@click.option(
    "--accept-new-token",
    is_flag=True,
    help="Continue with another token, after it has read up to three devices of the run.",
)
@click.option(
    "--accept-wave",
    is_flag=True,
    help="Continue even though the run stopped at a wave that did not pass.",
)
@click.option(
    "--accept-candidates",
    is_flag=True,
    help="Search for executions that an unknown command may have created; if there is exactly one, "
    "accept its outcome.",
)
@WORKERS
@run_options(CONCURRENCY, CHECK, WAIT, *CAUTION)
def resume(
    settings: Settings,
    *,
    run: str,
    options: RunOptions,
    workers: int | None,
    **how: Any,
) -> None:
    """Continue RUN; finished operations are not sent again.

    RUN is a run's id or a prefix of it, a path, `last`, or the address of a run in PostgreSQL.
    The server must be the same; so must the token, unless --accept-new-token is given. The run
    keeps its original waves. If a wave did not pass in an earlier session, it must pass before
    the next one starts. The run also keeps its original --max-rate and --concurrency, unless they
    are given again. All other options are taken from this command.

    RUN may also be the folder or address of a job for several workers, which keeps its options.
    """
    if (job := job_at(run)) is not None:
        ending = resume_job(settings, job, how, workers=workers)
        click.get_current_context().exit(ending)
    if workers is not None:
        raise click.UsageError("--workers requires a job created by `fleet apply --journal`")
    folder = find_place(run)
    look = RunStatus.read(folder.journal)
    if settings.base_url is None and look.facts:
        settings = attrs.evolve(settings, base_url=look.facts["base_url"])
    settings, options = paced_as_begun(settings, options, look.facts)
    options = attrs.evolve(options, journal=JournalOptions(path=folder.journal, **how))
    if isinstance(folder, AddressedRun) and look.credentials_elsewhere and not look.credentials:
        folder.make_folder()
        options = attrs.evolve(options, credentials=folder.path / "credentials.jsonl")
    left = look.total - look.done
    tell(f"run {folder.id}: {look.done} of {look.total} done, {left} left")
    click.get_current_context().exit(
        asyncio.run(carry_out(settings, folder, None, options, total=left))
    )


@shared_command("status")
@click.argument("run", default="last", shell_complete=completion.runs)
def status(settings: Settings, *, run: str) -> None:
    """Show the status of RUN, even while it is running; nothing is sent.

    RUN is a run's id or a prefix of it, a path, `last`, or the address of a run in PostgreSQL.
    The exit code is that of the run; while it is running, 0 means that nothing has gone wrong so
    far.
    """
    if (job := job_at(run)) is not None:
        click.get_current_context().exit(show_status(settings, job))
    folder = find_place(run)
    look = RunStatus.read(folder.journal)
    if settings.as_json:
        click.echo(json_line(row_of_run(folder, look)))
    else:
        _show(folder, look)
    click.get_current_context().exit(exit_of_run(look))


def _show(folder: Place, look: RunStatus) -> None:
    console = output_console()
    going = "is running" if look.running else "is not running"
    source = plain(look.facts.get("source", "operations"))
    lines = [
        f"Run {folder.id} of {source} {going}",
        f"started {look.created_at}, server {plain(look.facts.get('base_url'))}",
        f"in {folder.path}",
    ]
    show_lines(console, lines)
    show_counts(console, look.counts)
    going_on = ((look.in_flight, "in flight"), (look.waiting, "not processed yet"))
    show_lines(console, (f"  {number:>8} {words}" for number, words in going_on if number))
    show_lines(console, (*_facts(look), *_credentials(look)))
    _show_why(folder, look, console)
    show_lines(console, (f"{words}: {command}" for words, command in commands_on(folder, look)))


def _show_why(folder: Place, look: RunStatus, console: Console) -> None:
    """Show why operations were not done, once the run is over; a long run has its report."""
    not_done = any(look.counts[state] for state in _EXPLAINED)
    if look.running or not not_done or look.total > _EXPLAINED_AT_MOST:
        return
    with contextlib.closing(read_journal(folder.journal)) as journal:
        causes = causes_in(journal)
    console.print()
    titles = {str(state): TITLES[state] for state in _EXPLAINED}
    show_causes(console, causes, titles)


def _facts(look: RunStatus) -> Iterator[str]:
    if look.waves > 1:
        yield f"wave {look.wave} of {look.waves}"
    if look.pace is not None and (look.pace.rate is not None or look.pace.paused_s):
        yield f"pace: {look.pace}"
    if look.acknowledged:
        yield f"{look.acknowledged} unknown outcomes were acknowledged"


def _credentials(look: RunStatus) -> Iterator[str]:
    if look.credentials is not None:
        yield f"{counted(look.kept, 'configuration')} stored in {plain(look.credentials)}"
    for other in look.credentials_elsewhere:
        yield f"more may be stored in {plain(other)}"


@shared_command("runs")
@click.option(
    "--prune",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Remove the runs that ended more than DAYS days ago, with their journals.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation before removing them.")
@click.option(
    "--journal",
    metavar="DATABASE",
    help="List the latest jobs in this PostgreSQL database instead.",
)
def runs(settings: Settings, *, prune: float | None, yes: bool, journal: str | None) -> None:
    """List the runs, oldest first.

    --prune keeps runs that are in progress, stopped or have unknown outcomes, and those that hold
    generated configurations, of which there is no other copy. It also removes journals that are
    damaged or of another version. A removed run can no longer be undone.
    """
    if journal is not None:
        if prune is not None:
            raise click.UsageError("--prune removes only runs of this machine, without --journal")
        list_jobs(settings, journal)
    elif prune is not None:
        _prune(settings, days=prune, yes=yes)
    else:
        _list_runs(settings)


def _list_runs(settings: Settings) -> None:
    found = False
    table: list[list[str]] = []
    on_terminal = fancy(sys.stdout)
    for folder in all_runs(runs_directory()):
        found = True
        try:
            look = RunStatus.read(folder.journal)
        except ConfigurationError as error:
            if settings.as_json:
                click.echo(json_line({"run": folder.id, "error": str(error)}))
            else:
                click.echo(f"{folder.id}  unreadable: {plain(error)}")
            continue
        if settings.as_json:
            click.echo(json_line(row_of_run(folder, look)))
            continue
        going = "running" if look.running else exit_of_run(look).name.lower()
        source = plain(look.facts.get("source", ""))
        if on_terminal:
            table.append([folder.id, f"{look.done} of {look.total}", going, source])
        else:
            click.echo(f"{folder.id}  {look.done:>7} of {look.total:<7} done  {going:<8}  {source}")
    if table:
        write_table(("RUN", "DONE", "STATE", "SOURCE"), table)
    if not found and not settings.as_json:
        tell(f"there is no run in {runs_directory()}")


def _prune(settings: Settings, *, days: float, yes: bool) -> None:
    old = [each for each in all_runs(runs_directory()) if each.age(time.time()) > days * _DAY]
    reasons = {each.id: _why_kept(each) for each in old}
    unneeded = [each for each in old if not reasons[each.id]]
    for name, why in reasons.items():
        if why:
            tell(f"{name} is kept: {why}")
    if not unneeded:
        tell(f"no run that ended more than {days:g} days ago can be removed")
        return
    confirm(f"{counted(len(unneeded), 'run')} will be removed", len(unneeded), yes=yes)
    for each in unneeded:
        each.remove()
        if settings.as_json:
            click.echo(json_line({"removed": each.id}))
    tell(f"removed: {counted(len(unneeded), 'run')}")


def _why_kept(folder: RunFolder) -> str:
    """Return why a run must not be removed; "" if it may be."""
    if folder.credentials.exists():
        return "it holds generated configurations, of which there is no other copy"
    try:
        status = RunStatus.read(folder.journal)
    except ConfigurationError:
        return ""
    if status.running:
        return "it is in progress"
    ending = exit_of_run(status)
    if ending is Exit.UNKNOWN:
        return "it has unknown outcomes"
    return "" if ending in (Exit.DONE, Exit.FAILED) else "it stopped, and can be resumed"


@shared_command("report")
@click.argument("run", default="last", shell_complete=completion.runs)
@output_option(
    metavar="FILE",
    help="Write to this new file. [default: report.html in the run's folder]",
)
@force_option
def report_run(settings: Settings, *, run: str, output: str | None, force: bool) -> None:
    """Write an HTML report of RUN that opens in any browser; nothing is sent.

    RUN is a run's id or a prefix of it, a path, `last`, or the address of a run in PostgreSQL.
    The report shows the operations, their outcomes, the waves and the course of the run over
    time. It explains why operations were not done, and lists up to 5,000 of them. The file is
    self-contained and holds no secrets; only you can read it.
    """
    if (job := job_at(run)) is not None:
        path = report_path(job, output, replace=force)
        write_report(job, path, name=job.name)
    else:
        path = _report(find_place(run), output, force=force)
    with although_unheard():
        click.echo(json_line({"report": str(path)}) if settings.as_json else plain(path))


def _report(folder: Place, output: str | None, *, force: bool) -> Path:
    """Write the report of a run, and return its path."""
    if isinstance(folder, AddressedRun):
        folder.make_folder()
    path = folder.path / "report.html" if output is None else Path(output)
    if output is not None:
        check_new(output, replace=force)
    elif not os.access(folder.path, os.W_OK):
        raise ConfigurationError(
            f"{folder.path} is not writable; choose another place with -o FILE"
        )
    try:
        write_report(folder.journal, path, run=folder.id, results=_results(folder))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    return path


def _results(folder: Place) -> list[Path]:
    """Write the current results and return their files; while the run is in progress, none."""
    if store_of(folder.journal).is_held():
        return []
    if os.access(folder.path, os.W_OK):
        return write_result_files(folder.journal, folder.path)
    tell(f"{folder.path} is not writable; its results were not updated")
    files = (folder.path / "results.csv", folder.path / "results.jsonl")
    return [each for each in files if each.exists()]
