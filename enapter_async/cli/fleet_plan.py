"""`enapter-async fleet plan` and `template`, and the options that select and change devices."""

import asyncio
import contextlib
import io
import json
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any, Final, TextIO

import click

from enapter_async.cli import completion
from enapter_async.cli.causes import causes_of_plan, in_rows, show_causes
from enapter_async.cli.changing import change_of, change_options
from enapter_async.cli.connecting import client_of
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.files import PRESENT, check_output, operations_of
from enapter_async.cli.options import Settings, is_quiet, shared_command, tell, warn
from enapter_async.cli.prompts import force_option, output_option
from enapter_async.cli.rows import json_line
from enapter_async.cli.selecting import selection_options
from enapter_async.cli.streams import although_unheard, fancy
from enapter_async.cli.summary import output_console
from enapter_async.converter import unstructure
from enapter_async.errors import ArgumentError
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.paging import read_pages
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.planning.plan_file import PlanItem
from enapter_async.fleet.planning.planner import plan
from enapter_async.fleet.private_files import written_whole
from enapter_async.fleet.row_numbers import RowNumbers
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.models.devices import Device
from enapter_async.operation import Operation
from enapter_async.operations.arguments import text
from enapter_async.operations.device_noun import DEVICE
from enapter_async.operations.device_plans import Change
from enapter_async.operations.device_selection import Selection
from enapter_async.text import counted, plain, plain_lines, quoted, quoted_apart

_TEMPLATE_COLUMNS: Final = (
    *("operation", "device_id", "site_id", "name", "slug", "blueprint_id", "protocol"),
)
_PRESENT_COLUMNS: Final = tuple(
    PRESENT + name for name in ("type", "site_id", "blueprint_id", "role", "status")
)
_SHOWN: Final = 20
_PROGRESS_STEP: Final = 5000


@shared_command("template")
@selection_options
@output_option(
    metavar="FILE",
    help="Write to this new file.",
)
@force_option
def template(settings: Settings, *, selection: Selection, output: str | None, force: bool) -> None:
    """Write the current fleet as a CSV file to edit, plan and apply.

    Each row updates a device to its current name and slug, so an unedited row changes nothing. Edit
    cells, change the operation, or delete rows. Columns that start with `present_` are for your
    information: plan and apply ignore them. The file is UTF-8 with a byte order mark in every
    locale, and is written only when it is complete. A terminal shows unsafe characters escaped.
    """

    async def work(file: TextIO) -> None:
        write = row_writer(file, (*_TEMPLATE_COLUMNS, *_PRESENT_COLUMNS))
        count = nameless = 0
        async for device in _selected(settings, selection):
            row = _row(device)
            if row is None:
                nameless += 1
                continue
            write(row)
            count += 1
        tell(counted(count, "device"))
        if nameless:
            tell(f"left out, without a name or slug that can be set: {counted(nameless, 'device')}")

    if output is not None:
        with written_whole(output, new=not force) as file:
            asyncio.run(work(file))
        return
    whole = io.StringIO(newline="")
    asyncio.run(work(whole))
    rows = whole.getvalue()
    if fancy(sys.stdout):
        click.echo(plain_lines(rows))
    else:
        # Written as UTF-8 bytes, whatever the locale's encoding and line ends.
        click.echo(rows.encode("utf-8", "backslashreplace"), nl=False)


async def _selected(settings: Settings, selection: Selection) -> AsyncIterator[Device]:
    seen_sites = dict.fromkeys(selection.site_ids) or (None,)
    expand = tuple({"connectivity", *selection.expand})
    async with client_of(settings) as client:
        for site_id in seen_sites:
            async for page in read_pages(client, DEVICE, site_id=site_id, expand=expand):
                for device in page:
                    if selection.match(device) is not None:
                        yield device


def _row(device: Device) -> dict[str, str | None] | None:
    """Return a device as a row that updates it without a change; None if no field can be set."""
    fields = {name: _settable(name, getattr(device, name)) for name in ("name", "slug")}
    if not any(fields.values()):
        return None
    return {
        "operation": "update",
        "device_id": device.id,
        **fields,
        "present_type": device.type,
        "present_site_id": device.site_id,
        "present_blueprint_id": device.blueprint_id,
        "present_role": device.authorized_role,
        "present_status": None if device.connectivity is None else device.connectivity.status,
    }


def _settable(field: str, value: str | None) -> str | None:
    """Return a value if an update could set it, else None; the server may store invalid values."""
    try:
        text(field, value)
    except ArgumentError:
        return None
    return value


@shared_command("plan")
@click.argument("file", required=False, shell_complete=completion.files)
@selection_options
@click.option("--all", "everything", is_flag=True, help="Select every device.")
@change_options
@output_option(
    metavar="PLAN",
    help="Write the plan to this new file.",
)
@force_option
@click.option("--check", is_flag=True, help="Exit with code 6 if anything would change.")
def make_plan(
    settings: Settings,
    *,
    file: str | None,
    selection: Selection,
    everything: bool,
    becoming: dict[str, Any],
    output: str | None,
    force: bool,
    check: bool,
) -> None:
    """Show what FILE, or a change to selected devices, would do; nothing is changed.

    FILE is any input of `fleet apply`; '-' reads standard input. Without FILE, select devices and
    the values to set:

    \b
    enapter-async fleet plan --site SITE --name-matches 'Pump (.+)' --set-name 'P{1}'

    A TEMPLATE may contain {name}, {slug}, {site_id}, {id} and groups of --name-matches, such as {1}
    or {group}. The plan lists every change with its old and new value, counts devices that already
    have the value, and explains each operation that cannot be done. `fleet apply PLAN` then applies
    exactly this plan.
    """  # noqa: D301 - \b is click's own mark: leave the lines of this paragraph as they are
    check_output(output, force=force, source=file)
    operations: list[Operation[Any]] | Change
    if file is None:
        if selection.everything and not (everything or becoming):
            raise click.UsageError("give a FILE of operations, or select devices and a change")
        operations = change_of(selection, becoming, everything=everything)
    elif becoming or everything or not selection.everything:
        raise click.UsageError("give either a FILE or a selection of devices, not both")
    else:
        operations = operations_of(file)

    async def work() -> Plan:
        async with client_of(settings) as client:
            return await plan(client, operations, on_read=progress())

    with asyncio.run(work()) as made:
        # The file is written first: a reader of the output, such as `head`, may stop early.
        if output is not None:
            made.write(output, replace=force)
        with although_unheard() if output is not None else contextlib.nullcontext():
            show_plan(made, as_json=bool(settings.as_json), file=output)
        if output is not None:
            tell(f"plan: {plain(output)}")
        if not any(made.counts.values()):
            nothing = "no device is selected" if file is None else f"{plain(file)} has no operation"
            warn(f"enapter-async: there is nothing to plan: {nothing}")
        ending = Exit.DONE
        if made.counts[Verdict.REFUSED]:
            ending = Exit.FAILED
        elif check and made.counts[Verdict.CHANGE]:
            ending = Exit.CHANGES
    click.get_current_context().exit(ending)


def progress() -> Any:
    """Return a callable that periodically prints how many devices were read."""
    told = 0

    def on_read(number: int) -> None:
        nonlocal told
        if number // _PROGRESS_STEP > told:
            told = number // _PROGRESS_STEP
            tell(f"{number} devices read")

    return on_read


def show_plan(
    made: Plan, *, as_json: bool, file: str | None = None, to_confirm: bool = False
) -> None:
    """Write a plan to standard output: as JSON, or its first changes, its refusals, its counts.

    `file` is the file that the whole plan was written to, if any. With `--quiet` only refusals are
    shown, unless the plan is to be confirmed.
    """
    if as_json:
        for line in made.lines():
            click.echo(json_line(json.loads(line)))
        return
    shown = to_confirm or not is_quiet()
    if shown:
        _show_changes(made, file)
    if made.counts[Verdict.REFUSED]:
        show_causes(output_console(), causes_of_plan(made), {"refused": ("Refused", "red")})
    if shown:
        named = ", ".join(f"{made.counts[each]} {each}" for each in Verdict if made.counts[each])
        total = counted(sum(made.counts.values()), "operation")
        click.echo(f"{total}: {named or 'none'}")


def _show_changes(made: Plan, file: str | None) -> None:
    number = made.counts[Verdict.CHANGE]
    if number:
        click.echo("To be done:")
        for item in islice(_items(made, Verdict.CHANGE), _SHOWN):
            click.echo(f"  {line_of_item(item)}")
        if number > _SHOWN:
            where = "-o PLAN and --json show" if file is None else f"{plain(file)} holds"
            click.echo(f"  and {number - _SHOWN} more; {where} all of them")
        click.echo()
    rows = RowNumbers(made.header.rows)
    warned = list(islice((item for item in _items(made, Verdict.CHANGE) if item.why), _SHOWN))
    if warned:
        click.echo("Warnings:")
        for item in warned:
            click.echo(f"  {_named(item)}: {plain(in_rows(item.why, rows))}")
        click.echo()


def _items(made: Plan, verdict: Verdict) -> Iterator[PlanItem]:
    return (item for item in made.items() if item.verdict is verdict)


def line_of_item(item: PlanItem) -> str:
    """Return a plan item as one line that is safe to print on a terminal."""
    device = _named(item)
    if item.verdict is not Verdict.CHANGE or item.operation is None:
        return f"{device}: {plain(item.why)}"
    before, changes = item.before or {}, item.operation.changes()
    if not changes:
        verb = item.operation.kind.rpartition(".")[2].replace("_", " ")
        details = item.operation.details().items()
        words = [plain(verb), *(f"{field} {_text(value)}" for field, value in details)]
        return f"{device}: {', '.join(words)}"
    part = item.operation.target().part
    prefix = f"{part}." if part else ""
    changed = (
        _change(f"{prefix}{field}", before.get(field), value)
        for field, value in changes.items()
        if value != before.get(field)
    )
    return f"{device}: {', '.join(changed)}"


def _named(item: PlanItem) -> str:
    return plain(item.device) + (f" ({plain(item.name)})" if item.name else "")


def _change(field: str, before: Any, value: Any) -> str:
    if isinstance(value, str) and isinstance(before, str) and before:
        return f"{field} {' -> '.join(quoted_apart(before, value))}"
    old = _text(before) if before is not None and before != "" else "(empty)"
    new = "(reset)" if value is None else _text(value)
    return f"{field} {old} -> {new}"


def _text(value: Any) -> str:
    """Return a value of a field as text that is safe to print: quoted, or as JSON."""
    return quoted(value) if isinstance(value, str) else json_line(unstructure(value))
