"""`enapter-async fleet report` and `rehearse`: a page about a run, and a run before the run."""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from enapter_async.cli import completing
from enapter_async.cli.applying import guard_option
from enapter_async.cli.exits import Exit, exit_of_report
from enapter_async.cli.options import Settings, connection_options, tell
from enapter_async.cli.rehearsal import Rehearsal, rehearse
from enapter_async.cli.results import json_line, report_row
from enapter_async.cli.screen import show_report
from enapter_async.cli.staging import Staging, staging_options
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.journal.file import Journal
from enapter_async.fleet.journal.lock import is_held
from enapter_async.fleet.journal.results import write_results
from enapter_async.fleet.journal.runs import RunFolder, find_run, runs_directory
from enapter_async.fleet.planning.guard import GuardMode
from enapter_async.fleet.planning.plan import read_plan
from enapter_async.fleet.planning.verdicts import Verdict
from enapter_async.fleet.reporting.page import write_report
from enapter_async.text import plain

_LIES_SHOWN: Final = 20


@click.command("report")
@connection_options
@click.argument("run", default="last", shell_complete=completing.runs)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=completing.files,
    help="Write to this new file. [default: report.html in the run's folder]",
)
def report_run(settings: Settings, *, run: str, output: str | None) -> None:
    """Write a page about RUN that any browser opens from disk; nothing is sent.

    RUN is an id, a prefix of one, a path, or `last`. The page tells what was asked and what
    became of it, its waves, how it went over time, why what was not done was not, and each
    of up to 5,000 such operations. It has all in itself, and no secret; only you can read it.
    """
    folder = find_run(run, runs_directory())
    path = folder.path / "report.html" if output is None else Path(output)
    if output is not None and path.exists():
        raise ConfigurationError(f"{output} exists already")
    try:
        write_report(folder.journal, path, run=folder.id, results=list(_results(folder)))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(json_line({"report": str(path)}) if settings.as_json else plain(path))


def _results(folder: RunFolder) -> Iterator[Path]:
    """Write the results as they stand; give the files. A run that goes on has none yet."""
    if is_held(folder.journal):
        return
    with contextlib.closing(Journal.read(folder.journal)) as journal:
        for form in ("csv", "jsonl"):
            write_results(journal, folder.results(form), form)
            yield folder.results(form)


@click.command("rehearse")
@connection_options
@click.argument("plan", shell_complete=completing.files)
@click.option(
    "--faults",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    metavar="RATE",
    help="What share of requests meets a fault.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which faults.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="How many devices to change at once.",
)
@guard_option
@staging_options
@click.option(
    "--report",
    "page",
    metavar="FILE",
    shell_complete=completing.files,
    help="Write a page about it to this new file.",
)
def rehearse_plan(
    settings: Settings,
    *,
    plan: str,
    faults: float,
    seed: int,
    concurrency: int,
    guard: str,
    staging: Staging,
    page: str | None,
) -> None:
    """Carry out PLAN against an emulator on this machine, with faults; nothing real is touched.

    The emulator has the devices of the plan, as they were when it was planned. The very
    plan is applied to it, as `fleet apply` would, while requests are delayed, refused,
    dropped before and after they took effect, and answered by halves; then each outcome
    is compared with the emulator's own log. The exit code is the one that the run would
    end with, or 1 if anything was told that is not so.

    It shows how the plan fares in a bad network, and not what the real fleet will answer:
    other devices, roles and rate limits are not in the plan. The options about server,
    token and patience mean nothing here.
    """
    if page is not None and Path(page).exists():
        raise ConfigurationError(f"{page} exists already")
    with (
        read_plan(plan) as read,
        tempfile.TemporaryDirectory(prefix="enapter-rehearsal-") as folder,
    ):
        tell(f"{len(read)} operations, rehearsed on this machine; {faults * 100:g} % faults")
        if read.counts[Verdict.REFUSED]:
            tell(f"{read.counts[Verdict.REFUSED]} that cannot be done are left out")
        rehearsed = asyncio.run(
            rehearse(
                read,
                Path(folder),
                faults=faults,
                seed=seed,
                concurrency=concurrency,
                guard=GuardMode(guard),
                staging=staging,
            )
        )
        if page is not None:
            name = f"rehearsal of {Path(plan).name}"
            write_report(Path(folder) / "journal.db", page, name=name)
    _show(rehearsed, as_json=bool(settings.as_json))
    if page is not None:
        tell(f"report: {plain(page)}")
    click.get_current_context().exit(_exit_of(rehearsed))


def _exit_of(rehearsed: Rehearsal) -> Exit:
    if rehearsed.lies:
        return Exit.FAILED
    cut_short = rehearsed.cut_short
    return exit_of_report(rehearsed.report) if cut_short is None else cut_short


def _show(rehearsed: Rehearsal, *, as_json: bool) -> None:
    if as_json:
        row = {
            "requests": rehearsed.requests,
            "faults": dict(rehearsed.faults),
            "lies": list(rehearsed.lies),
        }
        click.echo(json_line({**report_row(rehearsed.report), "rehearsal": row}))
        return
    show_report(rehearsed.report)
    met = ", ".join(f"{number} {name}" for name, number in sorted(rehearsed.faults.items()))
    click.echo(f"{rehearsed.requests} requests; faults: {met or 'none'}")
    if not rehearsed.lies:
        click.echo(
            "CHECKED: every outcome is so by the emulator's own log; no real server was asked"
        )
        return
    click.echo(f"NOT TRUE: {len(rehearsed.lies)} outcomes")
    for lie in rehearsed.lies[:_LIES_SHOWN]:
        click.echo(f"  {plain(lie)}")
