"""`enapter-async blueprints`: reads, checks, uploads and downloads blueprints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enapter_async.cli import connecting, objects
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.options import Settings, SharedGroup, tell
from enapter_async.cli.prompts import output_option
from enapter_async.cli.rows import json_line
from enapter_async.models.blueprints import BlueprintView
from enapter_async.text import plain

if TYPE_CHECKING:
    from enapter_async.client import Client

_VIEWS = [str(view).lower() for view in BlueprintView.known()]
_to_file = output_option(metavar="FILE", required=True, help="The new file for the ZIP archive.")


@click.group("blueprints", cls=SharedGroup)
def command() -> None:
    """Read, check, upload and download blueprints.

    SOURCE is a ZIP archive or a directory, whose hidden files and those that `.blueprintignore`
    excludes are left out.
    """


@command.command("get")
@click.argument("blueprint")
def get_blueprint(settings: Settings, blueprint: str) -> None:
    """Read one blueprint, by id."""
    objects.show_object(settings, lambda client: client.blueprints.get(blueprint))


@command.command("get-by-name")
@click.argument("name")
@click.option("--namespace", default="enapter", show_default=True, help="The namespace.")
@click.option("--tag", default="latest", show_default=True, help="The tag.")
def get_by_name(settings: Settings, name: str, namespace: str, tag: str) -> None:
    """Read one blueprint, by its full name."""
    objects.show_object(
        settings, lambda client: client.blueprints.get_by_name(name, namespace=namespace, tag=tag)
    )


@command.command("validate")
@click.argument("source")
def validate(settings: Settings, source: str) -> None:
    """Check a blueprint without storing it; the exit code is 1 if it is not valid."""

    async def work() -> Exit | None:
        async with connecting.client_of(settings) as client:
            errors = await client.blueprints.validate(source)
        if settings.as_json:
            click.echo(json_line({"validation_errors": list(errors)}))
        else:
            click.echo("\n".join(map(plain, errors)) or "valid")
        return Exit.FAILED if errors else None

    objects.run_reading(work)


@command.command("upload")
@click.argument("source")
def upload(settings: Settings, source: str) -> None:
    """Store a blueprint under a new id, and write it."""
    objects.show_object(settings, lambda client: client.blueprints.upload(source))


@command.command("download")
@click.argument("blueprint")
@click.option(
    "--view",
    type=click.Choice(_VIEWS, case_sensitive=False),
    default="original",
    show_default=True,
    help="As it was uploaded, or as the API compiled it.",
)
@_to_file
def download(settings: Settings, blueprint: str, view: str, output: str) -> None:
    """Write the ZIP archive of a blueprint to a file."""
    _download(settings, output, lambda client: client.blueprints.save(blueprint, output, view=view))


@command.command("device-profiles")
@_to_file
def device_profiles(settings: Settings, output: str) -> None:
    """Write the ZIP archive of all device profiles to a file."""
    _download(settings, output, lambda client: client.blueprints.save_device_profiles(output))


def _download(settings: Settings, output: str, reading: Callable[[Client], Awaitable[int]]) -> None:
    if Path(output).exists():
        raise click.UsageError(f"{plain(output)} already exists; choose a new file")

    async def work() -> None:
        async with connecting.client_of(settings) as client:
            size = await reading(client)
        row: dict[str, Any] = {"file": output, "bytes": size}
        if settings.as_json:
            click.echo(json_line(row))
        else:
            tell(f"{plain(output)}: {size} bytes")

    objects.run_reading(work)
