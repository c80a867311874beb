"""The options for changes to the selected devices."""

import functools
from collections.abc import Callable
from typing import Any, Final

import click

from enapter_async.cli.groups import together
from enapter_async.cli.noun_options import pair_of
from enapter_async.operations.device_plans import Change
from enapter_async.operations.device_selection import Selection

_BECOMING: Final = together(
    click.option("--set-name", "name", metavar="TEMPLATE", help="Set this name."),
    click.option("--set-slug", "slug", metavar="TEMPLATE", help="Set this slug."),
    click.option("--assign-blueprint", "blueprint_id", metavar="ID", help="Assign this blueprint."),
    click.option(
        "--set",
        "settings",
        metavar="GROUP.NAME=TEMPLATE",
        multiple=True,
        help="Set a configuration parameter, such as network.port=8502.",
    ),
    click.option(
        "--set-secret",
        "secrets",
        metavar="GROUP.NAME=PLACE",
        multiple=True,
        help="Set a sensitive parameter to the text in env:VARIABLE or file:PATH.",
    ),
    click.option(
        "--reset", metavar="GROUP.NAME", multiple=True, help="Reset a configuration parameter."
    ),
    click.option(
        "--generate-config",
        "protocol",
        type=click.Choice(["MQTT", "MQTTS"], case_sensitive=False),
        help="Generate a new configuration for each device.",
    ),
    click.option("--execute", metavar="COMMAND", help="Execute this command on each device."),
    click.option(
        "--args", "arguments", metavar="JSON", help="The command's arguments, as a JSON object."
    ),
    click.option("--delete", is_flag=True, help="Delete them."),
)


def change_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the change options to a command, which receives the options set as a dict, `becoming`."""

    @functools.wraps(command)
    def with_change(*given: Any, **arguments: Any) -> Any:
        names = (
            *("name", "slug", "blueprint_id", "settings", "secrets", "reset", "protocol"),
            *("execute", "arguments", "delete"),
        )
        becoming = {name: arguments.pop(name) for name in names}
        for name, option in (("settings", "--set"), ("secrets", "--set-secret")):
            becoming[name] = dict(pair_of(each, option) for each in becoming[name])
        becoming = {name: value for name, value in becoming.items() if value}
        return command(*given, becoming=becoming, **arguments)

    return _BECOMING(with_change)


def change_of(selection: Selection, becoming: dict[str, Any], *, everything: bool) -> Change:
    """Return the change that the options describe.

    Raises:
        click.UsageError: nothing is selected, and `everything` is not set.
        ConfigurationError: the change is invalid; the message says why.
    """
    if selection.everything and not everything:
        raise click.UsageError("select devices with --site, --type, ..., or use --all")
    return Change(selection=selection, **becoming)
