"""Creates the client of a command from its options, the environment and a profile."""

import os
import stat
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from enapter_async._http.retry import RetryPolicy
from enapter_async.cli.descriptors import connections
from enapter_async.cli.options import Settings, tell, warn
from enapter_async.cli.patience import Patience
from enapter_async.client import Client
from enapter_async.concealment import concealing
from enapter_async.environment import ENVIRONMENT, LOG_VARIABLE
from enapter_async.errors import ConfigurationError
from enapter_async.hooks import Hook
from enapter_async.limits.limiter import Limiter
from enapter_async.limits.pacing import Pacing
from enapter_async.logs import asked_for
from enapter_async.profiles.connection import Connection, Setting, choose, resolve
from enapter_async.text import plain

T = TypeVar("T")


@concealing
def client_of(
    settings: Settings,
    *,
    hooks: Sequence[Hook] = (),
    in_flight: int = 1,
    limiter: Limiter | None = None,
) -> Client:
    """Create a client from the options, the environment and the profile.

    A `limiter` takes the place of the maximum rate.

    Raises:
        ConfigurationError: there is no token, or a setting is invalid.
    """
    connection = connection_of(settings)
    policy = RetryPolicy()
    if settings.attempts is not None:
        policy = attrs.evolve(policy, attempts=settings.attempts)
    if settings.deadline is not None:
        policy = attrs.evolve(policy, deadline=settings.deadline)
    possible = connections(max(in_flight, 1))
    if possible < in_flight:
        tell(
            f"at most {possible} connections at once, because of the limit of open files "
            f"(ulimit -n)"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = Client(
            token_of(connection),
            base_url=connection.base_url.value,
            user=connection.user.value,
            proxy=connection.proxy.value,
            retry=policy,
            pacing=None if limiter else Pacing(max_in_flight=possible, max_rate=settings.max_rate),
            limiter=limiter,
            hooks=(*hooks, *asked_for(_log_settings(settings))) or (Patience(tell),),
            ssl_context=connection.ssl_context(),
            allow_insecure_http=connection.allow_insecure_http.value,
        )
    if connection.mixed:
        warn(f"warning: {plain(connection.mixed)}")
    for warning in caught:
        warn(f"warning: {warning.message}")
    return client


def connection_of(settings: Settings) -> Connection:
    """Return the connection settings, each with its source; the token is not read yet.

    Raises:
        ConfigurationError: there is no such profile, or the configuration file is invalid.
    """

    def option(name: str, value: T | None) -> Setting[T] | None:
        return None if not value else Setting(value, f"option {name}")

    path = settings.token_file
    return resolve(
        choose(settings.profile, os.environ),
        os.environ,
        base_url=option("--base-url", settings.base_url),
        user=option("--user", settings.user),
        proxy=option("--proxy", settings.proxy),
        allow_insecure_http=option("--allow-insecure-http", settings.allow_insecure_http),
        token=option("--token-file", None if path is None else lambda: read_token(path)),
    )


def token_of(connection: Connection) -> str:
    """Read the token of a connection.

    Raises:
        ConfigurationError: there is no token, or it cannot be read.
    """
    if connection.token is None:
        raise ConfigurationError(
            f"there is no token: give --token-file or --profile, or set {ENVIRONMENT}TOKEN"
        )
    return connection.token.value()


@concealing
def read_token(path: str) -> str:
    """Read a token from a file ('-' is standard input), and strip one trailing line end.

    Raises:
        ConfigurationError: the file cannot be read, or is not text.
    """
    try:
        if path == "-":
            text = sys.stdin.readline()
        else:
            if sys.platform != "win32" and stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
                warn(f"warning: {plain(path)} can be read by others; fix this with chmod 600")
            text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"{path} cannot be read: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _log_settings(settings: Settings) -> Mapping[str, str]:
    return {LOG_VARIABLE: "info", **os.environ} if settings.verbose else os.environ
