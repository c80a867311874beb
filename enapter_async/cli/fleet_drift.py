"""`enapter-async fleet drift` and `export`: compare a fleet with a file, and export it."""

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

import click
from rich.table import Table
from rich.text import Text

from enapter_async.cli import completion
from enapter_async.cli.connecting import client_of
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.files import check_output
from enapter_async.cli.fleet_plan import progress
from enapter_async.cli.options import Settings, shared_command, tell, warn
from enapter_async.cli.prompts import force_option, output_option
from enapter_async.cli.rows import json_line
from enapter_async.cli.selecting import selection_options
from enapter_async.cli.streams import although_unheard, fancy
from enapter_async.cli.summary import output_console
from enapter_async.converter import unstructure
from enapter_async.errors import APIError, reason_of
from enapter_async.fleet.desired_files import parse_desired, read_desired
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.exporting import export
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.planning.plan_file import PlanItem
from enapter_async.fleet.planning.planner import plan
from enapter_async.fleet.private_files import written_whole
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.operation import Operation
from enapter_async.operations.device_noun import DEVICE
from enapter_async.operations.device_plans import Export
from enapter_async.operations.device_selection import Selection
from enapter_async.text import counted, plain

_COLUMNS: Final = ("device", "name", "field", "is", "should_be")


@shared_command("drift")
@click.argument("desired", shell_complete=completion.files)
@output_option(
    metavar="PLAN",
    help="Write a plan that removes the differences to this new file.",
)
@force_option
def show_drift(settings: Settings, *, desired: str, output: str | None, force: bool) -> None:
    """Show how the fleet differs from the desired state in the file DESIRED; nothing is changed.

    DESIRED is a CSV or JSON Lines file such as `fleet export` writes; '-' reads standard input. It
    has the column device_id or slug, and if needed name, slug, blueprint_id and configuration
    parameters, such as network.port. An empty cell is ignored. The exit code is 6 if anything
    differs. `fleet apply PLAN` then removes the differences.
    """
    check_output(output, force=force, source=desired)

    async def work() -> Plan:
        operations = _desired(desired)
        async with client_of(settings) as client:
            return await plan(client, operations, on_read=progress())

    with asyncio.run(work()) as made:
        if output is not None:
            made.write(output, replace=force)
        rows = [row for item in made.items() for row in _differences(item)]
        with although_unheard() if output is not None else contextlib.nullcontext():
            _show(rows, settings)
        if output is not None:
            tell(f"plan: {plain(output)}")
    click.get_current_context().exit(Exit.CHANGES if rows else Exit.DONE)


def _desired(file: str) -> list[Operation[Any]]:
    if file == "-":
        data = sys.stdin.buffer.read()
        return parse_desired(data, source="standard input", on_ignored=_tell_ignored)
    return read_desired(file, on_ignored=_tell_ignored)


def _tell_ignored(columns: Sequence[str]) -> None:
    tell(f"ignored columns: {plain(', '.join(columns))}")


def _differences(item: PlanItem) -> Iterator[dict[str, Any]]:
    """Yield one row for each field of a device that differs from its desired state."""
    found = {"device": item.device, "name": item.name}
    operation = item.operation
    if item.verdict is Verdict.REFUSED:
        yield {**found, "field": "", "is": None, "should_be": item.why}
    if item.verdict is not Verdict.CHANGE or operation is None:
        return
    part = operation.target().part
    before, changes = item.before or {}, operation.changes()
    for field, value in changes.items():
        wanted, now = unstructure(value), before.get(field)
        if now != wanted:
            name = f"{part}.{field}" if part else field
            yield {**found, "field": name, "is": now, "should_be": wanted}
    if all(before.get(field) == unstructure(value) for field, value in changes.items()):
        # Only sensitive values differ; they are not shown.
        yield {**found, "field": part, "is": None, "should_be": "a sensitive value"}


def _show(rows: list[dict[str, Any]], settings: Settings) -> None:
    if settings.as_json:
        for row in rows:
            click.echo(json_line(row))
        return
    cells = [[_text(row[column]) for column in _COLUMNS] for row in rows]
    if not fancy(sys.stdout):
        for each in cells:
            click.echo("\t".join(each))
    elif cells:
        table = Table()
        for column in _COLUMNS:
            table.add_column(column.replace("_", " "), overflow="fold")
        for each in cells:
            table.add_row(*map(Text, each))
        output_console().print(table)
    tell(counted(len(rows), "difference") if rows else "no differences")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return plain(value if isinstance(value, str) else json.dumps(value))


@shared_command("export")
@selection_options
@click.option("--all", "everything", is_flag=True, help="Select every device.")
@output_option(
    metavar="FILE",
    required=True,
    help="Write to this new file: JSON Lines if its name ends in .jsonl, else CSV.",
)
@force_option
def export_fleet(
    settings: Settings, *, selection: Selection, everything: bool, output: str, force: bool
) -> None:
    """Write the current state of selected devices to a file, for `fleet drift`.

    Each device is a row with its id, name, slug, blueprint and the parameters of its
    configuration. Sensitive parameters are left out. For a file that was just written, `fleet
    drift` shows no differences.
    """
    if selection.everything and not everything:
        raise click.UsageError("select devices with --site, --type, ..., or use --all")
    check_output(output, force=force)

    def unread(device: str, error: APIError) -> None:
        warn(f"{plain(device)}: its configuration could not be read: {reason_of(error)}")

    async def work(stack: contextlib.ExitStack) -> tuple[IO[str], dict[str, None], int]:
        """Write the rows as JSON Lines; return them, the columns that they have, and their number.

        The columns of a CSV file are known only after the last row.
        """
        kept = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - the stack closes it
        rows: IO[str] = stack.enter_context(kept)
        columns: dict[str, None] = dict.fromkeys(DEVICE.columns)
        count = 0
        async with client_of(settings) as client:
            found = export(client, Export(selection=selection), on_unread=unread)
            async with contextlib.aclosing(found):
                async for row in found:
                    columns |= dict.fromkeys(row)
                    rows.write(json_line(dict(row)) + "\n")
                    count += 1
        rows.seek(0)
        return rows, columns, count

    with contextlib.ExitStack() as stack:
        rows, columns, count = asyncio.run(work(stack))
        with written_whole(output, new=not force) as file:
            if output.endswith(".jsonl"):
                file.writelines(rows)
            else:
                write = row_writer(file, columns)
                for line in rows:
                    write(json.loads(line))
    tell(counted(count, "device"))
