"""Follows streams on the command line: each item is a line, and each gap is reported."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import Any

import click

from enapter_async.cli.connecting import client_of
from enapter_async.cli.objects import run_reading
from enapter_async.cli.options import Settings, tell
from enapter_async.cli.rows import json_line
from enapter_async.cli.tables import first
from enapter_async.client import Client
from enapter_async.converter import unstructure
from enapter_async.models.logs import DeviceEvent, Gap, LogRecord
from enapter_async.text import plain, rfc3339


def follow_objects(
    settings: Settings,
    streaming: Callable[[Client], AsyncGenerator[Any, None]],
    line: Callable[[Any], str],
    *,
    limit: int | None = None,
) -> None:
    """Write each item of a stream as it arrives, as JSON or as a line, until Ctrl-C.

    A gap is a line on standard error, or an object under `gap` if JSON is written.
    """

    async def work() -> None:
        async with client_of(settings) as client, contextlib.aclosing(streaming(client)) as stream:
            async for each in first(stream, limit):
                row = unstructure(each)
                if settings.as_json:
                    click.echo(json_line({"gap": row} if isinstance(each, Gap) else row))
                elif isinstance(each, Gap):
                    tell(f"enapter-async: there may be a gap here: {gap_text(each)}")
                else:
                    click.echo(line(each))

    run_reading(work)


def line_of_log(log: LogRecord) -> str:
    """Return a log as one line."""
    time = shown_time(log.received_at or log.timestamp)
    return f"{time}\t{plain(log.severity or '')}\t{plain(log.message)}"


def shown_time(moment: datetime | None) -> str:
    """Return a time to the second, or "" if it is unknown."""
    return "" if moment is None else rfc3339(moment, "seconds")


def gap_text(gap: Gap) -> str:
    """Return why a stream has a gap, and when it began and ended."""
    dropped = "" if gap.dropped is None else f" ({gap.dropped} items)"
    when = f"{shown_time(gap.since) or 'the beginning'} to {shown_time(gap.until) or 'now'}"
    listed = "; what was kept can be listed" if gap.fillable else ""
    return f"{plain(gap.reason)}{dropped}, {when}{listed}"


def line_of_event(event: DeviceEvent) -> str:
    """Return what a device sent as one line."""
    time = shown_time(event.received_at or event.timestamp)
    shown: Any = event.telemetry
    for kind in ("properties", "log"):
        shown = unstructure(getattr(event, kind)) if shown is None else shown
    content = plain(json_line(shown)) if shown is not None else ""
    return f"{time}\t{plain(event.device_id)}\t{content}"
