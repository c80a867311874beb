"""`enapter-async emulator`: runs an emulated API on this machine, to experiment with."""

import asyncio
from typing import Final

import click

from enapter_async.cli import completion
from enapter_async.cli.interrupts import Interrupts
from enapter_async.cli.options import faults_option, tell
from enapter_async.cli.rows import json_line
from enapter_async.cli.streams import OutputError
from enapter_async.emulator.faults import Drop, FaultProfile
from enapter_async.emulator.fleetfile import FleetFileError
from enapter_async.emulator.server import Emulator
from enapter_async.emulator.state import SlugScope, Timestamps
from enapter_async.emulator.world import World
from enapter_async.text import counted, plain

_READING: Final = frozenset({"GET", "HEAD"})


@click.command("emulator")
@click.option(
    "--devices", type=click.IntRange(min=0), default=200, show_default=True, help="How many."
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the fleet and its faults."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port to listen on. [default: any free port]",
)
@click.option(
    "--timestamps",
    type=click.Choice(["unix", "rfc3339"]),
    default="rfc3339",
    show_default=True,
    help="Format of times: `unix` as on the API page, `rfc3339` as live servers send them.",
)
@click.option(
    "--fleet",
    metavar="FILE",
    shell_complete=completion.files,
    help="Load the fleet from this JSON file instead of generating one.",
)
@faults_option(0)
@click.option(
    "--lose-answers",
    type=click.Choice(["writes", "all"]),
    help="Carry out requests, but close the connection without a response: for writes only, or for "
    "all requests.",
)
@click.option(
    "--unique-slugs",
    type=click.Choice(["account", "site"]),
    default="account",
    show_default=True,
    help="Where a slug must be unique; the API page does not specify this.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the URL and the token as one JSON object."
)
def command(
    *,
    devices: int,
    seed: int,
    port: int,
    timestamps: Timestamps,
    fleet: str | None,
    faults: float,
    lose_answers: str | None,
    unique_slugs: SlugScope,
    as_json: bool,
) -> None:
    """Run a server on 127.0.0.1 that behaves like the API, until Ctrl-C.

    It prints `export` lines; a shell that evaluates them makes every command use this server.
    """
    try:
        if fleet is None:
            world = World.seeded(devices, seed, keep_records=False, unique_slugs=unique_slugs)
        else:
            world = World.from_json(fleet, seed=seed, keep_records=False, unique_slugs=unique_slugs)
    except (OSError, FleetFileError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        name = plain(fleet)
        raise click.UsageError(f"{name}: {plain(why).removeprefix(f'{name}: ')}") from None
    emulator = Emulator(
        world=world,
        port=port,
        timestamps=timestamps,
        faults=FaultProfile(rate=faults, seed=seed) if faults else None,
    )
    if lose_answers is not None:
        emulator.faults.add(
            Drop(after_effect=True),
            when=lambda target: lose_answers == "all" or target.method not in _READING,
            times=None,
        )
    try:
        asyncio.run(_serve(emulator, as_json=as_json))
    except OutputError:
        raise
    except OSError as error:
        raise click.UsageError(
            f"port {port} cannot be used: {error.strerror}; choose another, or leave out "
            "--port for any free one"
        ) from None


async def _serve(emulator: Emulator, *, as_json: bool) -> None:
    ending = asyncio.Event()
    with Interrupts(ending.set, ending.set):
        async with emulator:
            if as_json:
                row = {"base_url": emulator.base_url, "token": emulator.token}
                click.echo(json_line(row))
            else:
                click.echo(f"export ENAPTER_HTTP_API_BASE_URL={emulator.base_url}")
                click.echo(f"export ENAPTER_HTTP_API_TOKEN={emulator.token}")
            tell(f"{counted(len(emulator.world), 'device')} at {emulator.base_url}, until Ctrl-C")
            await ending.wait()
