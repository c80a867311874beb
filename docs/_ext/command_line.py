"""Generate the command line's reference page from the commands: `{command-line}`."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from enapter_async.cli.app import cli
from enapter_async.cli.exit_codes import MEANINGS

_PROGRAM: Final = "enapter-async"
_SPECIAL: Final = re.compile(r"([\\*|_<>]|:(?=//))")
_UNDERLINES: Final = "-^~"


def _plain(text: str) -> str:
    """Escape the reStructuredText markup in a help text, except code in backquotes."""
    prose_and_code = text.split("`")
    prose_and_code[::2] = [_SPECIAL.sub(r"\\\1", prose) for prose in prose_and_code[::2]]
    return "``".join(prose_and_code)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        words = " ".join(paragraph.split())
        if paragraph.startswith("\b\n"):  # click's mark for lines that stay as they are
            lines = paragraph.removeprefix("\b\n").splitlines()
            yield from (".. code-block:: text", "", *(f"    {line}" for line in lines), "")
        elif words.startswith(f"{_PROGRAM} "):
            yield from (".. code-block:: text", "", f"    {words}", "")
        else:
            yield from (_plain(words), "")


def _option(option: click.Option, context: click.Context) -> Iterator[str]:
    record = option.get_help_record(context)
    if record is None:
        return
    names, text = record
    yield f".. option:: {names.replace(' / ', ', ')}"
    yield ""
    yield f"   {_plain(' '.join(text.split()))}"
    yield ""


class _Writer:
    def __init__(self) -> None:
        root = click.Context(cli, info_name=_PROGRAM)
        self._shared = {
            (option.name, option.help)
            for option in cli.params
            if isinstance(option, click.Option) and option.name not in ("version", "help")
        }
        self.lines = list(self._command(cli, root, depth=0))

    def _command(self, command: click.Command, context: click.Context, depth: int) -> Iterator[str]:
        path = context.command_path
        if depth:
            yield from (path, _UNDERLINES[depth - 1] * len(path), "")
        yield from (f".. program:: {path}", "", ".. code-block:: text", "")
        yield f"    {' '.join([path, *command.collect_usage_pieces(context)])}"
        yield ""
        yield from _paragraphs(command.help or "")
        for option in command.params:
            if not isinstance(option, click.Option):
                continue
            if depth == 0 or (option.name, option.help) not in self._shared:
                yield from _option(option, context)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None and not inner.hidden:
                    below = click.Context(inner, info_name=name, parent=context)
                    yield from self._command(inner, below, depth + 1)


class CommandLine(SphinxDirective):
    """All commands, each with its usage, its help and its own options."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Write the commands as reStructuredText, and parse it."""
        return self.parse_text_to_nodes("\n".join(_Writer().lines), allow_section_headings=True)


class ExitCodes(SphinxDirective):
    """The exit codes and what they mean, as a table."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Write the exit codes as a list-table."""
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "   :align: left",
            "",
            "   * - code",
            "     - meaning",
        ]
        for code, meaning in MEANINGS.items():
            lines += [f"   * - {code.value}", f"     - {_plain(meaning)}"]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add both directives."""
    app.add_directive("command-line", CommandLine)
    app.add_directive("exit-codes", ExitCodes)
    return {"parallel_read_safe": False}
