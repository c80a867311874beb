"""`enapter-async devices`: reads and changes single devices."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import click

from enapter_async.cli import device_view, following, objects, writing
from enapter_async.cli.noun_options import (
    Listing,
    fields_given,
    listing_options,
    names_in,
    stop_after,
    through_site,
    with_new_credentials,
)
from enapter_async.cli.options import Settings, SharedGroup, seconds_option
from enapter_async.cli.prompts import confirm_deletion
from enapter_async.cli.selecting import selection_options
from enapter_async.cli.streams import fancy
from enapter_async.operations.device_arguments import EXPANDABLE
from enapter_async.operations.device_selection import Selection
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetManifest,
    UpdateDevice,
)

if TYPE_CHECKING:
    from enapter_async.client import Client
    from enapter_async.models.logs import DeviceEvent, Gap

_expand = click.option(
    "--expand",
    metavar="NAMES",
    help=f"Additional fields to read, separated by commas: {', '.join(EXPANDABLE)}.",
)


@click.group("devices", cls=SharedGroup)
def command() -> None:
    """List, read, change and delete single devices, by id or by slug."""


@command.command("list")
@selection_options
@_expand
@listing_options("id", "name", "slug", "type", "site_id", "blueprint_id")
def list_devices(
    settings: Settings, *, selection: Selection, expand: str | None, listing: Listing
) -> None:
    """List devices, ordered by id; with several sites, one site after the other."""
    names = (*names_in(expand), *(column.partition(".")[0] for column in listing.columns))
    wanted = {*selection.expand, *names_in(expand), *(set(EXPANDABLE) & set(names))}

    async def selected(client: Client) -> AsyncGenerator[Any, None]:
        for site_id in dict.fromkeys(selection.site_ids) or (None,):
            devices = client.devices.list(site_id=site_id, expand=tuple(sorted(wanted)))
            async with contextlib.aclosing(devices):
                async for device in devices:
                    if selection.match(device) is not None:
                        yield device

    objects.list_objects(settings, selected, listing)


@command.command("get")
@click.argument("device")
@through_site
@_expand
@click.option("--watch", is_flag=True, help="Read it repeatedly, and show what changes.")
@seconds_option("--every", "How long to wait between two reads of --watch.", 5.0, zero=False)
def get_device(
    settings: Settings,
    *,
    device: str,
    site_id: str | None,
    expand: str | None,
    watch: bool,
    every: float,
) -> None:
    """Read one device."""
    names = names_in(expand)
    objects.show_object(
        settings,
        lambda client: client.devices.get(device, site_id=site_id, expand=names),
        every=every if watch else None,
    )


@command.command("manifest")
@click.argument("device")
@through_site
def get_manifest(settings: Settings, device: str, site_id: str | None) -> None:
    """Read what a device's blueprint declares: commands, telemetry, alerts, configuration."""
    objects.show_object(
        settings,
        lambda client: client.execute(GetManifest(device_id=device, site_id=site_id)),
    )


@command.command("update")
@through_site
@click.argument("device")
@click.option("--name", help="The new name.")
@click.option("--slug", help="The new slug.")
def update_device(
    settings: Settings, device: str, site_id: str | None, name: str | None, slug: str | None
) -> None:
    """Set a device's name, its slug, or both."""
    fields = fields_given(name=name, slug=slug)
    writing.write_object(settings, UpdateDevice(device_id=device, site_id=site_id, **fields))


@command.command("delete")
@through_site
@click.argument("device")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete_device(settings: Settings, device: str, site_id: str | None, yes: bool) -> None:
    """Delete a device permanently. Devices that run on it must be deleted first."""
    operation = DeleteDevice(device_id=device, site_id=site_id)
    confirm_deletion(device, yes=yes)
    writing.write_object(settings, operation)


@command.command("assign-blueprint")
@through_site
@click.argument("device")
@click.argument("blueprint")
def assign_blueprint(settings: Settings, device: str, site_id: str | None, blueprint: str) -> None:
    """Assign another blueprint to a device."""
    operation = AssignBlueprint(device_id=device, site_id=site_id, blueprint_id=blueprint)
    writing.write_object(settings, operation)


@command.command("generate-config")
@through_site
@click.argument("device")
@with_new_credentials
def generate_config(
    settings: Settings,
    *,
    device: str,
    site_id: str | None,
    protocol: str,
    output: str | None,
    show: bool,
    form: str,
) -> None:
    """Generate a new MQTT configuration for a device.

    Its credentials are returned only once, so choose where to write them: -o FILE, --show, or both.
    """
    operation = GenerateConfig(device_id=device, site_id=site_id, protocol=protocol)
    writing.write_credentials(settings, operation, output=output, show=show, form=form)


@command.command("watch")
@click.argument("devices", nargs=-1, required=True, metavar="DEVICE...")
@click.option("--site", "site_id", metavar="ID", help="Address the devices through this site.")
@stop_after
@click.option(
    "--live",
    is_flag=True,
    help="On a terminal, show the latest values and the latest log of each device in place.",
)
def watch_devices(
    settings: Settings,
    *,
    devices: tuple[str, ...],
    site_id: str | None,
    limit: int | None,
    live: bool,
) -> None:
    """Write what up to 100 devices send until Ctrl-C: telemetry, properties and logs.

    A lost connection is reopened. What was missed is reported on standard error, or with --json as
    an object with `gap`.
    """

    def streaming(client: Client) -> AsyncGenerator[DeviceEvent | Gap, None]:
        return client.devices.watch(devices, site_id=site_id)

    if live and fancy(sys.stdout) and not settings.as_json:
        device_view.draw_devices(settings, devices, streaming, limit=limit)
    else:
        following.follow_objects(settings, streaming, following.line_of_event, limit=limit)
