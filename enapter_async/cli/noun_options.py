"""Options that the commands of several nouns share."""

from typing import Any

import click

from enapter_async.cli.groups import together
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
