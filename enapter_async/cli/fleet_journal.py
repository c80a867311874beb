"""`enapter-async fleet journal`: prepares and checks a database for journals."""

import click

from enapter_async.cli.doctor import show_finding
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.options import Settings, SharedGroup, tell
from enapter_async.cli.rows import json_line
from enapter_async.diagnosis.findings import Health, summary, worst
from enapter_async.diagnosis.journals import examine_journals
from enapter_async.fleet.journal.names import prepare_journals
from enapter_async.fleet.journal.postgres.address import without_password


@click.group("journal", cls=SharedGroup)
def command() -> None:
    """Prepare and check a database that holds journals."""


@command.command("prepare")
@click.argument("address")
def prepare(settings: Settings, *, address: str) -> None:
    """Create the tables for journals in a PostgreSQL database, or update older ones.

    Safe to repeat. Tables of an older release are updated once no run is in progress; they keep
    their jobs, and workers of the older release are then refused.

    ADDRESS is postgresql://user@host/database. Its user must be allowed to create a schema in the
    database. Users who only run jobs need fewer rights, which `fleet journal check` lists. Keep the
    password in ~/.pgpass, PGPASSWORD or PGSERVICE: all users of a machine can see arguments.
    """
    made = prepare_journals(address)
    shown = without_password(address).partition("#")[0]
    if settings.as_json:
        click.echo(json_line({"address": shown, "created": made}))
    tell(f"{shown} {'now has' if made else 'already has'} the tables for journals")


@command.command("check")
@click.argument("address")
def check(settings: Settings, *, address: str) -> None:
    """Check whether a PostgreSQL database can hold journals; change nothing.

    ADDRESS is postgresql://user@host/database. The command checks its version, tables, rights,
    pooling and clock, and what a power loss or a failover to a replica may lose.

    \b
    Exit codes:
      0  nothing failed; there may be warnings
      1  a check failed
    """  # noqa: D301 - \b is click's own mark: leave the lines of this paragraph as they are
    found = []
    for finding in examine_journals(address):
        found.append(finding)
        show_finding(finding, settings)
    if not settings.as_json:
        tell(summary(found))
    failed = worst(found) is Health.FAILED
    click.get_current_context().exit(Exit.FAILED if failed else Exit.DONE)
