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

from typing import TYPE_CHECKING

from enapter_async._door import lazy

if TYPE_CHECKING:
    from enapter_async.profiles.file import Config as Config
    from enapter_async.profiles.file import Profile as Profile
    from enapter_async.profiles.file import read_config as read_config
    from enapter_async.profiles.opening import from_profile as from_profile

_HOMES = {
    "profiles.file": "Config Profile read_config",
    "profiles.opening": "from_profile",
}
"""The modules that define the names, each with its names."""

if not TYPE_CHECKING:
    __all__, __getattr__, __dir__ = lazy(__name__, _HOMES)
