"""`enapter-async rules`: reads and changes single rules, and the engine that runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enapter_async.cli import following, objects, writing
from enapter_async.cli.groups import together
from enapter_async.cli.noun_options import Listing, listing_options, stop_after
from enapter_async.cli.options import Settings, SharedGroup
from enapter_async.cli.prompts import confirm_deletion
from enapter_async.models.rules import RuleRuntimeVersion, RuleScript
from enapter_async.operations.rule_engine import (
    ResumeRuleEngine,
    SuspendRuleEngine,
)
from enapter_async.operations.rules import (
    CreateRule,
    DeleteRule,
    DisableRule,
    EnableRule,
    RenameRule,
    UpdateRuleScript,
)

if TYPE_CHECKING:
    from enapter_async.client import Client

_at_site = click.option(
    "--site", "site_id", metavar="ID", help="The site; without it, the gateway at --base-url."
)
_script_options = together(
    click.option(
        "--script",
        "path",
        metavar="FILE",
        required=True,
        help="The file with the script's text; - is standard input.",
    ),
    click.option(
        "--runtime",
        type=click.Choice(list(RuleRuntimeVersion.known()), case_sensitive=False),
        default=str(RuleRuntimeVersion.V3),
        show_default=True,
        help="The runtime that it is written for.",
    ),
    click.option(
        "--interval", metavar="DURATION", help="How often a V1 script is executed, such as 1m."
    ),
)


@click.group("rules", cls=SharedGroup)
def command() -> None:
    """List, read, create, change and delete rules, by id or slug."""


@command.command("engine")
@_at_site
def show_engine(settings: Settings, site_id: str | None) -> None:
    """Read the state of the rule engine."""
    if_absent = (
        "" if site_id else "--site may be omitted only on a gateway; `sites list` shows the sites"
    )
    objects.show_object(
        settings, lambda client: client.rules.engine(site_id=site_id), if_absent=if_absent
    )


@command.command("suspend")
@_at_site
def suspend_engine(settings: Settings, site_id: str | None) -> None:
    """Suspend the rule engine: no rule of the site runs until it is resumed."""
    writing.write_object(settings, SuspendRuleEngine(site_id=site_id))


@command.command("resume")
@_at_site
def resume_engine(settings: Settings, site_id: str | None) -> None:
    """Resume the rule engine."""
    writing.write_object(settings, ResumeRuleEngine(site_id=site_id))


@command.command("list")
@_at_site
@listing_options("id", "slug", "state", "disabled", "script.runtime_version")
def list_rules(settings: Settings, site_id: str | None, listing: Listing) -> None:
    """List the rules of a site."""
    objects.list_objects(settings, lambda client: client.rules.list(site_id=site_id), listing)


@command.command("get")
@click.argument("rule")
@_at_site
@click.option("--code", is_flag=True, help="Write only the text of its script.")
def get_rule(settings: Settings, *, rule: str, site_id: str | None, code: bool) -> None:
    """Read one rule with its script."""

    async def read(client: Client) -> Any:
        found = await client.rules.get(rule, site_id=site_id)
        if not code:
            return found
        return "" if found.script is None else found.script.code

    objects.show_object(settings, read)


@command.command("create")
@click.argument("slug")
@_at_site
@_script_options
@click.option("--disabled", is_flag=True, help="Do not start it.")
def create_rule(
    settings: Settings, *, slug: str, site_id: str | None, disabled: bool, **script: Any
) -> None:
    """Create a rule with the slug SLUG."""
    operation = CreateRule(slug=slug, script=_script(**script), disabled=disabled, site_id=site_id)
    writing.write_object(settings, operation)


@command.command("rename")
@click.argument("rule")
@click.argument("slug")
@_at_site
def rename_rule(settings: Settings, *, rule: str, slug: str, site_id: str | None) -> None:
    """Set the slug of a rule."""
    writing.write_object(settings, RenameRule(rule_id=rule, slug=slug, site_id=site_id))


@command.command("update-script")
@click.argument("rule")
@_at_site
@_script_options
def update_script(settings: Settings, *, rule: str, site_id: str | None, **script: Any) -> None:
    """Replace the script of a rule."""
    operation = UpdateRuleScript(rule_id=rule, script=_script(**script), site_id=site_id)
    writing.write_object(settings, operation)


@command.command("enable")
@click.argument("rule")
@_at_site
def enable_rule(settings: Settings, *, rule: str, site_id: str | None) -> None:
    """Enable a rule, so that the engine starts it."""
    writing.write_object(settings, EnableRule(rule_id=rule, site_id=site_id))


@command.command("disable")
@click.argument("rule")
@_at_site
def disable_rule(settings: Settings, *, rule: str, site_id: str | None) -> None:
    """Disable a rule: it stops, and is kept."""
    writing.write_object(settings, DisableRule(rule_id=rule, site_id=site_id))


@command.command("delete")
@click.argument("rule")
@_at_site
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete_rule(settings: Settings, *, rule: str, site_id: str | None, yes: bool) -> None:
    """Delete a rule permanently."""
    operation = DeleteRule(rule_id=rule, site_id=site_id)
    confirm_deletion(rule, yes=yes)
    writing.write_object(settings, operation)


@command.command("logs")
@click.argument("rule")
@_at_site
@stop_after
def follow_rule(settings: Settings, *, rule: str, site_id: str | None, limit: int | None) -> None:
    """Write the logs of RULE as they arrive, until Ctrl-C; gaps go to standard error."""
    following.follow_objects(
        settings,
        lambda client: client.rules.logs(rule, site_id=site_id),
        following.line_of_log,
        limit=limit,
    )


def _script(*, path: str, runtime: str, interval: str | None) -> RuleScript:
    """Return the script that the options describe."""
    try:
        code = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (UnicodeDecodeError, OSError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise click.UsageError(f"--script {path}: {why}") from None
    return RuleScript(
        code=code, runtime_version=RuleRuntimeVersion(runtime), exec_interval=interval
    )
