"""The root command; subcommands are imported only when they are used."""

import errno
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import click

from enapter_async._version import __version__
from enapter_async.cli.descriptors import check_spare
from enapter_async.cli.exit_codes import MEANINGS, Exit
from enapter_async.cli.groups import Directory
from enapter_async.cli.options import (
    TYPED,
    Settings,
    connection_options,
    is_quiet,
    tell_of_doctor,
    warn,
)
from enapter_async.cli.streams import OutputError
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.fleet.errors import RunRefusedError
from enapter_async.text import plain, plain_lines

_COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "blueprints": "Read, check, upload and download blueprints.",
        "commands": "Execute commands, and show their executions.",
        "completion": "Print a script for tab completion in bash, zsh or fish.",
        "configuration": "Read and change the configuration of single devices.",
        "demo": "Change a thousand emulated devices, and check every outcome.",
        "devices": "List, read, change and delete single devices.",
        "doctor": "Check the connection to the API, and suggest fixes.",
        "emulator": "Run a local server that behaves like the API.",
        "fleet": "Change many devices from a file.",
        "logs": "List the logs of a device, or follow them.",
        "profiles": "List the profiles of the configuration file.",
        "provisioning": "Create devices, and write the settings with which they connect.",
        "rules": "List, read, create, change and delete rules.",
        "sites": "List, read, create, change and delete sites.",
        "telemetry": "Read latest values and time series, or follow a device.",
    }
)
"""The commands, each the name of its module, with their help."""
_EXIT_CODES: Final = "\b\nExit codes:\n" + "\n".join(
    f"  {code.value:3}  {meaning}" for code, meaning in MEANINGS.items()
)

_FULL: Final = "; free some space, or use another folder (ENAPTER_STATE_DIR is that of runs)"


class _Root(Directory):
    """Prints the package's errors as messages."""

    def meant_by(self, ctx: click.Context, name: str) -> list[str]:
        # A verb without its noun, such as `apply` for `fleet apply`.
        fleet = self.get_command(ctx, "fleet")
        if isinstance(fleet, click.Group) and name in fleet.list_commands(ctx):
            return [f"fleet {name}"]
        return super().meant_by(ctx, name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[TYPED] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EnapterError as error:
            warn(f"enapter-async: {plain_lines(error)}")
            tell_of_doctor(error)
            ctx.exit(_exit_of(error))
        except click.UsageError as error:
            if not is_quiet():
                raise
            # Usage help is of no use in the mail of a cron job.
            warn(f"enapter-async: {plain_lines(error.format_message())}")
            ctx.exit(Exit.USAGE)
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)


def _exit_of(error: EnapterError) -> Exit:
    if isinstance(error, RunRefusedError):
        return Exit.REFUSED
    return Exit.USAGE if isinstance(error, ConfigurationError) else Exit.FAILED


@click.group(
    cls=_Root,
    entries={name: (name, click.Command(name, short_help=_COMMANDS[name])) for name in _COMMANDS},
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="enapter-async")
@connection_options
@click.pass_context
def cli(context: click.Context, settings: Settings) -> None:
    """Operate fleets of Enapter devices, with a reliable outcome for each change.

    The options below may also follow a command's name. The token cannot be passed on the command
    line, where every user of the machine could read it.
    """
    context.obj = settings


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    An error of the system (for example, too many open files) prints one line, not a traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        check_spare()
        cli.main(args=arguments, prog_name="enapter-async")
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(Exit.FAILED)
    except OutputError as error:
        warn(f"enapter-async: standard output was not written: {error.strerror}")
    except OSError as error:
        where = "" if error.filename is None else f"{plain(error.filename)}: "
        remedy = _FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        warn(f"enapter-async: {where}{error.strerror or plain(error)}{remedy}")
    return int(Exit.FAILED)
