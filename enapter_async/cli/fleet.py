"""`enapter-async fleet`: changes many devices."""

import click

from enapter_async.cli.fleet_apply import apply_file
from enapter_async.cli.fleet_credentials import credentials
from enapter_async.cli.fleet_drift import export_fleet, show_drift
from enapter_async.cli.fleet_journal import command as journal
from enapter_async.cli.fleet_plan import make_plan, template
from enapter_async.cli.fleet_status import report_run, resume, runs, status
from enapter_async.cli.fleet_stop import stop
from enapter_async.cli.fleet_undo import undo_run
from enapter_async.cli.fleet_watch import watch
from enapter_async.cli.fleet_worker import work
from enapter_async.cli.groups import Nouns
from enapter_async.cli.rehearse import rehearse_plan


@click.group("fleet", cls=Nouns)
def command() -> None:
    """Change many devices in one run."""


for each in (
    apply_file,
    template,
    make_plan,
    show_drift,
    export_fleet,
    rehearse_plan,
    resume,
    stop,
    status,
    watch,
    runs,
    report_run,
    credentials,
    undo_run,
    journal,
    work,
):
    command.add_command(each)
