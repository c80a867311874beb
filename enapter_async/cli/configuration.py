"""`enapter-async configuration`: reads and changes the configuration of single devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from enapter_async.api.checking import checked
from enapter_async.cli import objects, writing
from enapter_async.cli.noun_options import names_in, pair_of, through_site
from enapter_async.cli.options import Settings, SharedGroup
from enapter_async.models.configuration import ConfigurationValues
from enapter_async.operation import Operation
from enapter_async.operations.configuration import (
    GetConfiguration,
    ResetConfiguration,
    UpdateConfiguration,
)

if TYPE_CHECKING:
    from enapter_async.client import Client

_HIDDEN = "(sensitive; --show-sensitive shows it)"


@click.group("configuration", cls=SharedGroup)
def command() -> None:
    """Read and change the configuration of single devices, one group of parameters at a time."""


@command.command("get")
@click.argument("device")
@click.argument("group")
@click.option("--names", metavar="NAMES", help="Read only these parameters, separated by commas.")
@click.option("--show-sensitive", is_flag=True, help="Also show sensitive values.")
@through_site
def get_configuration(
    settings: Settings,
    device: str,
    group: str,
    *,
    names: str | None,
    show_sensitive: bool,
    site_id: str | None,
) -> None:
    """Read the values of a group; the device's manifest says which of them are sensitive."""
    reading = GetConfiguration(
        device_id=device, site_id=site_id, group=group, names=names_in(names)
    )

    async def read(client: Client) -> ConfigurationValues:
        found = await client.execute(reading)
        if show_sensitive:
            return found
        manifest = await client.devices.manifest(device, site_id=site_id)
        declared = manifest.configuration.get(group)
        known = {} if declared is None else declared.parameters
        # An undeclared value may be sensitive.
        hidden = {name: _HIDDEN for name in found if name not in known or known[name].sensitive}
        return ConfigurationValues({**found, **hidden})

    objects.show_object(settings, read)


@command.command("update")
@click.argument("device")
@click.argument("group")
@click.option("--set", "given", metavar="NAME=VALUE", multiple=True, help="Set a parameter.")
@click.option(
    "--set-secret",
    "secrets",
    metavar="NAME=PLACE",
    multiple=True,
    help="Set a sensitive parameter to the text in env:VARIABLE or file:PATH.",
)
@click.option("--reset", metavar="NAME", multiple=True, help="Reset a parameter to its default.")
@through_site
def update_configuration(
    settings: Settings,
    device: str,
    group: str,
    *,
    given: tuple[str, ...],
    secrets: tuple[str, ...],
    reset: tuple[str, ...],
    site_id: str | None,
) -> None:
    """Set and reset parameters of a group, which the manifest declares.

    All changes are checked against the manifest before anything is sent. A VALUE is text if the
    parameter has that type, otherwise JSON, such as 8502 or true.
    """
    texts = dict(pair_of(each, "--set") for each in given)
    places = dict(pair_of(each, "--set-secret") for each in secrets)

    update = UpdateConfiguration(
        device_id=device,
        site_id=site_id,
        group=group,
        set=texts,
        secrets=places,
        reset=reset,
        untyped=True,
    )
    _write(settings, update)


@command.command("reset-all")
@click.argument("device")
@click.argument("group")
@through_site
def reset_configuration(settings: Settings, device: str, group: str, site_id: str | None) -> None:
    """Reset all parameters of a group to their defaults."""
    _write(settings, ResetConfiguration(device_id=device, site_id=site_id, group=group))


def _write(settings: Settings, operation: UpdateConfiguration | ResetConfiguration) -> None:
    """Check the operation against the device's manifest, and carry it out."""

    async def check(client: Client) -> Operation[Any]:
        found, _ = await checked(client, operation)
        return found

    writing.write_object(settings, check)
