"""`enapter-async devices`: reads and changes single devices."""

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from enapter_async.cli import completion
from enapter_async.cli.exit_codes import Exit, exit_of_state
from enapter_async.cli.interrupts import Interrupts
from enapter_async.cli.options import Settings, connection_options, tell, tell_of_doctor
from enapter_async.cli.rows import json_line
from enapter_async.cli.runner import run_job
from enapter_async.cli.streams import OutputError, although_unheard, leads_nowhere
from enapter_async.cli.summary import UNKNOWN_ADVICE, fancy, line_of, output_console
from enapter_async.converter import unstructure
from enapter_async.errors import ConfigurationError, EnapterError
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import Outcome, State, outcome_row, reason_of
from enapter_async.fleet.private_files import written_whole
from enapter_async.models.devices import Device
from enapter_async.operation import UNSET, Operation
from enapter_async.operations.device_arguments import EXPANDABLE
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)
from enapter_async.text import plain

_LISTED = ("id", "name", "slug", "type", "site_id", "blueprint_id")
_expand = click.option(
    "--expand",
    metavar="NAMES",
    help=f"Fields to have as well, separated by commas: {', '.join(EXPANDABLE)}.",
)


@click.group("devices")
def command() -> None:
    """List, read, change and delete single devices, by id or by slug."""


@command.command("list")
@connection_options
@click.option("--site", "site_id", metavar="ID", help="Only the devices of this site.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@_expand
def list_devices(
    settings: Settings, site_id: str | None, limit: int | None, expand: str | None
) -> None:
    """List devices, ordered by id."""

    async def work() -> None:
        found: list[Device] = []
        client = settings.client()
        async with client:
            devices = client.devices.list(site_id=site_id, expand=_names(expand))
            async with contextlib.aclosing(devices):
                async for device in _first(devices, limit):
                    if settings.as_json:
                        click.echo(json_line(unstructure(device)))
                    elif fancy(sys.stdout):
                        found.append(device)
                    else:
                        click.echo("\t".join(_cells(device)))
        if fancy(sys.stdout) and not settings.as_json:
            _show_table(found)

    _read(work)


@command.command("get")
@connection_options
@click.argument("device")
@_expand
def get_device(settings: Settings, device: str, expand: str | None) -> None:
    """Read one device."""

    async def work() -> None:
        async with settings.client() as client:
            _show_device(await client.devices.get(device, expand=_names(expand)), settings)

    _read(work)


@command.command("update")
@connection_options
@click.argument("device")
@click.option("--name", help="The new name.")
@click.option("--slug", help="The new slug.")
def update_device(settings: Settings, device: str, name: str | None, slug: str | None) -> None:
    """Set the name of a device, its slug, or both."""
    for option, value in (("--name", name), ("--slug", slug)):
        if value == "":
            raise click.UsageError(f"{option} is empty, which the API takes for 'leave it alone'")
    operation = UpdateDevice(
        device_id=device,
        name=UNSET if name is None else name,
        slug=UNSET if slug is None else slug,
    )
    _write(settings, operation)


@command.command("delete")
@connection_options
@click.argument("device")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_device(settings: Settings, device: str, yes: bool) -> None:
    """Delete a device, for good. Devices that run on it must be deleted first."""
    operation = DeleteDevice(device_id=device)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("without a terminal to ask on, a deletion needs --yes")
        click.confirm(f"Delete {plain(device)} for good?", abort=True, err=True)
    _write(settings, operation)


@command.command("assign-blueprint")
@connection_options
@click.argument("device")
@click.argument("blueprint")
def assign_blueprint(settings: Settings, device: str, blueprint: str) -> None:
    """Return a device another blueprint."""
    _write(settings, AssignBlueprint(device_id=device, blueprint_id=blueprint))


@command.command("generate-config")
@connection_options
@click.argument("device")
@click.option(
    "--protocol",
    type=click.Choice(["MQTT", "MQTTS"], case_sensitive=False),
    default="MQTTS",
    show_default=True,
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=completion.files,
    help="Add the configuration to this file of JSON Lines; it is made with mode 0600.",
)
@click.option("--show", is_flag=True, help="Write the configuration to standard output.")
def generate_config(
    settings: Settings, device: str, protocol: str, output: str | None, show: bool
) -> None:
    """Mint a new MQTT configuration for a device.

    Its credentials exist only in this one answer, so say where they go: -o FILE, --show,
    or both.
    """
    if output is None and not show:
        raise click.UsageError("say where the credentials go: -o FILE, or --show")
    if output is None and leads_nowhere():
        raise click.UsageError("standard output leads nowhere, so the credentials need -o FILE")
    operation = GenerateConfig(device_id=device, protocol=protocol)
    _write(settings, operation, credentials=output, show_secret=show)


def _read(work: Any) -> None:
    """Run a command that only reads; Ctrl-C stops it immediately, since nothing can be lost."""

    async def interruptible() -> Exit:
        task = asyncio.ensure_future(work())
        with Interrupts(task.cancel, task.cancel) as interrupts:
            try:
                await task
            except asyncio.CancelledError:
                return interrupts.exit or Exit.INTERRUPTED
            except ConfigurationError:
                raise
            except EnapterError as error:
                tell(f"enapter-async: {reason_of(error)}")
                tell_of_doctor(error)
                return Exit.FAILED
        return Exit.DONE

    click.get_current_context().exit(asyncio.run(interruptible()))


def _write(
    settings: Settings,
    operation: Operation[Any],
    *,
    credentials: str | None = None,
    show_secret: bool = False,
) -> None:
    """Execute one operation as a run of one, with the same checks and handling of Ctrl-C."""

    async def work() -> Exit:
        outcomes: list[Outcome[Any]] = []
        async with settings.client() as client:
            options = RunOptions(credentials=credentials)
            _, cut_short = await run_job(client, [operation], options, on_outcome=outcomes.append)
        (outcome,) = outcomes
        with although_unheard():
            secret = _secret_of(outcome) if show_secret else {}
            with _rescued(outcome, secret if credentials is None else {}):
                _show_outcome(outcome, settings, secret)
        _tell_outcome(outcome, settings)
        ending = exit_of_state(outcome.state)
        return ending if cut_short is None or ending is Exit.DONE else cut_short

    click.get_current_context().exit(asyncio.run(work()))


def _show_outcome(outcome: Outcome[Any], settings: Settings, secret: dict[str, Any]) -> None:
    if settings.as_json:
        click.echo(json_line(outcome_row(outcome, with_result=True) | secret))
    elif secret:
        click.echo(json_line(secret.get("config", secret)))
    elif isinstance(outcome.result, Device):
        _show_device(outcome.result, settings)


def _tell_outcome(outcome: Outcome[Any], settings: Settings) -> None:
    if outcome.state is State.ABSENT:
        tell(f"enapter-async: there is no device {plain(outcome.operation.subject())}")
    elif not outcome.state.done:
        tell(f"enapter-async: {line_of(outcome)}")
        tell_of_doctor(outcome.error)
    elif not settings.as_json and not isinstance(outcome.result, Device):
        tell(f"{line_of(outcome)}")
    if outcome.state is State.UNKNOWN:
        tell(UNKNOWN_ADVICE)
        hint = getattr(outcome.error, "hint", "")
        if hint:
            tell(plain(hint))


@contextlib.contextmanager
def _rescued(outcome: Outcome[Any], secret: dict[str, Any]) -> Iterator[None]:
    """Save a secret to a file if it cannot be written to standard output; no other copy exists."""
    try:
        yield
    except OutputError:
        if secret:
            device = outcome.operation.subject()
            name = f"credentials-{device}-{secrets.token_hex(4)}.jsonl"
            with written_whole(name, new=True) as file:
                file.write(json_line({"device_id": device, **secret}) + "\n")
            tell(f"enapter-async: the credentials are in {name}, in place of standard output")
        raise


def _secret_of(outcome: Outcome[Any]) -> dict[str, Any]:
    """Return the content of a secret response: the configuration, or the unparsed response."""
    if not outcome.operation.answer.secret:
        return {}
    answer = getattr(outcome.error, "answer", None)
    if answer is not None:
        return {"raw": answer.reveal().decode("utf-8", "backslashreplace")}
    return {} if outcome.result is None else {"config": unstructure(outcome.result)}


async def _first(devices: AsyncIterator[Device], limit: int | None) -> AsyncIterator[Device]:
    count = 0
    async for device in devices:
        yield device
        count += 1
        if count == limit:
            return


def _names(expand: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (expand or "").split(",") if name.strip())


def _cells(device: Device) -> list[str]:
    return [plain(getattr(device, field) or "") for field in _LISTED]


def _show_table(devices: list[Device]) -> None:
    table = Table()
    for field in _LISTED:
        table.add_column(field, overflow="fold")
    for device in devices:
        table.add_row(*(Text(cell) for cell in _cells(device)))
    output_console().print(table)


def _show_device(device: Device, settings: Settings) -> None:
    row = unstructure(device)
    if settings.as_json:
        click.echo(json_line(row))
        return
    width = max(len(field) for field in row)
    for field, value in row.items():
        text = value if isinstance(value, str) else json_line(value)
        click.echo(f"{field:{width}}  {plain(text)}")
