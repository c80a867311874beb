"""`enapter-async completion`: prints a shell's completion script."""

import click
from click.shell_completion import CompletionItem, get_completion_class

from enapter_async.cli import candidates

_SHELLS = ("bash", "zsh", "fish")
PROGRAM = "enapter-async"
VARIABLE = "_ENAPTER_ASYNC_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(context: click.Context, *, shell: str) -> None:
    """Print a script that completes commands, options, profiles, runs and files.

    \b
      bash:  eval "$(enapter-async completion bash)"          in ~/.bashrc
      zsh:   eval "$(enapter-async completion zsh)"           in ~/.zshrc
      fish:  enapter-async completion fish | source           in ~/.config/fish/config.fish
    """  # noqa: D301 - \b is click's own mark: leave the lines of this paragraph as they are
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click does not support {shell}")
    script = kind(context.find_root().command, {}, PROGRAM, VARIABLE).source()
    click.echo(script)


def profiles(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the profiles of the configuration file, each with its `base_url`."""
    return [CompletionItem(name, help=url) for name, url in candidates.profiles(incomplete)]


def runs(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete `last` and the ids of the newest runs; text that looks like a path as a path."""
    if "/" in incomplete or incomplete.startswith((".", "~")):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in candidates.runs(incomplete)]


def files(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Let the shell complete file names."""
    return [CompletionItem(incomplete, type="file")]
