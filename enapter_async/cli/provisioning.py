"""`enapter-async provisioning`: creates devices, and writes their settings for a runtime."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from enapter_async.cli import completion
from enapter_async.cli.env_files import check_unused, env_line
from enapter_async.cli.objects import with_new_credentials, write_credentials, write_object
from enapter_async.cli.options import Settings, SharedGroup, tell
from enapter_async.cli.prompts import force_option, output_option
from enapter_async.errors import ArgumentError, ConfigurationError
from enapter_async.fleet.private_files import written_whole
from enapter_async.operations.arguments import identifier
from enapter_async.operations.provisioning import (
    ProvisionLuaDevice,
    ProvisionStandalone,
    ProvisionUcm,
    ProvisionVucm,
)
from enapter_async.text import counted, plain

_Command = Callable[..., Any]
_site: Final = click.option("--site", "site_id", metavar="ID", help="The new device's site.")
_slug: Final = click.option(
    "--slug",
    required=True,
    help="An unused slug, by which the new device is found if the answer is lost.",
)
_hardware_id: Final = click.option("--hardware-id", required=True, metavar="ID")


@click.group("provisioning", cls=SharedGroup)
def command() -> None:
    """Create devices, and write the settings with which they connect."""


@command.command("standalone")
@click.argument("name")
@_slug
@_site
def standalone(settings: Settings, name: str, slug: str, site_id: str | None) -> None:
    """Create a standalone device called NAME."""
    write_object(settings, ProvisionStandalone(name=name, slug=slug, site_id=site_id))


@command.command("lua-device")
@click.argument("name")
@_slug
@click.option("--runtime", "runtime_id", required=True, metavar="ID", help="The UCM to run on.")
@click.option("--blueprint", "blueprint_id", required=True, metavar="ID")
def lua_device(
    settings: Settings, name: str, slug: str, runtime_id: str, blueprint_id: str
) -> None:
    """Create a device called NAME that a blueprint's Lua script runs."""
    operation = ProvisionLuaDevice(
        name=name, slug=slug, runtime_id=runtime_id, blueprint_id=blueprint_id
    )
    write_object(settings, operation)


@command.command("vucm")
@click.argument("name")
@_hardware_id
@_site
def vucm(settings: Settings, name: str, hardware_id: str, site_id: str | None) -> None:
    """Create a virtual UCM called NAME on a gateway."""
    write_object(settings, ProvisionVucm(name=name, hardware_id=hardware_id, site_id=site_id))


@command.command("ucm")
@click.argument("name")
@_hardware_id
@_site
@with_new_credentials
def ucm(
    settings: Settings,
    *,
    name: str,
    hardware_id: str,
    site_id: str | None,
    protocol: str,
    output: str | None,
    show: bool,
    form: str,
) -> None:
    """Create a hardware UCM called NAME, with a new MQTT configuration.

    Its credentials are returned only once, so choose where to write them: -o FILE, --show, or both.
    """
    operation = ProvisionUcm(name=name, hardware_id=hardware_id, site_id=site_id, protocol=protocol)
    write_credentials(settings, operation, output=output, show=show, form=form)


@command.command("env")
@click.argument("file", shell_complete=completion.files)
@output_option(
    required=True,
    metavar="FOLDER",
    help="Write a file for each device to this folder; each is created with mode 0600.",
)
@force_option
def env(settings: Settings, file: str, output: str, *, force: bool) -> None:
    """Write the newest configurations in FILE as settings of Enapter's standalone runtime.

    FILE is a credentials file. Each device gets a file DEVICE.env with the one line
    ENAPTER_STANDALONE_COMMUNICATION_CONFIG=…, for `docker run --env-file` or systemd. Nothing is
    sent.
    """
    newest = _newest(Path(file))
    folder = Path(output)
    files = {folder / f"{device}.env": config for device, config in newest.items()}
    check_unused(files, force=force)
    folder.mkdir(mode=0o700, exist_ok=True)
    for path, config in files.items():
        with written_whole(path, new=not force) as written:
            written.write(env_line(config) + "\n")
    if settings.as_json:
        click.echo(json.dumps({"folder": output, "devices": list(newest)}))
    else:
        tell(f"{counted(len(newest), 'configuration')} written to {plain(output)}")


def _newest(file: Path) -> dict[str, Mapping[str, Any]]:
    """Return the last configuration of each device in a credentials file, by a name for it.

    The name is the device's id or slug, with its site if another site has a device of that name.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not a configuration.
    """
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {type(error).__name__}") from None
    for number, line in enumerate(lines, start=1):
        problem = "it is not a line of a credentials file"
        try:
            row = json.loads(line)
            device = identifier("device_id", row["device_id"])
            site = identifier("site_id", row["site_id"]) if "site_id" in row else ""
            if not isinstance(row.get("config"), dict):
                problem = "its configuration could not be read when it was generated"
                raise ConfigurationError(problem)
        except (ValueError, KeyError, TypeError, RecursionError, ArgumentError):
            # Without the error, which may hold a secret.
            raise ConfigurationError(f"{file}: line {number}: {problem}") from None
        found[site, device] = row["config"]
    times = Counter(device for _, device in found)
    return {
        device if times[device] == 1 else f"{site}.{device}": config
        for (site, device), config in found.items()
    }
