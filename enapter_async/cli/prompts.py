"""Asks for confirmation before changes that cannot be undone."""

import sys
from collections.abc import Mapping

import click

yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask to confirm what cannot be undone."
)


def confirm_lasting(counts: Mapping[str, int], *, yes: bool) -> None:
    """Ask the user to confirm what cannot be undone, by typing its number.

    `counts` maps words, such as "deletion", to numbers. Does not ask if all are 0. Raises the
    same errors as `confirm`.
    """
    named = " and ".join(
        f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items() if count
    )
    if named:
        confirm(f"{named} cannot be undone", sum(counts.values()), yes=yes)


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
