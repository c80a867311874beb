"""The output of lists: as a table, JSON, CSV, or lines with tabs."""

import sys
from collections.abc import AsyncIterator, Sequence
from itertools import accumulate
from typing import Any, Final, TypeVar

import click
from rich.cells import cell_len

from enapter_async.cli import summary
from enapter_async.cli.noun_options import Listing
from enapter_async.cli.options import tell
from enapter_async.cli.rows import json_line
from enapter_async.cli.streams import fancy
from enapter_async.converter import unstructure
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.text import plain

T = TypeVar("T")

_GAP: Final = "  "
"""The text between two columns of a table."""


async def write_list(listing: Listing, objects: AsyncIterator[Any], *, as_json: bool) -> None:
    """Write the objects: as requested, else as a table on a terminal, or as lines with tabs.

    All but a table is written as the objects arrive.
    """
    output = "json" if as_json and listing.output is None else listing.output
    table = output == "table" or (output is None and fancy(sys.stdout))
    write_row = row_writer(sys.stdout, listing.columns) if output == "csv" else None
    found: list[list[str]] = []
    empty = set(listing.columns) if listing.chosen and output != "json" else set[str]()
    seen = False
    async for each in first(objects, listing.limit):
        seen = True
        empty -= {name for name in empty if value_of(each, name) != ""}
        if output == "json":
            click.echo(json_line(unstructure(each)))
        elif write_row is not None:
            write_row({name: value_of(each, name) for name in listing.columns})
        elif table:
            found.append(_cells(listing, each))
        else:
            click.echo("\t".join(_cells(listing, each)))
    if table:
        _show_table(listing, found)
    if seen and empty:
        names = ", ".join(name for name in listing.columns if name in empty)
        tell(f"nothing in this list has {names}: check the names given to --columns")


def _cells(listing: Listing, each: Any) -> list[str]:
    return [plain(value_of(each, field)) for field in listing.columns]


def _show_table(listing: Listing, rows: list[list[str]]) -> None:
    """Write a table with a line for each row, so that every id can be copied.

    Of the usual columns, a terminal shows those that fit.
    """
    titles = [field.upper() for field in listing.columns]
    limited = fancy(sys.stdout) and not listing.chosen
    room = summary.output_console().width if limited else None
    number = write_table(titles, rows, room=room)
    if number < len(listing.columns):
        left_out = ", ".join(listing.columns[number:])
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


async def first(objects: AsyncIterator[T], limit: int | None) -> AsyncIterator[T]:
    """Yield at most `limit` objects; all of them if it is None."""
    count = 0
    async for each in objects:
        yield each
        count += 1
        if count == limit:
            return


def value_of(each: Any, field: str) -> Any:
    """Return a field of an object (with dots, a nested one); "" if it has none."""
    for name in field.split("."):
        each = each.get(name) if isinstance(each, dict) else getattr(each, name, None)
    return "" if each is None else unstructure(each)
