"""`enapter-async logs`: lists the logs of a device, and follows those of devices and rules."""

from datetime import datetime
from typing import Any

import click

from enapter_async.cli import following, objects
from enapter_async.cli.groups import together
from enapter_async.cli.noun_options import Listing, listing_options, stop_after, through_site
from enapter_async.cli.options import Settings, SharedGroup, time_option
from enapter_async.models.logs import LogSeverity, LogsOrder, LogsShow

_filter_options = together(
    click.option(
        "--severity",
        type=click.Choice(list(LogSeverity.known()), case_sensitive=False),
        help="Only logs of this severity.",
    ),
    click.option(
        "--show",
        type=click.Choice(list(LogsShow.known()), case_sensitive=False),
        default=str(LogsShow.ALL),
        show_default=True,
        help="Whether the API keeps them.",
    ),
)


@click.group("logs", cls=SharedGroup)
def command() -> None:
    """List the logs of a device, or follow those of a device or a rule."""


@command.command("list")
@click.argument("device")
@through_site
@_filter_options
@time_option("--since", help="Received at this time or later (RFC 3339).")
@time_option("--until", help="Received at this time or earlier (RFC 3339).")
@click.option("--newest-first", is_flag=True, help="Begin with the newest.")
@listing_options("received_at", "severity", "message")
def list_logs(
    settings: Settings,
    *,
    device: str,
    since: datetime | None,
    until: datetime | None,
    newest_first: bool,
    listing: Listing,
    **filters: Any,
) -> None:
    """List the logs of DEVICE that the API has kept, oldest first."""
    oldest, newest = LogsOrder.RECEIVED_AT_ASC, LogsOrder.RECEIVED_AT_DESC
    objects.list_objects(
        settings,
        lambda client: client.logs.list(
            device,
            received_at_from=since,
            received_at_to=until,
            order=newest if newest_first else oldest,
            **filters,
        ),
        listing,
    )


@command.command("follow")
@click.argument("device")
@through_site
@_filter_options
@stop_after
def follow_logs(settings: Settings, *, device: str, limit: int | None, **filters: Any) -> None:
    """Write the logs of DEVICE as they arrive, until Ctrl-C.

    A lost connection is reopened, and what the API kept meanwhile is written, too. What cannot be
    recovered is reported on standard error, or with --json as an object with `gap`.
    """
    following.follow_objects(
        settings,
        lambda client: client.logs.stream(device, **filters),
        following.line_of_log,
        limit=limit,
    )
