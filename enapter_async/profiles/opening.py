"""Creates a client from a profile and the environment."""

import os
from collections.abc import Mapping
from typing import Any

from enapter_async.client import Client
from enapter_async.concealment import concealing
from enapter_async.environment import ENVIRONMENT
from enapter_async.errors import ConfigurationError
from enapter_async.logs import asked_for
from enapter_async.profiles.connection import choose, resolve
from enapter_async.profiles.file import config_path


@concealing
def from_profile(
    name: str | None = None, *, environ: Mapping[str, str] | None = None, **settings: Any
) -> Client:
    """Create a client from a profile and the environment, which takes precedence over it.

    `settings` are the arguments of `Client` and take precedence over both. Without `name`, the
    profile is the one that `ENAPTER_PROFILE` names, or the file's default. A `token_command`
    blocks for up to 30 s, so call this before a server starts serving.

    Raises:
        ConfigurationError: there is no such profile, no token, or a setting is invalid.
    """
    environ = os.environ if environ is None else environ
    connection = resolve(choose(name, environ), environ)
    if settings.get("token") is None:
        if connection.token is None:
            raise ConfigurationError(
                f"there is no token: set it in a profile of {config_path(environ)[0]}, "
                f"set {ENVIRONMENT}TOKEN, or pass token=…"
            )
        settings["token"] = connection.token.value()
    settings.setdefault("base_url", connection.base_url.value)
    settings.setdefault("user", connection.user.value)
    if settings.get("session") is None:
        settings.setdefault("proxy", connection.proxy.value)
    settings.setdefault("allow_insecure_http", connection.allow_insecure_http.value)
    if settings.get("ssl_context") is None:
        settings["ssl_context"] = connection.ssl_context()
    settings["hooks"] = (*settings.get("hooks", ()), *asked_for(environ))
    return Client(**settings)
