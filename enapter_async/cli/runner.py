"""Runs operations for `fleet apply`, the demo and single commands; handles Ctrl-C and progress."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AsyncExitStack
from typing import Any

import attrs
import click

from enapter_async.cli.causes import Cause, causes_in, causes_of
from enapter_async.cli.connecting import client_of
from enapter_async.cli.endings import exit_of_report
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.files import results_file
from enapter_async.cli.interrupts import Interrupts
from enapter_async.cli.options import Settings, is_quiet, tell, warn
from enapter_async.cli.places import AddressedRun, Place
from enapter_async.cli.progress import Watch, counts_text, tracker
from enapter_async.cli.rows import json_line, report_row
from enapter_async.cli.streams import although_unheard
from enapter_async.cli.summary import show_report
from enapter_async.client import Client
from enapter_async.errors import AuthenticationError, ConfigurationError, reason_of
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.journal.stop_request import stop_request, stopping_on_request
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import Outcome, Report, outcome_row
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.reporting.results import write_result_files
from enapter_async.fleet.reporting.status import RunStatus
from enapter_async.fleet.run import Run
from enapter_async.text import counted, plain


async def run_job(
    client: Client,
    operations: Collection[Any] | None,
    options: RunOptions,
    *,
    on_outcome: Callable[[Outcome[Any]], None],
    on_begun: Callable[[], None] = lambda: None,
    folder: Place | None = None,
) -> tuple[Report, Exit | None]:
    """Execute operations; return the report and, if the run was cut short, an exit code.

    The first signal lets operations in flight finish, the second cancels them; `fleet stop` has the
    effect of the first one, through a file in `folder` or the run's row in PostgreSQL. If
    `on_outcome` raises `OSError`, no more operations are started. `on_begun` is called once the run
    has been accepted, before anything is sent.
    """
    run: Run[Any] = Run(client, operations, options)
    unwritten = False

    def drain() -> None:
        tell("stopping: operations in flight may finish; interrupt again to cancel them")
        run.stop("it was interrupted")

    def stop() -> None:
        tell("stopping because of `fleet stop`: operations in flight may finish")
        run.stop("`fleet stop` requested it")

    def cut() -> None:
        warn("cancelled: operations in flight have an unknown outcome; interrupt again to exit now")
        run.cut()

    with Interrupts(drain, cut) as interrupts:
        watched = folder if isinstance(folder, RunFolder) else None
        earlier = None if watched is None else stop_request(watched)
        async with run, AsyncExitStack() as stack:
            on_begun()
            if watched is not None:
                watching = stopping_on_request(watched, stop, earlier=earlier)
                await stack.enter_async_context(watching)
            async for outcome in run:
                try:
                    on_outcome(outcome)
                except OSError as error:
                    if not unwritten:
                        warn(f"enapter-async: an outcome could not be written: {error.strerror}")
                    unwritten = True
                    run.stop("an earlier outcome could not be written")
    return run.report, interrupts.exit or (Exit.STOPPED if unwritten else None)


async def carry_out(
    settings: Settings,
    folder: Place,
    operations: Collection[Any] | None,
    options: RunOptions,
    *,
    total: int,
    results: str | None = None,
    replace_results: bool = False,
    new: bool = False,
) -> Exit:
    """Execute a run, show its report, and return the exit code.

    If `operations` is None, the remaining operations of its journal are carried out. `total` is the
    number of outcomes to expect, for progress; `results` is a file to which each outcome is
    written; `replace_results` replaces an existing one. The id of a `new` run is shown.
    """
    watch = Watch()
    with contextlib.ExitStack() as stack:
        client = client_of(settings, hooks=[watch], in_flight=options.concurrency)
        if isinstance(operations, Plan):
            operations.check_server(client)
        write = None
        if results:
            write = stack.enter_context(results_file(results, replace=replace_results))
        tracking = tracker(max(total, 1), watch)
        stack.enter_context(tracking)

        def on_outcome(outcome: Outcome[Any]) -> None:
            tracking.advance(outcome)
            if settings.as_json:
                click.echo(json_line(outcome_row(outcome)))
            if write is not None:
                write(outcome)

        async with client:
            options = attrs.evolve(options, on_event=tracking.tell)
            report, cut_short = await run_job(
                client,
                operations,
                options,
                on_outcome=on_outcome,
                on_begun=lambda: tell(f"run {folder.id}") if new else None,
                folder=folder,
            )
    ending = exit_of_report(report) if cut_short is None else cut_short
    # The journal contains everything, so a failed write here does not change the exit code.
    with although_unheard():
        if settings.as_json:
            click.echo(json_line(report_row(report, folder.id)))
        elif not is_quiet():
            _show(report, folder)
    _write_results(folder)
    _tell_what_next(folder, report, ending, max_rate=settings.max_rate)
    return ending


def _show(report: Report, folder: Place) -> None:
    causes: list[Cause] = []
    if not report.ok:
        try:
            with contextlib.closing(read_journal(folder.journal)) as journal:
                causes = causes_in(journal)
        except (OSError, ConfigurationError):
            # The journal is gone; the outcomes of this session are not.
            causes = causes_of(report)
    show_report(report, causes)


def _write_results(folder: Place) -> None:
    try:
        if isinstance(folder, AddressedRun):
            folder.make_folder()
        write_result_files(folder.journal, folder.path)
    except (OSError, ConfigurationError) as error:
        reason = getattr(error, "strerror", None) or error
        path = plain(folder.path / "results.csv")
        warn(
            f"enapter-async: {path} was not written: {reason}; the journal has all results, and "
            f"`enapter-async fleet report {folder.id}` writes them again"
        )


def _tell_what_next(folder: Place, report: Report, ending: Exit, *, max_rate: float | None) -> None:
    if report.merged:
        tell(f"left out: {counted(report.merged, 'duplicate operation')}")
    tell(f"results: {folder.path / 'results.csv'}")
    if isinstance(report.stopped, AuthenticationError):
        tell("the server rejected the token; set another token first")
    try:
        status = RunStatus.read(folder.journal)
    except ConfigurationError as error:
        warn(f"enapter-async: the run's status cannot be read: {error}")
        return
    ways_on = list(commands_on(folder, status, max_rate=max_rate))
    for words, command in ways_on:
        tell(f"{words}: {command}")
    if is_quiet() and ending is not Exit.DONE:
        command = ways_on[0][1] if ways_on else f"enapter-async fleet report {folder.id}"
        stopped = "" if report.stopped is None else f"; stopped: {reason_of(report.stopped)}"
        warn(
            f"enapter-async: run {folder.id}: {counts_text(report.counts)}{stopped}; next: "
            f"{command}"
        )


def commands_on(
    folder: Place, status: RunStatus, *, max_rate: float | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the possible next steps, each with its command line.

    The commands repeat `max_rate`, so that the next session is not faster than requested.
    """
    rate = "" if max_rate is None else f" --max-rate {max_rate:g}"
    for words, options in status.ways_on():
        yield words, f"enapter-async fleet resume {folder.id}{options and ' ' + options}{rate}"
