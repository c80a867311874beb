"""The options of lists, and their output: as a table, JSON, CSV, or lines with tabs."""

import functools
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import accumulate
from typing import Any, Final, TypeVar

import attrs
import click
from rich.cells import cell_len

from enapter_async.cli.groups import Decorator, together
from enapter_async.cli.options import tell
from enapter_async.cli.rows import json_line
from enapter_async.cli.summary import fancy, output_console
from enapter_async.converter import unstructure
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.text import plain

T = TypeVar("T")

_GAP: Final = "  "
"""The text between two columns of a table."""


@attrs.frozen(kw_only=True)
class Listing:
    """How a list is written: at most `limit` objects, in a format, with these columns."""

    limit: int | None
    output: str | None
    columns: tuple[str, ...]
    chosen: bool = False
    """Whether the user chose the columns, so that all of them are shown."""

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
        """Write a table with a line for each row, so that every id can be copied.

        Of the usual columns, a terminal shows those that fit.
        """
        titles = [field.upper() for field in self.columns]
        limited = fancy(sys.stdout) and not self.chosen
        room = output_console().width if limited else None
        number = write_table(titles, rows, room=room)
        if number < len(self.columns):
            left_out = ", ".join(self.columns[number:])
            tell(f"not shown, for lack of room: {left_out}; --columns and --output show them")


def write_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, room: int | None = None
) -> int:
    """Write rows in aligned columns, with titles that are bold on a terminal.

    Only columns that fit into `room` are written, but at least one; return their number.
    """
    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    number = len(widths) if room is None else _fitting(widths, room)
    title = _line(titles[:number], widths)
    click.echo(click.style(title, bold=True) if fancy(sys.stdout) else title)
    for cells in rows:
        click.echo(_line(cells[:number], widths))
    return number


def _fitting(widths: Sequence[int], room: int) -> int:
    """Return how many columns fit into a terminal, at least one."""
    ends = accumulate(width + len(_GAP) for width in widths)
    return max(1, sum(end - len(_GAP) <= room for end in ends))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return cells as a line of aligned columns; a wide character takes two columns."""
    padded = (
        cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=False)
    )
    return _GAP.join(padded).rstrip()


def listing_options(*columns: str) -> Decorator:
    """Add the options of a list to a command, which receives them as `listing`."""

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_listing(
            *given: Any, limit: int | None, output: str | None, chosen: str | None, **named: Any
        ) -> Any:
            names = [name.strip() for name in (chosen or "").split(",") if name.strip()]
            listing = Listing(
                limit=limit,
                output=output,
                columns=tuple(names) or columns,
                chosen=bool(names),
            )
            return command(*given, listing=listing, **named)

        return _options(columns)(with_listing)

    return with_options


def _options(columns: Sequence[str]) -> Decorator:
    return together(
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
