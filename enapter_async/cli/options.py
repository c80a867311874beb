"""Options shared by many commands."""

import functools
import re
import shlex
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import attrs
import click

from enapter_async.cli.completion import files, profiles
from enapter_async.cli.groups import Decorator, Nouns, SharedOption, together
from enapter_async.environment import (
    DEFAULT_BASE_URL,
    ENVIRONMENT,
    LOG_VARIABLE,
    PROFILE_VARIABLE,
)
from enapter_async.errors import (
    AuthenticationError,
    PermissionDeniedError,
    RateLimitedError,
    TransportError,
)


@attrs.frozen(kw_only=True)
class Settings:
    """The command line's settings for server, token, retries and rate; None means the default."""

    profile: str | None = None
    base_url: str | None = None
    token_file: str | None = None
    user: str | None = None
    proxy: str | None = attrs.field(default=None, repr=False)
    allow_insecure_http: bool | None = None
    attempts: int | None = None
    deadline: float | None = None
    max_rate: float | None = None
    as_json: bool | None = None
    quiet: bool | None = None
    verbose: bool | None = None

    def over(self, other: "Settings") -> "Settings":
        """Return these settings, with those of `other` for values that are None."""
        given = attrs.asdict(self, filter=lambda _, value: value is not None)
        return attrs.evolve(other, **given)


DOCTOR: Final = "`enapter-async doctor` shows which step of the connection fails"
BUSY: Final = "the server refuses requests for now: try again later, or wait longer with --deadline"
REFUSED: Final = "`enapter-async doctor` shows where the token comes from, and what it may do"


def tell_of_doctor(error: BaseException | None) -> None:
    """Suggest the `doctor` command if the error is about the connection to the server."""
    cause = getattr(error, "because", None) or error
    if isinstance(cause, TransportError):
        tell(DOCTOR)
    if isinstance(cause, RateLimitedError):
        tell(BUSY)
    if isinstance(cause, AuthenticationError | PermissionDeniedError):
        tell(REFUSED)


def tell(message: str) -> None:
    """Print a message for people to standard error, unless `--quiet` was given."""
    if not is_quiet():
        click.echo(message, err=True)


def warn(message: str) -> None:
    """Print an error or a warning to standard error, even with `--quiet`."""
    click.echo(message, err=True)


def typed() -> str:
    """Return the command line that was typed, quoted for a shell, without passwords in URLs."""
    words = click.get_current_context().meta.get(TYPED, ())
    return _PASSWORD.sub("…@", shlex.join(("enapter-async", *words)))


def is_quiet() -> bool:
    """Return whether `--quiet` was given to the command that runs."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


TYPED: Final = "enapter_async.typed"
"""The key of the words that were typed, in the context's meta."""
_PASSWORD: Final = re.compile(r"(?<=://)[^/@\s]*@")
_QUIET: Final = "enapter_async.quiet"
_shared: Final = functools.partial(click.option, cls=SharedOption)
_CONNECTION: Final = together(
    _shared(
        "--profile",
        metavar="NAME",
        shell_complete=profiles,
        help="Use this profile of the configuration file; options and environment take precedence. "
        f"[env {PROFILE_VARIABLE}; `enapter-async profiles` lists them]",
    ),
    _shared(
        "--base-url",
        metavar="URL",
        help=f"URL of the API. [env {ENVIRONMENT}BASE_URL; default {DEFAULT_BASE_URL}]",
    ),
    _shared(
        "--token-file",
        metavar="FILE",
        shell_complete=files,
        help=f"Read the token from this file; '-' reads standard input. [env {ENVIRONMENT}TOKEN: "
        "the token itself]",
    ),
    _shared(
        "--proxy",
        metavar="URL",
        help="Use this HTTP proxy; `environment` uses HTTPS_PROXY and similar variables, which are "
        f"ignored otherwise. [env {ENVIRONMENT}PROXY]",
    ),
    _shared("--user", metavar="USER", help=f"User to act as. [env {ENVIRONMENT}USER]"),
    _shared(
        "--allow-insecure-http",
        is_flag=True,
        default=None,
        help="Allow http:// to another machine, such as a gateway.",
    ),
    _shared(
        "--attempts", type=click.IntRange(min=1), help="Maximum number of attempts. [default 4]"
    ),
    _shared(
        "--deadline",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Time limit for one operation, including retries. [default 60]",
    ),
    _shared(
        "--max-rate",
        type=click.FloatRange(min=0, min_open=True),
        metavar="N",
        help="Start at most N requests per second. [default: no limit]",
    ),
    _shared(
        "--json", "as_json", is_flag=True, default=None, help="Write JSON, one object per line."
    ),
    _shared(
        "-q",
        "--quiet",
        is_flag=True,
        default=None,
        help="Print nothing on success, and only what is wrong on failure; results that are read, "
        "and --json, are still written.",
    ),
    _shared(
        "-v",
        "--verbose",
        is_flag=True,
        default=None,
        help=f"Log each call and each failed attempt. [env {LOG_VARIABLE}=info; debug logs more]",
    ),
)


format_option: Final = click.option(
    "--format",
    "form",
    type=click.Choice(["json", "env"]),
    default="json",
    show_default=True,
    help="JSON; or a new file with ENAPTER_STANDALONE_COMMUNICATION_CONFIG=…, the setting of "
    "Enapter's standalone runtime.",
)


def faults_option(default: float) -> Decorator:
    """Return the option for how many requests an emulated server fails."""
    return click.option(
        "--faults",
        type=click.FloatRange(0, 1),
        default=default,
        show_default=True,
        metavar="RATE",
        help="Share of requests that get a fault, from 0 to 1.",
    )


def _moment(value: Any) -> datetime:
    """Return a time, which must have a zone."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise click.BadParameter(f"{value!a} is not a time such as 2026-11-26T12:00:00Z")
    return time


time_option: Final = functools.partial(click.option, type=_moment, metavar="TIME")


def seconds_option(
    name: str, text: str, default: float | None = None, *, zero: bool = True
) -> Decorator:
    """Return an option for a number of seconds; `zero` says whether it may be 0."""
    return click.option(
        name,
        type=click.FloatRange(min=0, min_open=not zero),
        default=default,
        show_default=default is not None,
        metavar="SECONDS",
        help=text,
    )


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command, which receives them as its first argument, `settings`.

    The options may also precede the command's name; options after it take precedence.
    """

    @functools.wraps(command)
    def with_settings(**arguments: Any) -> Any:
        names = attrs.fields_dict(Settings)
        given = {name: arguments.pop(name) for name in names}
        context = click.get_current_context()
        settings = Settings(**given).over(context.find_object(Settings) or Settings())
        context.meta[_QUIET] = settings.quiet
        return command(settings, **arguments)

    return _CONNECTION(with_settings)


def shared_command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Return the decorator of a command with the shared options; see `connection_options`."""
    return lambda function: click.command(name)(connection_options(function))


class SharedGroup(Nouns):
    """A group of commands that all have the shared options; see `connection_options`."""

    def command(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # always a decorator
        self, *args: Any, **named: Any
    ) -> Callable[[Callable[..., Any]], click.Command]:
        """Return the decorator of a command of this group."""
        add: Callable[..., click.Command] = super().command(*args, **named)
        return lambda function: add(connection_options(function))
