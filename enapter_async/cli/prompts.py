"""Asks for confirmation before changes that cannot be undone."""

import sys

import click

yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask to confirm deletions and new configurations."
)


def confirm_lasting(deletions: int, configurations: int, *, yes: bool) -> None:
    """Ask the user to confirm deletions and new configurations by typing their number.

    Does not ask if neither is planned. Raises the same errors as `confirm`.
    """
    named = " and ".join(
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((deletions, "deletion"), (configurations, "new configuration"))
        if count
    )
    if named:
        confirm(f"{named} cannot be undone", deletions + configurations, yes=yes)


def confirm(what: str, number: int, *, yes: bool) -> None:
    """Ask the user to type a number to continue.

    If `yes` is set, the user is not asked. Without a terminal, `yes` is required.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.Abort: the user typed another number, or nothing.
    """
    if yes:
        return
    if not on_terminal():
        raise click.UsageError(f"{what}: there is no terminal to confirm on; this needs --yes")
    answer = click.prompt(f"{what}; type {number} to continue", default="", err=True)
    if answer.strip() != str(number):
        raise click.Abort


def on_terminal() -> bool:
    """Return whether a terminal is available for prompting the user."""
    return sys.stdin.isatty()
