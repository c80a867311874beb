"""`enapter-async provisioning`: creates devices."""

from collections.abc import Callable
from typing import Any, Final

import click

from enapter_async.cli import writing
from enapter_async.cli.noun_options import with_new_credentials
from enapter_async.cli.options import Settings, SharedGroup
from enapter_async.operations.provisioning import (
    ProvisionLuaDevice,
    ProvisionStandalone,
    ProvisionUcm,
    ProvisionVucm,
)

_Command = Callable[..., Any]
_site: Final = click.option("--site", "site_id", metavar="ID", help="The new device's site.")
_slug: Final = click.option(
    "--slug",
    required=True,
    help="An unused slug, by which the new device is found if the answer is lost.",
)
_hardware_id: Final = click.option("--hardware-id", required=True, metavar="ID")


@click.group("provisioning", cls=SharedGroup)
def command() -> None:
    """Create devices."""


@command.command("standalone")
@click.argument("name")
@_slug
@_site
def standalone(settings: Settings, name: str, slug: str, site_id: str | None) -> None:
    """Create a standalone device called NAME."""
    writing.write_object(settings, ProvisionStandalone(name=name, slug=slug, site_id=site_id))


@command.command("lua-device")
@click.argument("name")
@_slug
@click.option("--runtime", "runtime_id", required=True, metavar="ID", help="The UCM to run on.")
@click.option("--blueprint", "blueprint_id", required=True, metavar="ID")
def lua_device(
    settings: Settings, name: str, slug: str, runtime_id: str, blueprint_id: str
) -> None:
    """Create a device called NAME that a blueprint's Lua script runs."""
    operation = ProvisionLuaDevice(
        name=name, slug=slug, runtime_id=runtime_id, blueprint_id=blueprint_id
    )
    writing.write_object(settings, operation)


@command.command("vucm")
@click.argument("name")
@_hardware_id
@_site
def vucm(settings: Settings, name: str, hardware_id: str, site_id: str | None) -> None:
    """Create a virtual UCM called NAME on a gateway."""
    writing.write_object(
        settings, ProvisionVucm(name=name, hardware_id=hardware_id, site_id=site_id)
    )


@command.command("ucm")
@click.argument("name")
@_hardware_id
@_site
@with_new_credentials
def ucm(
    settings: Settings,
    *,
    name: str,
    hardware_id: str,
    site_id: str | None,
    protocol: str,
    output: str | None,
    show: bool,
    form: str,
) -> None:
    """Create a hardware UCM called NAME, with a new MQTT configuration.

    Its credentials are returned only once, so choose where to write them: -o FILE, --show, or both.
    """
    operation = ProvisionUcm(name=name, hardware_id=hardware_id, site_id=site_id, protocol=protocol)
    writing.write_credentials(settings, operation, output=output, show=show, form=form)
