"""The options of lists, and their output: as a table, JSON, CSV, or lines with tabs."""

import functools
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import attrs
import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from enapter_async.cli.rows import json_line
from enapter_async.cli.summary import fancy, output_console
from enapter_async.converter import unstructure
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.text import plain

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Listing:
    """How a list is written: at most `limit` objects, in a format, with these columns."""

    limit: int | None
    output: str | None
    columns: tuple[str, ...]

    async def write(self, objects: AsyncIterator[Any], *, as_json: bool) -> None:
        """Write the objects: as requested, else as a table on a terminal, or as lines with tabs.

        All but a table is written as the objects arrive.
        """
        output = "json" if as_json and self.output is None else self.output
        table = output == "table" or (output is None and fancy(sys.stdout))
        write_row = row_writer(sys.stdout, self.columns) if output == "csv" else None
        found: list[list[str]] = []
        async for each in first(objects, self.limit):
            if output == "json":
                click.echo(json_line(unstructure(each)))
            elif write_row is not None:
                write_row({name: value_of(each, name) for name in self.columns})
            elif table:
                found.append(self._cells(each))
            else:
                click.echo("\t".join(self._cells(each)))
        if table:
            self._show_table(found)

    def _cells(self, each: Any) -> list[str]:
        return [plain(value_of(each, field)) for field in self.columns]

    def _show_table(self, rows: list[list[str]]) -> None:
        on_terminal = fancy(sys.stdout)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for field in self.columns:
            table.add_column(field.upper(), overflow="fold", no_wrap=not on_terminal)
        for cells in rows:
            table.add_row(*map(Text, cells))
        console = output_console()
        if not on_terminal:
            # A file or a pipe has no width; no cell is folded there.
            width = console.measure(table).maximum
            console = Console(file=sys.stdout, width=max(width, 1), color_system=None)
        console.print(table)


def listing_options(*columns: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of a list to a command, which receives them as `listing`."""

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_listing(
            *given: Any, limit: int | None, output: str | None, chosen: str | None, **named: Any
        ) -> Any:
            names = [name.strip() for name in (chosen or "").split(",") if name.strip()]
            listing = Listing(limit=limit, output=output, columns=tuple(names) or columns)
            return command(*given, listing=listing, **named)

        adorned: Callable[..., Any] = with_listing
        for option in reversed(_options(columns)):
            adorned = option(adorned)
        return adorned

    return with_options


def _options(columns: Sequence[str]) -> tuple[Callable[..., Any], ...]:
    return (
        click.option("--limit", type=click.IntRange(min=1), help="List at most this many."),
        click.option(
            "--output",
            type=click.Choice(["table", "json", "csv"]),
            help="Write a table with headers, one JSON object per line, or CSV.  [default: a table "
            "on a terminal, lines with tabs elsewhere]",
        ),
        click.option(
            "--columns",
            "chosen",
            metavar="NAMES",
            help="The columns of a table or of CSV, separated by commas; a dot leads into an "
            f"object, such as connectivity.status.  [default: {','.join(columns)}]",
        ),
    )


async def first(objects: AsyncIterator[T], limit: int | None) -> AsyncIterator[T]:
    """Yield at most `limit` objects; all of them if it is None."""
    count = 0
    async for each in objects:
        yield each
        count += 1
        if count == limit:
            return


def value_of(each: Any, field: str) -> Any:
    """Return a field of an object, or with dots a field of a field; "" if it has none."""
    for name in field.split("."):
        each = each.get(name) if isinstance(each, dict) else getattr(each, name, None)
    return "" if each is None else unstructure(each)
