"""Creates the client of a command from its options, the environment and a profile."""

import os
import stat
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from enapter_async._http.retry import RetryPolicy
from enapter_async.cli.descriptors import connections
from enapter_async.cli.options import Settings, tell, warn
from enapter_async.client import Client
from enapter_async.concealment import concealing
from enapter_async.environment import ENVIRONMENT, LOG_VARIABLE
from enapter_async.errors import ConfigurationError
from enapter_async.hooks import AttemptFailed, Event, Hook, Waited, Waiting
from enapter_async.limits.limiter import Limiter
from enapter_async.limits.pacing import Pacing
from enapter_async.logs import asked_for
from enapter_async.profiles.connection import Connection, Setting, choose, resolve
from enapter_async.text import plain

T = TypeVar("T")

TOLD_EVERY: Final = 5.0
"""Seconds of waiting between two messages, and before the first."""


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
    usual = RetryPolicy()
    environ = {LOG_VARIABLE: "info", **os.environ} if settings.verbose else os.environ
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
            retry=RetryPolicy(
                attempts=settings.attempts or usual.attempts,
                deadline=settings.deadline or usual.deadline,
            ),
            pacing=None if limiter else Pacing(max_in_flight=possible, max_rate=settings.max_rate),
            limiter=limiter,
            hooks=(*hooks, *asked_for(environ)) or (Patience(tell),),
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
            mode = Path(path).stat().st_mode
            if sys.platform != "win32" and stat.S_ISREG(mode) and mode & 0o077:
                warn(f"warning: {plain(path)} can be read by others; fix this with chmod 600")
            text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"{path} cannot be read: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")


class Patience:
    """A hook that prints a line each time that calls have waited for five more seconds."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._why = ""
        self._waited = self._told = 0.0

    def __call__(self, event: Event, /) -> None:
        """Receive an event of a call."""
        if isinstance(event, AttemptFailed):
            status = event.attempt.status
            self._why = f"HTTP {status}" if status else event.attempt.error_type
        elif isinstance(event, Waiting | Waited):
            self._waited += event.seconds
            if self._why and self._waited >= self._told + TOLD_EVERY:
                self._told = self._waited
                self._tell(f"waiting for the server, {self._waited:.0f} s in all: {self._why}")
