"""Asks for confirmation before changes that cannot be undone."""

import functools
import sys
from collections.abc import Mapping
from typing import Final

import click

from enapter_async.cli import completion
from enapter_async.text import counted, plain

yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask to confirm what cannot be undone."
)

output_option: Final = functools.partial(
    click.option, "-o", "--output", shell_complete=completion.files
)
force_option = click.option(
    "--force", is_flag=True, help="Replace the output file if it already exists."
)
_ASKED_AT_MOST: Final = 3


def confirm_lasting(counts: Mapping[str, int], *, yes: bool) -> None:
    """Ask the user to confirm what cannot be undone, by typing its number.

    `counts` maps words, such as "deletion", to numbers. Does not ask if all are 0. Raises the
    same errors as `confirm`.
    """
    named = " and ".join(counted(count, what) for what, count in counts.items() if count)
    if named:
        confirm(f"{named} cannot be undone", sum(counts.values()), yes=yes)


def confirm(what: str, number: int, *, yes: bool, destroys: bool = True) -> None:
    """Ask the user to type a number to continue; where nothing is destroyed, `y` is enough.

    If `yes` is set, the user is not asked. Without a terminal, `yes` is required. A mistyped answer
    is asked for again.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.Abort: the user typed `n` or nothing, or three times something else.
    """
    if yes:
        return
    if not on_terminal():
        raise click.UsageError(f"{what}: there is no terminal to confirm on; this needs --yes")
    wanted = {str(number)} if destroys else {str(number), "y", "yes"}
    question = f"type {number} to continue" if destroys else "continue (y/n)?"
    for _ in range(_ASKED_AT_MOST):
        answer = click.prompt(f"{what}; {question}", default="", show_default=False, err=True)
        if answer.strip().lower() in wanted:
            return
        if answer.strip().lower() in ("", "n", "no"):
            break
    raise click.Abort


def on_terminal() -> bool:
    """Return whether a terminal is available for prompting the user."""
    return sys.stdin.isatty()


def confirm_deletion(name: str, *, yes: bool) -> None:
    """Ask whether to delete an object, unless `yes` is set.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to confirm on; a deletion then needs --yes")
    click.confirm(f"Permanently delete {plain(name)}?", abort=True, err=True)
