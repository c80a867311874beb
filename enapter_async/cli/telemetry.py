"""`enapter-async telemetry`: latest values, time series, and the stream of a device."""

import csv
import re
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import click

from enapter_async.cli import connecting, following, objects
from enapter_async.cli.noun_options import stop_after, through_site
from enapter_async.cli.options import Settings, SharedGroup, time_option
from enapter_async.cli.rows import json_line, text_of
from enapter_async.converter import unstructure
from enapter_async.models.telemetry import (
    Aggregation,
    TelemetryPoint,
    TelemetrySelector,
    Value,
)
from enapter_async.text import plain, rfc3339

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGGREGATIONS = [str(each).lower() for each in Aggregation.known()]


def _duration(value: Any) -> timedelta:
    """Return a duration of whole seconds, minutes, hours or days."""
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"([1-9]\d{0,8})([smhd])", str(value))
    if found is None:
        raise click.BadParameter(f"{value!a} is not a duration such as 30s, 5m, 1h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


_selectors = click.argument("selectors", nargs=-1, required=True, metavar="DEVICE=ATTRIBUTE,…")
_relevance = click.option(
    "--relevance",
    type=_duration,
    metavar="DURATION",
    help="How old a value may be, such as 5m. [default: the API's, 30s]",
)


@click.group("telemetry", cls=SharedGroup)
def command() -> None:
    """Read latest values and time series, or follow a device.

    DEVICE=ATTRIBUTE,… names a device and its attributes, such as dev-1=power,status.
    """


@command.command("latest")
@_selectors
@_relevance
def latest(settings: Settings, selectors: tuple[str, ...], relevance: timedelta | None) -> None:
    """Write the latest values of attributes, for any number of devices."""
    asked = _pairs(selectors)

    async def work() -> None:
        async with connecting.client_of(settings) as client:
            found = await client.telemetry.latest(asked, relevance_interval=relevance)
        _write_points(settings, found)

    objects.run_reading(work)


@command.command("get")
@click.argument("device")
@click.argument("attributes", nargs=-1)
@through_site
@_relevance
def get(
    settings: Settings,
    *,
    device: str,
    attributes: tuple[str, ...],
    site_id: str | None,
    relevance: timedelta | None,
) -> None:
    """Write the latest values of the ATTRIBUTES of DEVICE; without any, all that the API has."""

    async def work() -> None:
        async with connecting.client_of(settings) as client:
            points = await client.telemetry.get(
                device, attributes=attributes, site_id=site_id, relevance_interval=relevance
            )
        _write_points(settings, {device: points})

    objects.run_reading(work)


@command.command("follow")
@click.argument("device")
@through_site
@stop_after
def follow(settings: Settings, device: str, site_id: str | None, limit: int | None) -> None:
    """Write the telemetry of DEVICE as it arrives, one JSON object a line, until Ctrl-C.

    A lost connection is reopened. What was missed is reported on standard error, or with --json as
    an object with `gap`.
    """
    following.follow_objects(
        settings,
        lambda client: client.telemetry.stream(device, site_id=site_id),
        lambda frame: plain(json_line(frame)),
        limit=limit,
    )


@command.command("timeseries")
@_selectors
@time_option("--from", "from_", required=True, help="The start.")
@time_option("--to", required=True, help="The end.")
@click.option(
    "--granularity",
    type=_duration,
    default="1m",
    show_default=True,
    metavar="DURATION",
    help="The time from one row to the next.",
)
@click.option(
    "--aggregation",
    type=click.Choice(_AGGREGATIONS, case_sensitive=False),
    help="How the values within this time are combined. [default: the API's choice]",
)
@time_option("--after", help="Continue a time series that was interrupted after this row.")
def timeseries(
    settings: Settings,
    *,
    selectors: tuple[str, ...],
    from_: datetime,
    to: datetime,
    granularity: timedelta,
    aggregation: str | None,
    after: datetime | None,
) -> None:
    """Write a time series as CSV, or with --json one row a line."""
    asked = [
        TelemetrySelector(device, names, None if aggregation is None else Aggregation(aggregation))
        for device, names in _pairs(selectors).items()
    ]

    async def work() -> None:
        async with (
            connecting.client_of(settings) as client,
            client.telemetry.timeseries(
                asked, from_=from_, to=to, granularity=granularity, after=after
            ) as table,
        ):
            names = [f"{column.device}.{column.attribute}" for column in table.columns]
            writer = csv.writer(sys.stdout, lineterminator="\n")
            if not settings.as_json:
                writer.writerow(["timestamp", *names])
            async for timestamp, values in table:
                time = rfc3339(timestamp)
                if settings.as_json:
                    shown = dict(zip(names, values, strict=True))
                    click.echo(json_line({"timestamp": time, "values": shown}))
                else:
                    writer.writerow([time, *map(_cell, values)])

    objects.run_reading(work)


def _write_points(settings: Settings, found: Mapping[str, Mapping[str, TelemetryPoint]]) -> None:
    for device, points in found.items():
        for attribute, point in points.items():
            if settings.as_json:
                row = {"device": device, "attribute": attribute, **unstructure(point)}
                click.echo(json_line(row))
            else:
                click.echo("\t".join([plain(device), plain(attribute), *_cells(point)]))


def _pairs(selectors: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the attributes by device; a device that is named twice has those of both."""
    asked: dict[str, tuple[str, ...]] = {}
    for selector in selectors:
        device, equals, names = selector.partition("=")
        attributes = tuple(name.strip() for name in names.split(",") if name.strip())
        if not device or not equals or not attributes:
            raise click.UsageError(
                f"{selector!a} does not name a device and attributes; write DEVICE=ATTRIBUTE,…"
            )
        asked[device] = (*asked.get(device, ()), *attributes)
    return asked


def _cells(point: TelemetryPoint) -> list[str]:
    if point.timestamp is None:
        return ["", "", plain(point.warning or "no value")]
    return [plain(_cell(point.value)), rfc3339(point.timestamp), ""]


def _cell(value: Value | list[str]) -> str:
    return "" if value is None else text_of(value)
