"""Options that the commands of several nouns share, such as those of lists."""

import functools
from collections.abc import Callable
from typing import Any

import attrs
import click

from enapter_async.cli.groups import Decorator, together
from enapter_async.cli.options import format_option
from enapter_async.cli.prompts import output_option
from enapter_async.text import plain

through_site = click.option(
    "--site", "site_id", metavar="ID", help="Address the device through this site."
)
"""The option of a command on one device; it receives `site_id`."""

stop_after = click.option("--limit", type=click.IntRange(min=1), help="Stop after this many items.")
"""The option of a command that follows a stream; it receives `limit`."""

with_new_credentials = together(
    click.option(
        "--protocol",
        type=click.Choice(["MQTT", "MQTTS"], case_sensitive=False),
        default="MQTTS",
        show_default=True,
    ),
    output_option(
        metavar="FILE",
        help="Append the configuration to this JSON Lines file, which is created with mode 0600.",
    ),
    click.option("--show", is_flag=True, help="Write the configuration to standard output."),
    format_option,
)
"""The options of a command that generates credentials: see `writing.write_credentials`."""


def names_in(expand: str | None) -> tuple[str, ...]:
    """Return the comma-separated names in an option's value."""
    return tuple(name.strip() for name in (expand or "").split(",") if name.strip())


def fields_given(**options: Any) -> dict[str, Any]:
    """Return the fields that an update is to set, without those whose option was not given.

    Raises:
        click.UsageError: one is empty.
    """
    if "" in options.values():
        [name, *_] = (name for name, value in options.items() if value == "")
        raise click.UsageError(
            f"--{name} is empty, but the API treats an empty value as 'no change'"
        )
    return {name: value for name, value in options.items() if value is not None}


def pair_of(text: str, option: str) -> tuple[str, str]:
    """Return the name and the value of NAME=VALUE.

    Raises:
        click.UsageError: there is no "=", or nothing before it.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"{option} takes NAME=VALUE; got {plain(text)!r}")
    return name, value


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
