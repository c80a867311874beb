"""Lists and reads single objects of any noun on the command line."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

import click

from enapter_async.cli.connecting import client_of
from enapter_async.cli.exit_codes import Exit, exit_of_error
from enapter_async.cli.interrupts import Interrupts
from enapter_async.cli.noun_options import Listing
from enapter_async.cli.options import Settings, tell_of_doctor, warn
from enapter_async.cli.rows import json_line, text_of
from enapter_async.cli.streams import fancy
from enapter_async.cli.tables import write_list
from enapter_async.client import Client
from enapter_async.converter import unstructure
from enapter_async.errors import ConfigurationError, EnapterError, NotFoundError, reason_of
from enapter_async.text import plain, plain_lines, rfc3339


def list_objects(
    settings: Settings,
    objects: Callable[[Client], AsyncGenerator[Any, None]],
    listing: Listing,
) -> None:
    """Write a list in the format of `listing`."""

    async def work() -> None:
        async with client_of(settings) as client, contextlib.aclosing(objects(client)) as listed:
            await write_list(listing, listed, as_json=bool(settings.as_json))

    run_reading(work)


def show_object(
    settings: Settings,
    reading: Callable[[Client], Awaitable[Any]],
    *,
    every: float | None = None,
    if_absent: str = "",
) -> None:
    """Read one object, and write it; with `every`, again each time it has changed, until Ctrl-C.

    `every` is the number of seconds between two reads; `if_absent` is what to do about a 404.
    """

    async def work() -> None:
        async with client_of(settings) as client:
            try:
                shown = await reading(client)
            except NotFoundError:
                if if_absent:
                    warn(if_absent)
                raise
            show_fields(shown, settings)
            while every is not None:
                await asyncio.sleep(every)
                now = await reading(client)
                if now != shown:
                    _show_changes(unstructure(shown), unstructure(now), settings)
                    shown = now

    run_reading(work)


def run_reading(work: Callable[[], Coroutine[Any, Any, Exit | None]]) -> None:
    """Run a command that changes no object; Ctrl-C stops it immediately.

    `work` returns the exit code, or None for success.
    """

    async def interruptible() -> Exit:
        task = asyncio.ensure_future(work())

        def stop() -> None:
            task.cancel()

        with Interrupts(stop, stop) as interrupts:
            try:
                return await task or Exit.DONE
            except asyncio.CancelledError:
                return interrupts.exit or Exit.INTERRUPTED
            except ConfigurationError:
                raise
            except EnapterError as error:
                warn(f"enapter-async: {reason_of(error)}")
                tell_of_doctor(error)
                return exit_of_error(error)

    click.get_current_context().exit(asyncio.run(interruptible()))


def _show_changes(before: dict[str, Any], now: dict[str, Any], settings: Settings) -> None:
    """Write the fields that changed, with the time; as JSON, the whole object."""
    if settings.as_json:
        click.echo(json_line(now))
        return
    at = rfc3339(time.time(), "seconds")
    for field in {**before, **now}:
        old, new = before.get(field), now.get(field)
        if old != new:
            click.echo(f"{at}  {field}  {plain(text_of(old))} -> {plain(text_of(new))}")


def show_fields(shown: Any, settings: Settings) -> None:
    """Write an object: its fields, each on a line, or JSON."""
    row = unstructure(shown)
    if settings.as_json:
        click.echo(json_line(row))
        return
    if isinstance(row, str):
        click.echo(plain_lines(row) if fancy(sys.stdout) else row, nl=not row.endswith("\n"))
        return
    width = max(map(len, row), default=0)
    for field, value in row.items():
        click.echo(f"{field:{width}}  {plain(text_of(value))}")
