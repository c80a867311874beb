"""`enapter-async fleet stop`: stops a run that another process is executing."""

import time

import click

from enapter_async.cli import completion
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.options import Settings, connection_options, tell
from enapter_async.cli.rows import json_line
from enapter_async.fleet.journal.run_folders import RunFolder, find_run, runs_directory
from enapter_async.fleet.journal.sqlite.lock import is_held
from enapter_async.fleet.journal.stop_request import POLL_SECONDS, request_stop


@click.command("stop")
@connection_options
@click.argument("run", shell_complete=completion.runs)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait at most this long for operations in flight to finish.",
)
def stop(settings: Settings, *, run: str, wait: float) -> None:
    """Stop RUN: operations in flight finish, and the rest is held for `fleet resume`.

    RUN is a run's id or a prefix of it, a path, or `last`; it may be a job of a web backend on this
    machine. If the run is not active, this only keeps a backend from continuing it automatically.
    The exit code is 4 if the run does not stop in time.
    """
    folder = find_run(run, runs_directory())
    at_work = is_held(folder.journal)
    request_stop(folder)
    ended = not at_work or _has_ended(folder, wait)
    if settings.as_json:
        click.echo(json_line({"run": folder.id, "was_running": at_work, "running": not ended}))
    if not at_work:
        tell(f"run {folder.id} is not running, and does not continue unless it is resumed")
    elif ended:
        tell(f"run {folder.id} has stopped; to continue: enapter-async fleet resume {folder.id}")
    else:
        tell(
            f"run {folder.id} was asked to stop and is still running after {wait:g} s: it stops "
            f"once its operations in flight have finished; see enapter-async fleet status "
            f"{folder.id}"
        )
    click.get_current_context().exit(Exit.DONE if ended else Exit.STOPPED)


def _has_ended(folder: RunFolder, wait: float) -> bool:
    until = time.monotonic() + wait
    while is_held(folder.journal):
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, POLL_SECONDS / 2))
    return True
