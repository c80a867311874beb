"""`enapter-async sites`: reads and changes single sites."""

from typing import Any

import click

from enapter_async.cli import objects, writing
from enapter_async.cli.groups import together
from enapter_async.cli.noun_options import Listing, fields_given, listing_options
from enapter_async.cli.options import Settings, SharedGroup
from enapter_async.cli.prompts import confirm_deletion
from enapter_async.models.sites import SiteLocation
from enapter_async.operations.sites import CreateSite, DeleteSite, UpdateSite

_place_options = together(
    click.option("--place", metavar="TEXT", help="The name of its location."),
    click.option("--latitude", type=click.FloatRange(-90, 90), help="In degrees."),
    click.option("--longitude", type=click.FloatRange(-180, 180), help="In degrees."),
)


@click.group("sites", cls=SharedGroup)
def command() -> None:
    """List, read, create, change and delete sites, by id."""


@command.command("list")
@click.option(
    "--name", help="List only sites with such a name; the server decides which names match."
)
@click.option("--mine", is_flag=True, help="List only sites where you are owner or installer.")
@listing_options("id", "name", "timezone", "authorized_role")
def list_sites(settings: Settings, name: str | None, mine: bool, listing: Listing) -> None:
    """List sites."""
    objects.list_objects(settings, lambda client: client.sites.list(name=name, mine=mine), listing)


@command.command("get")
@click.argument("site", required=False)
def get_site(settings: Settings, site: str | None) -> None:
    """Read one site; without SITE, the site of the gateway at --base-url."""
    if_absent = "" if site else "only a gateway has a site of its own; `sites list` shows others"
    objects.show_object(settings, lambda client: client.sites.get(site), if_absent=if_absent)


@command.command("create")
@click.option("--name", required=True, help="The name.")
@click.option("--timezone", required=True, help="The time zone, such as Europe/Rome.")
@_place_options
def create_site(settings: Settings, name: str, timezone: str, **place: Any) -> None:
    """Create a site."""
    writing.write_object(
        settings, CreateSite(name=name, timezone=timezone, location=_location(place))
    )


@command.command("update")
@click.argument("site", required=False)
@click.option("--name", help="The new name.")
@click.option("--timezone", help="The new time zone, such as Europe/Rome.")
@_place_options
def update_site(
    settings: Settings, site: str | None, name: str | None, timezone: str | None, **place: Any
) -> None:
    """Set the name, time zone or location of a site; without an id, the gateway's own site."""
    fields = fields_given(name=name, timezone=timezone, location=_location(place))
    operation = UpdateSite(site_id=site, **fields)
    if site is None:
        objects.show_object(settings, lambda client: client.execute(operation))
    else:
        writing.write_object(settings, operation)


@command.command("delete")
@click.argument("site")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete_site(settings: Settings, site: str, yes: bool) -> None:
    """Delete a site permanently."""
    operation = DeleteSite(site_id=site)
    confirm_deletion(site, yes=yes)
    writing.write_object(settings, operation)


def _location(place: dict[str, Any]) -> SiteLocation | None:
    """Return the location that the options describe, or None if none of them was given."""
    given = {"name": place.pop("place"), **place}
    if all(value is None for value in given.values()):
        return None
    return SiteLocation(**given)
