"""`enapter-async commands`: executes commands on single devices, and shows executions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from enapter_async.api.accepted import WAIT
from enapter_async.api.checking import checked
from enapter_async.cli import objects, writing
from enapter_async.cli.noun_options import Listing, listing_options, through_site
from enapter_async.cli.options import Settings, SharedGroup, seconds_option, time_option
from enapter_async.cli.prompts import confirm
from enapter_async.models.commands import ExecutionsOrder
from enapter_async.models.manifest import Command, Manifest
from enapter_async.operation import Operation
from enapter_async.operations.commands import CreateExecution, ExecuteCommand
from enapter_async.text import plain

if TYPE_CHECKING:
    from enapter_async.client import Client


@click.group("commands", cls=SharedGroup)
def command() -> None:
    """Execute commands on single devices, and show their executions."""


@command.command("execute")
@click.argument("device")
@click.argument("name")
@click.option("--args", "arguments", metavar="JSON", help="The arguments, as a JSON object.")
@seconds_option("--wait", "How long to follow the execution; 0 does not follow it.", WAIT)
@click.option(
    "--blocking",
    is_flag=True,
    help="Use the API's blocking request, which is answered when the execution has ended.",
)
@click.option("--yes", is_flag=True, help="Do not ask to confirm the command.")
@through_site
def execute(
    settings: Settings,
    *,
    device: str,
    name: str,
    arguments: str | None,
    wait: float,
    blocking: bool,
    yes: bool,
    site_id: str | None,
) -> None:
    """Execute the command NAME on DEVICE, and follow it until it has ended.

    The device's manifest is read first: its arguments are checked before the command is sent, and
    you are asked to confirm the command if the manifest demands it.
    The exit code is 1 if the device reports an error, 3 if it did not answer (it may have carried
    out the command), and 4 if the execution has not ended in time. The command is never sent twice.
    """
    kind = ExecuteCommand if blocking else CreateExecution
    chosen = kind(device_id=device, site_id=site_id, name=name, arguments=arguments)

    async def check(client: Client) -> Operation[Any]:
        found, on = await checked(client, chosen)
        _confirm(Manifest(on.manifest).command(name), yes=yes)
        return found

    async def wait_for(client: Client) -> Any:
        return await client.execute(await check(client))

    if blocking:
        objects.show_object(settings, wait_for)
    else:
        writing.write_object(settings, check, wait=wait)


def _confirm(declared: Command | None, *, yes: bool) -> None:
    """Ask the user to confirm a command whose manifest demands it, in the manifest's words."""
    if declared is None or not declared.confirmation:
        return
    words = (declared.confirmation.get(field) for field in ("title", "description"))
    told = " ".join(plain(word) for word in words if isinstance(word, str) and word)
    confirm(told.rstrip(".") or f"{declared.name} must be confirmed", 1, yes=yes, destroys=False)


@command.command("follow")
@click.argument("device")
@click.argument("execution")
@seconds_option("--wait", "How long to follow the execution.", WAIT)
@through_site
def follow_execution(
    settings: Settings, *, device: str, execution: str, wait: float, site_id: str | None
) -> None:
    """Read an EXECUTION until it has ended; the exit codes are those of `execute`."""
    objects.show_object(
        settings,
        lambda client: client.commands.follow(
            device, execution, site_id=site_id, wait=timedelta(seconds=wait)
        ),
    )


@command.command("get")
@click.argument("device")
@click.argument("execution")
@click.option("--log", "expand_log", is_flag=True, help="Show all responses of the device.")
@through_site
def get_execution(
    settings: Settings, *, device: str, execution: str, expand_log: bool, site_id: str | None
) -> None:
    """Read one execution of a device."""
    objects.show_object(
        settings,
        lambda client: client.commands.get(
            device, execution, site_id=site_id, expand_log=expand_log
        ),
    )


@command.command("list")
@click.argument("device", required=False)
@click.option("--site", "site_id", metavar="ID", help="List executions of this site's devices.")
@click.option(
    "--state", "states", metavar="STATE", multiple=True, help="List only executions in this state."
)
@click.option(
    "--name", "names", metavar="NAME", multiple=True, help="List only executions of this command."
)
@time_option("--since", help="Created at this time or later (RFC 3339).")
@time_option("--until", help="Created before this time (RFC 3339).")
@click.option("--newest-first", is_flag=True, help="Start with the newest.")
@listing_options("id", "created_at", "device_id", "request.name", "state")
def list_executions(
    settings: Settings,
    *,
    device: str | None,
    site_id: str | None,
    states: tuple[str, ...],
    names: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    newest_first: bool,
    listing: Listing,
) -> None:
    """List the executions of DEVICE, or of a site, oldest first."""
    if device is None and site_id is None:
        raise click.UsageError("give a DEVICE, or a site with --site")
    oldest, newest = ExecutionsOrder.CREATED_AT_ASC, ExecutionsOrder.CREATED_AT_DESC
    objects.list_objects(
        settings,
        lambda client: client.commands.list(
            device,
            site_id=site_id,
            states=states,
            names=names,
            created_at_gte=since,
            created_at_lt=until,
            order=newest if newest_first else oldest,
        ),
        listing,
    )
