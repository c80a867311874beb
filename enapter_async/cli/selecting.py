"""The options that select devices."""

import functools
from collections.abc import Callable
from typing import Any, Final

import click

from enapter_async.cli.groups import together
from enapter_async.operations.device_selection import Selection

_SELECTED_BY: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("--site", "site_ids", "ID", "Select devices of this site."),
    ("--site-name", "site_names", "NAME", "Select devices of sites with this name."),
    ("--name", "names", "NAME", "Select devices with this name."),
    ("--slug", "slugs", "SLUG", "Select devices with this slug."),
    ("--blueprint", "blueprint_ids", "ID", "Select devices with this blueprint."),
    ("--type", "types", "TYPE", "Select devices of this type."),
    ("--role", "roles", "ROLE", "Select devices on which you have this role."),
    ("--status", "statuses", "STATUS", "Select devices that are ONLINE, OFFLINE or UNKNOWN."),
    ("--profile-of", "profiles", "PROFILE", "Select devices that implement this profile."),
    ("--alert", "alerts", "NAME", "Select devices that raise this alert."),
    ("--property", "properties", "CONDITION", "Select by a property, such as 'fw_ver<1.2'."),
)
"""The options that may be repeated, with the fields of `Selection`: each holds alternatives."""
_SELECTION: Final = together(
    *(
        click.option(option, field, metavar=metavar, multiple=True, help=help_text)
        for option, field, metavar, help_text in _SELECTED_BY
    ),
    click.option(
        "--name-matches",
        metavar="REGEX",
        help="Select devices whose name contains a match for this regular expression.",
    ),
)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the selection options to a command, which receives the selection as `selection`."""

    @functools.wraps(command)
    def with_selection(*given: Any, name_matches: str | None, **arguments: Any) -> Any:
        fields = {field: arguments.pop(field) for _, field, _, _ in _SELECTED_BY}
        selection = Selection(**fields, name_matches=name_matches)
        return command(*given, selection=selection, **arguments)

    return _SELECTION(with_selection)
