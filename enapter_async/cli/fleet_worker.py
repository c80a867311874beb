"""`enapter-async fleet worker`: works on jobs alongside other workers."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import click

from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.fleet_jobs import worker_of
from enapter_async.cli.interrupts import Interrupts
from enapter_async.cli.options import Settings, is_quiet, shared_command, warn
from enapter_async.cli.progress import with_time
from enapter_async.fleet.distributed.partition_run import LOGGER
from enapter_async.fleet.distributed.places import Folder, place_of
from enapter_async.fleet.distributed.worker import Worker
from enapter_async.fleet.errors import RunNotFoundError
from enapter_async.text import plain


@shared_command("worker")
@click.option(
    "--journal", required=True, metavar="PLACE", help="Where the jobs are; see `fleet apply`."
)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="QUEUE",
    help="Take only partitions of this queue, such as site:ID or default; may be given several "
    "times. [default: all]",
)
@click.option(
    "--slots",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How many partitions to carry out at once.",
)
@click.option(
    "--credentials",
    metavar="FOLDER",
    help="Keep generated configurations in this folder, in a file of mode 0600 for each partition.",
)
@click.option("--name", metavar="NAME", help="The worker's name, as reports and messages show it.")
@click.option(
    "--until-done", is_flag=True, help="Exit once every job there has ended or was stopped."
)
def work(
    settings: Settings,
    *,
    journal: str,
    queues: tuple[str, ...],
    slots: int,
    credentials: str | None,
    name: str | None,
    until_done: bool,
) -> None:
    """Carry out jobs in PLACE, alongside any number of other workers.

    PLACE is a folder that `fleet apply --journal` made, or postgresql://USER@HOST/DATABASE, with
    #NAME for one job only. The first Ctrl-C or SIGTERM lets operations in flight finish, and
    returns the partitions. The token is this worker's own, and never enters the database. With
    --max-rate, this worker stays below that rate as well as below that of each job.
    """
    place = place_of(journal)
    if isinstance(place, Folder) and not place.exists():
        raise RunNotFoundError(
            f"there is no job in {plain(place.name)}; `fleet apply --journal` creates one"
        )
    ending = asyncio.run(
        _work_until(
            worker_of(
                settings,
                journal,
                queues=queues or None,
                slots=slots,
                credentials=credentials,
                max_rate=settings.max_rate,
                name=name,
            ),
            until_done=until_done,
        )
    )
    click.get_current_context().exit(ending)


class _Lines(logging.Handler):
    """Prints what a worker does, each line with its time; with --quiet, only warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING or not is_quiet():
            warn(with_time(plain(record.getMessage())))


@contextlib.contextmanager
def _telling() -> Iterator[logging.Logger]:
    logger, lines = logging.getLogger(LOGGER), _Lines()
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(lines)
    try:
        yield logger
    finally:
        logger.removeHandler(lines)
        logger.level, logger.propagate = before


async def _work_until(worker: Worker, *, until_done: bool) -> Exit:
    leaving = asyncio.Event()

    def drain() -> None:
        logger.info("worker %s exits: operations in flight finish", worker.name)
        leaving.set()

    def cut() -> None:
        logger.warning(
            "exiting at once: operations in flight stay unknown until another worker takes over"
        )
        os._exit(Exit.INTERRUPTED)

    refused: Mapping[str, str] = {}
    with _telling() as logger, Interrupts(drain, cut):
        async with worker:
            logger.info("worker %s is running", worker.name)
            ends: list[asyncio.Task[Any]] = [asyncio.create_task(leaving.wait())]
            if until_done:
                ends.append(asyncio.create_task(worker.finish()))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            ends[0].cancel()
            if until_done and ends[1].done():
                refused = await ends[1]
    for job, why in refused.items():
        warn(f"job {job} was left alone: {why}")
    return Exit.REFUSED if refused else Exit.DONE
