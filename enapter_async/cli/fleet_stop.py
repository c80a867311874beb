"""`enapter-async fleet stop`: stops a run that another process is executing."""

import time

import click

from enapter_async.cli import completion
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.fleet_jobs import job_at, stop_job
from enapter_async.cli.options import Settings, seconds_option, shared_command, tell
from enapter_async.cli.places import find_place
from enapter_async.cli.rows import json_line
from enapter_async.fleet.journal.names import Store, store_of
from enapter_async.fleet.journal.stop_request import POLL_SECONDS


@shared_command("stop")
@click.argument("run", shell_complete=completion.runs)
@seconds_option("--wait", "Wait at most this long for operations in flight to finish.", 60.0)
def stop(settings: Settings, *, run: str, wait: float) -> None:
    """Stop RUN: operations in flight finish, and the rest is held for `fleet resume`.

    RUN is a run's id or a prefix of it, a path, `last`, or the address of a run in PostgreSQL; it
    may be a job of a web backend on this machine, or the place of a job for several workers. If
    the run is not active, this only keeps a backend from continuing it automatically. The exit
    code is 4 if the run does not stop in time.
    """
    if (job := job_at(run)) is not None:
        click.get_current_context().exit(stop_job(settings, job, wait=wait))
    place = find_place(run)
    store = store_of(place.journal)
    at_work = store.is_held()
    store.request_stop("`fleet stop` requested it")
    ended = not at_work or _has_ended(store, wait)
    if settings.as_json:
        click.echo(json_line({"run": place.id, "was_running": at_work, "running": not ended}))
    if not at_work:
        tell(f"run {place.id} is not running, and continues only if it is resumed")
    elif ended:
        tell(f"run {place.id} has stopped; to continue: enapter-async fleet resume {place.id}")
    else:
        tell(
            f"run {place.id} was asked to stop and is still running after {wait:g} s: it stops "
            f"once its operations in flight have finished; see enapter-async fleet status "
            f"{place.id}"
        )
    click.get_current_context().exit(Exit.DONE if ended else Exit.STOPPED)


def _has_ended(store: Store, wait: float) -> bool:
    until = time.monotonic() + wait
    while store.is_held():
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, POLL_SECONDS / 2))
    return True
