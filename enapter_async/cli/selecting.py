"""The options that select devices and say what they shall become."""

import functools
from collections.abc import Callable
from typing import Any, Final

import click

from enapter_async.fleet.planning.selection import Change, Selection

_SELECTION: Final = (
    click.option("--site", "site_ids", metavar="ID", multiple=True, help="Devices of this site."),
    click.option("--type", "types", metavar="TYPE", multiple=True, help="Devices of this type."),
    click.option(
        "--role", "roles", metavar="ROLE", multiple=True, help="Devices where your role is this."
    ),
    click.option(
        "--status",
        "statuses",
        metavar="STATUS",
        multiple=True,
        help="Devices that are ONLINE, OFFLINE or UNKNOWN.",
    ),
    click.option(
        "--name-matches",
        metavar="REGEX",
        help="Devices in whose name this regular expression is found.",
    ),
)
_BECOMING: Final = (
    click.option("--set-name", "name", metavar="TEMPLATE", help="Give them this name."),
    click.option("--set-slug", "slug", metavar="TEMPLATE", help="Give them this slug."),
    click.option("--assign-blueprint", "blueprint_id", metavar="ID", help="Assign this blueprint."),
    click.option(
        "--generate-config",
        "protocol",
        type=click.Choice(["MQTT", "MQTTS"], case_sensitive=False),
        help="Mint a new configuration for each.",
    ),
    click.option("--delete", is_flag=True, help="Delete them."),
)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a selection to a command, which gets it as `selection`."""

    @functools.wraps(command)
    def with_selection(
        *given: Any,
        site_ids: tuple[str, ...],
        types: tuple[str, ...],
        roles: tuple[str, ...],
        statuses: tuple[str, ...],
        name_matches: str | None,
        **arguments: Any,
    ) -> Any:
        selection = Selection(
            site_ids=site_ids,
            types=types,
            roles=roles,
            statuses=statuses,
            name_matches=name_matches,
        )
        return command(*given, selection=selection, **arguments)

    for option in reversed(_SELECTION):
        with_selection = option(with_selection)
    return with_selection


def change_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a change, which a command gets as `becoming`: a dict of what is set."""

    @functools.wraps(command)
    def with_change(*given: Any, **arguments: Any) -> Any:
        names = ("name", "slug", "blueprint_id", "protocol", "delete")
        becoming = {name: arguments.pop(name) for name in names}
        becoming = {name: value for name, value in becoming.items() if value}
        return command(*given, becoming=becoming, **arguments)

    for option in reversed(_BECOMING):
        with_change = option(with_change)
    return with_change


def change_of(selection: Selection, becoming: dict[str, Any], *, everything: bool) -> Change:
    """Return what the options ask for.

    Raises:
        click.UsageError: no device is selected, and `everything` is not said.
        ConfigurationError: the change makes no sense; says why.
    """
    if selection.everything and not everything:
        raise click.UsageError("select devices by --site, --type, ..., or say --all")
    return Change(selection=selection, **becoming)
