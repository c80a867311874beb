"""Profiles: which server, as whom and with which token, by name, from a file.

::

    default = "cloud"

    [profiles.cloud]
    token_command = ["pass", "show", "enapter/cloud"]

    [profiles.berlin]
    base_url = "https://gateway.berlin.example/api"
    ca_file = "berlin.pem"
    token_file = "berlin.token"

A profile may set `base_url`, `user`, `ca_file` (an authority of your own, PEM),
`allow_insecure_http`, and one of `token_command` (a list, run without a shell; the first line
that it prints is the token), `token_file` and `token` (the file that holds it must not be
readable by others). Paths may begin with `~`, and are else relative to the file's folder.

What is given outright wins over the environment, and that over the profile.
"""

from enapter_async.profiles.connection import from_profile
from enapter_async.profiles.file import Config, Profile, read_config

__all__ = ["Config", "Profile", "from_profile", "read_config"]
