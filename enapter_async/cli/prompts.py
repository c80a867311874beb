"""Asks before what cannot be taken back."""

import sys

import click

yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask before deletions and new configurations."
)


def confirm_lasting(deletions: int, configurations: int, *, yes: bool) -> None:
    """Let somebody type how many deletions and new configurations there are, or stop.

    Nothing is asked where there is neither. Raises as `confirm` does.
    """
    named = " and ".join(
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((deletions, "deletion"), (configurations, "new configuration"))
        if count
    )
    if named:
        confirm(f"{named} cannot be taken back", deletions + configurations, yes=yes)


def confirm(what: str, number: int, *, yes: bool) -> None:
    """Let somebody type a number to go on, or stop.

    `yes` answers for them; without a terminal nobody can, so it is needed there.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.Abort: another number was typed, or nothing.
    """
    if yes:
        return
    if not on_terminal():
        raise click.UsageError(f"{what}: without a terminal to ask on, this needs --yes")
    answer = click.prompt(f"{what}; type {number} to go on", default="", err=True)
    if answer.strip() != str(number):
        raise click.Abort


def on_terminal() -> bool:
    """Say whether there is somebody who can be asked."""
    return sys.stdin.isatty()
