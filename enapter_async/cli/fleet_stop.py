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
    help="Wait at most this long for operations in flight to end.",
)
def stop(settings: Settings, *, run: str, wait: float) -> None:
    """Stop RUN: operations in flight end, the rest is held, and `fleet resume` goes on.

    RUN is an id, a prefix of one, a path, or `last`; it may be a job of a web backend on this
    machine. A run that nobody is at work on is only kept from going on by itself, as a backend
    would let it. The exit code is 4 where the run has not stopped after the wait.
    """
    folder = find_run(run, runs_directory())
    at_work = is_held(folder.journal)
    request_stop(folder)
    ended = not at_work or _has_ended(folder, wait)
    if settings.as_json:
        click.echo(json_line({"run": folder.id, "was_running": at_work, "running": not ended}))
    if not at_work:
        tell(f"run {folder.id} is not running; it does not go on unless it is resumed")
    elif ended:
        tell(f"run {folder.id} has stopped; to go on: enapter-async fleet resume {folder.id}")
    else:
        tell(
            f"run {folder.id} was asked to stop and is still running after {wait:g} s: it stops "
            f"when its operations in flight have ended; see enapter-async fleet status {folder.id}"
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
