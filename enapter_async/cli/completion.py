"""`enapter-async completion`: the script that lets a shell complete commands."""

import click
from click.shell_completion import get_completion_class

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
        raise click.UsageError(f"this version of click knows no {shell}")
    script = kind(context.find_root().command, {}, PROGRAM, VARIABLE).source()
    click.echo(script)
