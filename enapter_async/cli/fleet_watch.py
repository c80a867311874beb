"""`enapter-async fleet watch`: shows a run while it is in progress, and some of its devices."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from typing import Final

import attrs
import click

from enapter_async.cli import completion
from enapter_async.cli.connecting import client_of
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.fleet_jobs import job_at
from enapter_async.cli.objects import run_reading
from enapter_async.cli.options import Settings, seconds_option, shared_command, warn
from enapter_async.cli.places import find_place
from enapter_async.cli.streams import fancy
from enapter_async.cli.watch_view import showing
from enapter_async.cli.watched_devices import AT_ONCE, DevicesLook, WatchedDevices
from enapter_async.cli.watched_run import RATE_S, Look, Watched, WatchedJob, WatchedRun
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.progress import RecentRate

DRAWN_EVERY_S: Final = 1.0
TOLD_EVERY_S: Final = 5.0
"""How often the view is refreshed on a terminal, and elsewhere."""
_DEADLINE_S: Final = 10.0
_SHARE: Final = 4
"""Each look is followed by a pause of this many times its duration, so that the run comes first."""


@shared_command("watch")
@click.argument("run", default="last", shell_complete=completion.runs)
@seconds_option(
    "--every",
    "How often to refresh the view. [default: 1 on a terminal, otherwise 5]",
    zero=False,
)
@seconds_option("--devices-every", "How often to read some of its devices.", 10.0, zero=False)
@click.option(
    "--devices",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    metavar="NUMBER",
    help="How many devices of the run to read, besides those that were not done.",
)
@click.option("--no-devices", is_flag=True, help="Read no devices; nothing is sent.")
def watch(
    settings: Settings,
    *,
    run: str,
    every: float | None,
    devices_every: float,
    devices: int,
    no_devices: bool,
) -> None:
    """Watch RUN until it ends; the exit code is that of `fleet status`. Ctrl-C only ends the view.

    RUN is a run's id or a prefix of it, a path, `last`, the address of a run in PostgreSQL, or the
    folder or address of a job for several workers.

    Shown are states, pace, waves, and what was not done. Some devices are also read, with their
    connectivity and alerts: up to 5 that were not done lately, with the latest logs of 3 of them,
    and 8 others, spread evenly over the run (--devices). Each is read with one request, which
    competes with the run, so these are few: at most 16 requests every 10 seconds, none of which is
    retried.
    """
    job = job_at(run)
    watched: Watched = WatchedRun(find_place(run)) if job is None else WatchedJob(job)
    if every is None:
        every = DRAWN_EVERY_S if fancy(sys.stdout) and not settings.as_json else TOLD_EVERY_S
    reads = None if no_devices else (devices, devices_every)

    async def work() -> Exit:
        look = await _follow(settings, watched, every, reads)
        if settings.quiet and look.ending is not Exit.DONE:
            counts = ", ".join(f"{look.counts[each]} {each}" for each in State if look.counts[each])
            warn(f"enapter-async: {look.title}: {counts or 'nothing was done'}")
        return look.ending

    run_reading(work)


async def _follow(
    settings: Settings, watched: Watched, every: float, reads: tuple[int, float] | None
) -> Look:
    """Show a run until it has ended; return the last `Look`.

    `reads` is how many devices are sampled, and how often; None reads none.
    """
    rate, took = RecentRate(RATE_S), 0.0
    look = await _rated(watched, rate)
    unread = DevicesLook(problem="--no-devices was given" if reads is None else "")
    devices: WatchedDevices | None = None
    async with contextlib.AsyncExitStack() as stack:
        if reads is not None:
            try:
                reading = _reading(settings, watched, *reads)
                devices = await stack.enter_async_context(reading)
            except ConfigurationError as error:
                unread = DevicesLook(problem=str(error))
        following = None
        if devices is not None:
            following = asyncio.ensure_future(devices.follow(lambda: look))
            stack.callback(following.cancel)
        show = stack.enter_context(showing(as_json=bool(settings.as_json)))
        while look.running:
            show(look, unread if devices is None else devices.last)
            await asyncio.sleep(max(every, _SHARE * took))
            before = time.monotonic()
            look = await _rated(watched, rate)
            took = time.monotonic() - before
            if following is not None and following.done():
                following.result()
        if devices is not None:
            await devices.read_last(look)
        show(look, unread if devices is None else devices.last)
    return look


async def _rated(watched: Watched, rate: RecentRate) -> Look:
    look = await watched.look()
    return attrs.evolve(look, rate=rate.take(time.monotonic(), look.ended))


@contextlib.asynccontextmanager
async def _reading(
    settings: Settings, watched: Watched, number: int, every: float
) -> AsyncIterator[WatchedDevices]:
    """Open a client for the devices of a run, with the run's server unless another is given.

    Raises:
        ConfigurationError: there is no token, or a setting is invalid.
    """
    facts, sample = await watched.read_start(number)
    settings = attrs.evolve(
        settings,
        base_url=settings.base_url or facts.get("base_url"),
        attempts=settings.attempts or 1,
        deadline=settings.deadline or _DEADLINE_S,
    )
    async with client_of(settings, in_flight=AT_ONCE) as client:
        yield WatchedDevices(client, sample, every)
