"""Groups of commands, which list a command's own options first and suggest what was meant."""

import difflib
import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from enapter_async.text import plain

_SYNONYMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "continue": "resume",
        "describe": "get",
        "edit": "update",
        "ls": "list",
        "read": "get",
        "remove": "delete",
        "rename": "update",
        "rm": "delete",
        "rollback": "undo",
        "set": "update",
        "show": "get",
    }
)
_LIKENESS: Final = 0.6


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What adds an option to a command's function, such as `click.option(…)`."""


def together(*options: Decorator) -> Decorator:
    """Return one decorator that adds several options, in the order of the help."""
    return lambda command: functools.reduce(lambda each, add: add(each), reversed(options), command)


class SharedOption(click.Option):
    """An option of many commands, which the help of each lists after the command's own options."""


class Nouns(click.Group):
    """A group that suggests similar commands for an unknown one.

    Its commands list their shared options last.
    """

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, with its shared options moved behind its own."""
        own_first(cmd)
        super().add_command(cmd, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name.

        Raises:
            click.UsageError: there is no such command; the message suggests similar ones.
        """
        name = args[0]
        known = name.startswith("-") or self.get_command(ctx, name) is not None
        if not known and not ctx.resilient_parsing:
            nouns = ctx.command_path.split()[1:]
            meant = [f"'{' '.join((*nouns, each))}'" for each in self.meant_by(ctx, name)]
            ask = f"; did you mean {' or '.join(meant)}?" if meant else ""
            ctx.fail(f"there is no command {plain(name)!r}{ask}")
        return super().resolve_command(ctx, args)

    def meant_by(self, ctx: click.Context, name: str) -> list[str]:
        """Return the names of at most two commands that an unknown name may stand for."""
        names = self.list_commands(ctx)
        synonym = _SYNONYMS.get(name.lower())
        if synonym is not None and synonym in names:
            return [synonym]
        return difflib.get_close_matches(name.lower(), names, 2, _LIKENESS)


class Directory(Nouns):
    """A group whose commands are imported when they are chosen.

    `entries` maps each command to its module and to a stub with only its help, for lists.
    """

    def __init__(
        self, *given: Any, entries: Mapping[str, tuple[str, click.Command]], **named: Any
    ) -> None:
        super().__init__(*given, **named)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in order."""
        return sorted(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if no command has this name."""
        if cmd_name not in self.entries:
            return None
        module = import_module(f"enapter_async.cli.{self.entries[cmd_name][0]}")
        for each in vars(module).values():
            if isinstance(each, click.Command) and each.name == cmd_name:
                return own_first(each)
        raise LookupError(f"{module.__name__} has no command {cmd_name}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands."""
        described = {name: command for name, (_, command) in self.entries.items()}
        click.Group(commands=described).format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands, or the options, that start with the typed text."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=self.entries[name][1].get_short_help_str())
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]


def own_first(command: click.Command) -> click.Command:
    """Move shared options behind a command's own, also those of its commands; safe to repeat."""
    command.params.sort(key=lambda parameter: isinstance(parameter, SharedOption))
    if isinstance(command, click.Group):
        for each in command.commands.values():
            own_first(each)
    return command
