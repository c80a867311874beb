"""`enapter-async doctor`: checks the connection to the API, and advises how to fix it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Final

import click

from enapter_async.cli.connecting import connection_of
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.options import Settings, shared_command, tell
from enapter_async.cli.rows import json_line
from enapter_async.cli.summary import output_console, show_lines
from enapter_async.diagnosis.examination import examine
from enapter_async.diagnosis.findings import Finding, Health, summary, worst
from enapter_async.diagnosis.network import Surroundings
from enapter_async.errors import ConfigurationError
from enapter_async.text import plain

_SECONDS: Final = 10.0
_COLOURS: Final = {
    Health.OK: "green",
    Health.WARNING: "yellow",
    Health.FAILED: "red",
    Health.SKIPPED: "dim",
}


@shared_command("doctor")
def command(settings: Settings) -> None:
    """Check configuration, name, connection, TLS, token, role and clock; change nothing.

    Each check takes at most 10 seconds (change this with --deadline), and a token command at most
    30. The server is asked for a page of one device, a page of fifty, and its time.

    \b
    Exit codes:
      0  nothing failed; there may be warnings
      1  a check failed
      2  the configuration is wrong, and nothing was sent
    """  # noqa: D301 - \b is click's own mark: leave the lines of this paragraph as they are
    found = asyncio.run(_show(settings))
    if not settings.as_json:
        tell(summary(found))
    click.get_current_context().exit(_exit(found))


def _exit(found: list[Finding]) -> Exit:
    if worst(found) is not Health.FAILED:
        return Exit.DONE
    wrong = any(each.check == "configuration" and each.health is Health.FAILED for each in found)
    return Exit.USAGE if wrong else Exit.FAILED


async def _show(settings: Settings) -> list[Finding]:
    found = []
    async for finding in _findings(settings):
        found.append(finding)
        show_finding(finding, settings)
        sys.stdout.flush()
    return found


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    try:
        connection = connection_of(settings)
    except ConfigurationError as error:
        yield Finding(
            check="configuration",
            health=Health.FAILED,
            said=plain(error),
            advice="Fix this first: the remaining checks depend on it.",
        )
        return
    async for finding in examine(connection, Surroundings(seconds=settings.deadline or _SECONDS)):
        yield finding


def show_finding(finding: Finding, settings: Settings) -> None:
    """Print a finding with its facts and its advice, or as JSON."""
    if settings.as_json:
        row = {
            "check": finding.check,
            "health": str(finding.health),
            "said": finding.said,
            "advice": finding.advice or None,
            "facts": dict(finding.facts),
        }
        click.echo(json_line(row))
        return
    console = output_console()
    lines = [f"{finding.health:<8} {finding.check:<14} {finding.said}"]
    lines += [f"{'':24}{name}: {value}" for name, value in finding.facts.items()]
    if finding.advice:
        lines.append(f"{'':24}-> {finding.advice}")
    show_lines(console, lines[:1], _COLOURS[finding.health])
    show_lines(console, lines[1:])
