"""`enapter-async fleet undo`: undoes a run."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterator

import attrs
import click

from enapter_async.cli import completion
from enapter_async.cli.connecting import client_of
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.files import check_output
from enapter_async.cli.fleet_apply import apply_all
from enapter_async.cli.fleet_jobs import apply_as_job, job_at
from enapter_async.cli.fleet_plan import progress, show_plan
from enapter_async.cli.options import Settings, shared_command, tell, typed, warn
from enapter_async.cli.places import find_place
from enapter_async.cli.prompts import confirm, force_option, output_option
from enapter_async.cli.run_options import (
    CAUTION,
    CONCURRENCY,
    WAVES,
    NewJob,
    job_options,
    run_options,
)
from enapter_async.cli.streams import although_unheard
from enapter_async.fleet.distributed.job_status import JobStatus
from enapter_async.fleet.journal.names import JournalName, read_journal
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.planning.rollback import Lasting, Undo, UndoOnly, undo
from enapter_async.fleet.row_numbers import RowNumbers
from enapter_async.text import counted, plain

_WHY = {
    Lasting.DELETION: "deleted devices stay deleted",
    Lasting.CONFIGURATION: "generated configurations cannot be taken back",
    Lasting.EMPTY: "fields were empty, and cannot be emptied again",
    Lasting.NO_BEFORE: "changes without earlier values, which only a plan (`fleet plan`) records",
    Lasting.CREATED: "changes of what the run itself created, which had no earlier values",
    Lasting.OPERATION: "operations do not define how to undo them",
}


@shared_command("undo")
@click.argument("run", shell_complete=completion.runs)
@output_option(
    metavar="PLAN",
    help="Only write the plan, to this new file.",
)
@force_option
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["applied", "differs", "pending", "unknown"]),
    help="Undo only operations that ended in this state; may be repeated.",
)
@click.option(
    "--site",
    "site_ids",
    metavar="ID",
    multiple=True,
    help="Undo only operations on devices of this site; may be repeated.",
)
@click.option(
    "--items",
    metavar="NUMBERS",
    help="Undo only these items, such as 0-9,15: the column `item` of results.csv in the run's "
    "folder.",
)
@click.option(
    "--rows",
    metavar="NUMBERS",
    help="Undo only what came from these rows of the run's input file, such as 2-9,15.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation before applying it.")
@run_options(CONCURRENCY, *WAVES, *CAUTION)
@job_options
def undo_run(
    settings: Settings,
    *,
    run: str,
    output: str | None,
    force: bool,
    states: tuple[str, ...],
    site_ids: tuple[str, ...],
    items: str | None,
    rows: str | None,
    yes: bool,
    options: RunOptions,
    new_job: NewJob | None,
) -> None:
    """Undo the changes of RUN, as far as possible.

    RUN is a run's id or a prefix of it, a path, `last`, or the address of a run in PostgreSQL.
    Changes that cannot be undone are listed first: deletions, generated configurations, fields
    that were empty, and runs without a plan. A device that no longer has the values set by RUN is
    left alone. The rest becomes a plan, which is shown, confirmed and applied like any other.
    With --state, --site, --rows or --items only a part of RUN is undone. If you do not confirm, the
    plan is kept in a file.

    With --journal, a job for several workers carries it out. If RUN is such a job itself, the new
    one is divided in the same way and has the same --max-rate, unless you give others.
    """
    check_output(output, force=force)
    journal: JournalName
    if (job := job_at(run)) is not None:
        name, journal = job.name, job.address
        settings, new_job = _as_before(asyncio.run(job.status()), settings, new_job)
    else:
        found = find_place(run)
        name, journal = found.id, found.journal
    with contextlib.closing(read_journal(journal)) as opened:
        only = UndoOnly(
            states=frozenset(map(State, states)),
            sites=frozenset(site_ids),
            items=_chosen(items, rows, opened),
        )
        if settings.base_url is None:
            settings = attrs.evolve(settings, base_url=opened.facts().get("base_url"))

    async def work() -> Undo:
        async with client_of(settings) as client:
            return await undo(client, journal, on_read=progress(), only=only)

    back = asyncio.run(work())
    with back.plan as plan:
        _tell_lasting(back)
        changes = plan.counts[Verdict.CHANGE]
        with although_unheard() if yes or output is not None else contextlib.nullcontext():
            asks = changes > 0 and not yes and output is None
            show_plan(plan, as_json=bool(settings.as_json), to_confirm=asks)
        ending = Exit.DONE
        if output is not None:
            plan.write(output, replace=force)
            tell(f"plan: {plain(output)}")
        elif not changes:
            tell("there is nothing to undo")
        else:
            with _kept(plan, name):
                question = f"this undoes {counted(changes, 'change')} of run {name}"
                confirm(question, changes, yes=yes, destroys=False)
            ending = _apply(settings, plan, options, new_job, source=f"undo of {name}")
    click.get_current_context().exit(ending)


def _as_before(
    status: JobStatus, settings: Settings, new_job: NewJob | None
) -> tuple[Settings, NewJob | None]:
    """Return both, with the division and the rate of the earlier job where no option sets them."""
    if new_job is None:
        return settings, None
    if new_job.by is None:
        new_job = attrs.evolve(new_job, by=status.by)
    if settings.max_rate is None:
        settings = attrs.evolve(settings, max_rate=status.max_rate)
    return settings, new_job


def _chosen(items: str | None, rows: str | None, journal: Journal) -> frozenset[int] | None:
    """Return the items that --items and --rows choose together; None if neither was given."""
    chosen = None if items is None else _numbers("--items", items)
    if rows is None:
        return chosen
    on_rows = _items_on(_numbers("--rows", rows), journal)
    return on_rows if chosen is None else chosen & on_rows


def _apply(
    settings: Settings, plan: Plan, options: RunOptions, new_job: NewJob | None, *, source: str
) -> Exit:
    if new_job is None:
        return apply_all(settings, plan, options, source=source, skip_refused=True, yes=True)
    facts = {"source": source, "command": typed()}
    return apply_as_job(settings, plan, options, new_job, facts=facts)


@contextlib.contextmanager
def _kept(plan: Plan, name: str) -> Iterator[None]:
    """Write the plan to a file if it is not confirmed: reading the fleet may have taken long."""
    try:
        yield
    except click.Abort:
        path = f"undo-{re.sub(r'[^0-9A-Za-z-]+', '-', name)}-{secrets.token_hex(2)}.jsonl"
        plan.write(path)
        tell(f"nothing was changed; to apply this plan later: enapter-async fleet apply {path}")
        raise


def _items_on(wanted: frozenset[int], journal: Journal) -> frozenset[int]:
    """Return the items of a run that came from these rows of its input file.

    Raises:
        click.UsageError: no item came from one of the rows.
    """
    numbers = RowNumbers(journal.facts().get("rows", ""))
    row_of = {item.seq: numbers.row(item.seq) for item in journal.items()}
    missing = wanted - {*row_of.values()}
    if missing:
        raise click.UsageError(f"no operation of the run came from row {min(missing)} of its file")
    return frozenset(seq for seq, row in row_of.items() if row in wanted)


def _numbers(option: str, text: str) -> frozenset[int]:
    """Return the numbers of a list of ranges, such as "0-9,15".

    Raises:
        click.UsageError: it is not such a list.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise click.UsageError(f"{option} takes numbers such as 0-9,15; got {plain(part)!r}")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _tell_lasting(back: Undo) -> None:
    for why, number in back.lasting.items():
        if number:
            named = ", ".join(plain(example) for example in back.examples[why][:3])
            more = ", ..." if number > 3 else ""
            warn(f"cannot be undone: {number} {_WHY[why]}: {named}{more}")
