"""Named profiles in a configuration file: server, user, token and other connection settings.

::

    default = "cloud"

    [profiles.cloud]
    token_command = ["pass", "show", "enapter/cloud"]

    [profiles.berlin]
    base_url = "https://gateway.berlin.example/api"
    ca_file = "berlin.pem"
    token_file = "berlin.token"

A profile may set `base_url`, `user`, `ca_file` (a private authority, PEM), `proxy`,
`allow_insecure_http`, and one of `token_command`, `token_file` and `token`. A `token_command` is a
list, run without a shell; the first line of its output is the token. With `token`, the
configuration file must not be readable by others. Paths may start with `~`; otherwise they are
relative to the file's folder.

Arguments take precedence over the environment, and the environment over the profile.
"""

from typing import TYPE_CHECKING, Any

from enapter_async._door import public

if TYPE_CHECKING:
    from enapter_async.profiles.file import Config, Profile, read_config
    from enapter_async.profiles.opening import from_profile

__all__ = ["Config", "Profile", "from_profile", "read_config"]

_HOMES = {
    "profiles.file": "Config Profile read_config",
    "profiles.opening": "from_profile",
}
"""The modules that define the names, each with its names."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        return globals().setdefault(name, public(__name__, _HOMES, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
