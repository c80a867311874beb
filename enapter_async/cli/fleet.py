"""`enapter-async fleet`: changes many devices."""

from collections.abc import Mapping
from typing import Final

import click

from enapter_async.cli.groups import Directory

_ENTRIES: Final[Mapping[str, tuple[str, str]]] = {
    "apply": (
        "fleet_apply",
        "Apply FILE: a plan, or operations as CSV or JSON Lines; '-' reads standard input.",
    ),
    "credentials": (
        "fleet_credentials",
        "Write the newest configuration of each device of a run to a file of its own.",
    ),
    "drift": (
        "fleet_drift",
        (
            "Show how the fleet differs from the desired state in the file DESIRED; nothing is "
            "changed."
        ),
    ),
    "export": (
        "fleet_drift",
        "Write the current state of selected devices to a file, for `fleet drift`.",
    ),
    "journal": (
        "fleet_journal",
        "Prepare and check a database that holds journals.",
    ),
    "plan": (
        "fleet_plan",
        "Show what FILE, or a change to selected devices, would do; nothing is changed.",
    ),
    "rehearse": (
        "rehearse",
        "Apply PLAN to an emulator on this machine, with faults; no real device is touched.",
    ),
    "report": (
        "fleet_status",
        "Write an HTML report of RUN that opens in any browser; nothing is sent.",
    ),
    "resume": (
        "fleet_status",
        "Continue RUN; finished operations are not sent again.",
    ),
    "runs": (
        "fleet_status",
        "List the runs, oldest first.",
    ),
    "status": (
        "fleet_status",
        "Show the status of RUN, even while it is running; nothing is sent.",
    ),
    "stop": (
        "fleet_stop",
        "Stop RUN: operations in flight finish, and the rest is held for `fleet resume`.",
    ),
    "template": (
        "fleet_plan",
        "Write the current fleet as a CSV file to edit, plan and apply.",
    ),
    "undo": (
        "fleet_undo",
        "Undo the changes of RUN, as far as possible.",
    ),
    "watch": (
        "fleet_watch",
        "Watch RUN until it ends; the exit code is that of `fleet status`.",
    ),
    "worker": (
        "fleet_worker",
        "Carry out jobs in PLACE, alongside any number of other workers.",
    ),
}
"""The commands, each with its module and the first sentence of its help."""


@click.group(
    "fleet",
    cls=Directory,
    entries={
        name: (module, click.Command(name, help=text)) for name, (module, text) in _ENTRIES.items()
    },
)
def command() -> None:
    """Change many devices in one run."""
