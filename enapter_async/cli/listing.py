"""The options of lists."""

import functools
from collections.abc import Callable
from typing import Any

import attrs
import click

from enapter_async.cli.groups import Decorator, together
from enapter_async.cli.noun_options import names_in


@attrs.frozen(kw_only=True)
class Listing:
    """How a list is written: at most `limit` objects, in a format, with these columns."""

    limit: int | None
    output: str | None
    columns: tuple[str, ...]
    chosen: bool = False
    """Whether the user chose the columns, so that all of them are shown."""


def listing_options(*columns: str) -> Decorator:
    """Add the options of a list to a command, which receives them as `listing`."""
    options = together(
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

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_listing(
            *given: Any, limit: int | None, output: str | None, chosen: str | None, **named: Any
        ) -> Any:
            names = names_in(chosen)
            listing = Listing(
                limit=limit, output=output, columns=names or columns, chosen=bool(names)
            )
            return command(*given, listing=listing, **named)

        return options(with_listing)

    return with_options
