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

from enapter_async.profiles.connection import from_profile
from enapter_async.profiles.file import Config, Profile, read_config

__all__ = ["Config", "Profile", "from_profile", "read_config"]
