"""Resolves connection settings from arguments, the environment, a profile and the defaults."""

import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import attrs

from enapter_async.concealment import Secret, concealing
from enapter_async.environment import DEFAULT_BASE_URL, ENVIRONMENT, PROFILE_VARIABLE
from enapter_async.errors import ConfigurationError
from enapter_async.profiles.file import Profile, read_config, unknown_profile

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Setting(Generic[T_co]):
    """A setting's value, with a readable description of its source."""

    value: T_co
    source: str


@attrs.frozen(kw_only=True)
class Connection:
    """Resolved connection settings, each with its source; the token is not fetched yet."""

    base_url: Setting[str]
    user: Setting[str | None]
    ca_file: Setting[Path | None]
    proxy: Setting[str | None] = attrs.field(repr=False)  # its address may hold a password
    allow_insecure_http: Setting[bool]
    token: Setting[Callable[[], str]] | None
    profile: Profile | None

    @property
    def mixed(self) -> str:
        """A warning if a profile's token is sent to a server other than the profile's, or "".

        This happens, for example, if a variable meant for another server is still set.
        """
        profile, token = self.profile, self.token
        if profile is None or token is None or token.source != _of(profile):
            return ""
        own = profile.base_url or DEFAULT_BASE_URL
        if self.base_url.value.rstrip("/") == own.rstrip("/"):
            return ""
        return (
            f"the token of profile {profile.name} is sent to {self.base_url.value} because of "
            f"{self.base_url.source}"
        )

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return an SSL context that trusts only `ca_file`; None if `ca_file` is not set.

        Raises:
            ConfigurationError: the file cannot be used.
        """
        if self.ca_file.value is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file.value)
        except ssl.SSLError:
            reason = "it contains no PEM certificate"
        except OSError as error:
            reason = error.strerror or "it cannot be read"
        raise ConfigurationError(f"ca_file {self.ca_file.value} cannot be used: {reason}")


@concealing
def choose(name: str | None = None, environ: Mapping[str, str] | None = None) -> Profile | None:
    """Return the profile called `name`, else that of `ENAPTER_PROFILE`, else any default.

    Raises:
        ConfigurationError: there is no such profile, or the file is invalid.
    """
    environ = os.environ if environ is None else environ
    config = read_config(environ)
    wanted = name or environ.get(PROFILE_VARIABLE) or config.default
    if not wanted:
        return None
    profile = config.profiles.get(wanted)
    if profile is None:
        raise unknown_profile(config, wanted)
    return profile


@concealing
def resolve(
    profile: Profile | None,
    environ: Mapping[str, str],
    *,
    base_url: Setting[str] | None = None,
    user: Setting[str] | None = None,
    proxy: Setting[str] | None = None,
    allow_insecure_http: Setting[bool] | None = None,
    token: Setting[Callable[[], str]] | None = None,
) -> Connection:
    """Resolve each setting: arguments first, then environment, profile and defaults."""

    def variable(name: str) -> Setting[str] | None:
        value = environ.get(ENVIRONMENT + name)
        return Setting(value, f"environment {ENVIRONMENT}{name}") if value else None

    def own(value: T | None) -> Setting[T] | None:
        return None if profile is None or value is None else Setting(value, _of(profile))

    known = profile or Profile(name="", path=Path())
    nobody: Setting[str | None] = Setting(None, "default")
    if token is None and (found := variable("TOKEN")):
        text = Secret(found.value)
        token = Setting(text.reveal, found.source)
    if token is None and known.token_source:
        token = own(known.read_token)
    return Connection(
        base_url=base_url
        or variable("BASE_URL")
        or own(known.base_url)
        or Setting(DEFAULT_BASE_URL, "default"),
        user=user or variable("USER") or own(known.user) or nobody,
        proxy=proxy or variable("PROXY") or own(known.proxy) or nobody,
        ca_file=own(known.ca_file) or Setting(None, "default"),
        allow_insecure_http=allow_insecure_http
        or own(known.allow_insecure_http)
        or Setting(False, "default"),
        token=token,
        profile=profile,
    )


def _of(profile: Profile) -> str:
    return f"profile {profile.name} in {profile.path}"
