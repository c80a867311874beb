"""`enapter-async profiles`: lists the configuration file's profiles, without their secrets."""

import os
from textwrap import indent
from typing import Any, Final

import click

from enapter_async._http.proxies import shown_proxy
from enapter_async.cli import completion
from enapter_async.cli.groups import Nouns
from enapter_async.cli.options import tell, warn
from enapter_async.cli.rows import json_line
from enapter_async.environment import DEFAULT_BASE_URL, PROFILE_VARIABLE
from enapter_async.profiles.file import Profile, read_config, use_profile
from enapter_async.text import plain

EXAMPLE: Final = """\
default = "cloud"

[profiles.cloud]
token_command = ["pass", "show", "enapter"]

[profiles.gateway]
base_url = "http://enapter-gateway.local/api"
allow_insecure_http = true
token_file = "gateway.token"
"""
_EPILOG: Final = (
    "\b\nThe file is ~/.config/enapter-async/config.toml, on macOS\n"
    "~/Library/Application Support/enapter-async/config.toml, or the file\n"
    "in ENAPTER_CONFIG. An example, with the token from a command and\n"
    "from a file of mode 0600:\n\n\b\n" + indent(EXAMPLE, "  ").replace("\n\n", "\n  \n")
)


@click.group("profiles", cls=Nouns, epilog=_EPILOG, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, one profile per line.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """List the profiles of the configuration file; no token is read or shown.

    A star marks the profile that is used if no --profile is given; `profiles use` chooses it.
    """
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@command.command("use")
@click.argument("name", shell_complete=completion.profiles)
def use(name: str) -> None:
    """Use the profile NAME whenever no --profile is given.

    Only the line `default` of the configuration file is changed.
    """
    config = use_profile(name)
    tell(f"{config.path} now uses the profile {name}")
    if os.environ.get(PROFILE_VARIABLE) not in (None, "", name):
        warn(f"warning: {PROFILE_VARIABLE} is set and takes precedence")


def _list(*, as_json: bool) -> None:
    config = read_config()
    chosen = os.environ.get(PROFILE_VARIABLE) or config.default
    for profile in config.profiles.values():
        used = profile.name == chosen
        click.echo(json_line(_row(profile, used=used)) if as_json else _line(profile, used=used))
    if not config.profiles:
        tell(
            f"there is no profile in {config.path}; `enapter-async profiles --help` shows an "
            f"example"
        )
    else:
        tell(f"from {config.path}")


def _row(profile: Profile, *, used: bool) -> dict[str, Any]:
    return {
        "name": profile.name,
        "default": used,
        "base_url": profile.base_url or DEFAULT_BASE_URL,
        "user": profile.user,
        "token": profile.token_source or None,
        "proxy": None if profile.proxy is None else shown_proxy(profile.proxy),
        "ca_file": None if profile.ca_file is None else str(profile.ca_file),
        "allow_insecure_http": bool(profile.allow_insecure_http),
    }


def _line(profile: Profile, *, used: bool) -> str:
    row = _row(profile, used=used)
    parts = [f"{'*' if used else ' '} {profile.name}", row["base_url"]]
    parts.append(f"token: {row['token'] or 'none'}")
    if profile.user is not None:
        parts.append(f"user: {profile.user}")
    if profile.proxy is not None:
        parts.append(f"proxy: {row['proxy']}")
    if profile.ca_file is not None:
        parts.append(f"authority: {profile.ca_file}")
    if profile.allow_insecure_http:
        parts.append("http allowed")
    return plain("  ".join(parts))
