"""Applies operations or a plan in a run folder of its own, once it was confirmed."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

import attrs
import click

from enapter_async.cli.confirm import confirm_lasting
from enapter_async.cli.exits import Exit
from enapter_async.cli.journalled import Job, carry_out
from enapter_async.cli.options import Settings, tell
from enapter_async.cli.staging import ALL_AT_ONCE, Staging
from enapter_async.fleet.journal.continuing import JournalOptions
from enapter_async.fleet.journal.runs import RunFolder, runs_directory
from enapter_async.fleet.planning.guard import GuardMode
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.planning.verdicts import Verdict
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GenerateConfig

guard_option = click.option(
    "--guard",
    type=click.Choice([str(mode) for mode in GuardMode]),
    default=str(GuardMode.AUTO),
    show_default=True,
    help="How to see that devices are still as planned: read each directly before its change, "
    "read the fleet before each wave, or not at all; auto reads each for deletions, "
    "configurations and the first two waves.",
)


@attrs.frozen(kw_only=True)
class How:
    """How to apply: the options that `apply` and `undo` share."""

    concurrency: int
    check: bool = False
    credentials: str | None = None
    results: str | None = None
    guard: GuardMode = GuardMode.AUTO
    staging: Staging = ALL_AT_ONCE
    yes: bool = False
    skip_refused: bool = False
    power: bool = False


def apply_all(settings: Settings, operations: Collection[Any], how: How, *, source: str) -> Exit:
    """Confirm, make the run's folder, carry out; give the exit code.

    Raises:
        click.UsageError: it must be confirmed and cannot be, or the plan has refused items.
        click.Abort: it was not confirmed.
    """
    if isinstance(operations, Plan):
        _check_plan(operations, how)
        deletions, configurations = operations.deletions, operations.configurations
    else:
        kinds = _kinds(operations)
        deletions, configurations = kinds[DeleteDevice], kinds[GenerateConfig]
    confirm_lasting(deletions, configurations, yes=how.yes)
    folder = RunFolder.create(runs_directory(), now=time.time())
    copy = folder.path / "plan.jsonl"
    try:
        if isinstance(operations, Plan):
            operations.write(copy)
        tell(_told(operations))
        tell(f"run {folder.id}")
        default = str(folder.credentials) if configurations else None
        job = Job(
            folder=folder,
            journal=JournalOptions(path=folder.journal, power=how.power, facts={"source": source}),
            operations=operations,
            total=len(operations),
            concurrency=how.concurrency,
            check=how.check,
            credentials=how.credentials or default,
            results=how.results,
            guard=how.guard,
            staging=how.staging,
        )
        return asyncio.run(carry_out(settings, job))
    finally:
        if not folder.journal.exists():
            copy.unlink(missing_ok=True)
        folder.discard_if_unused()


def _check_plan(plan: Plan, how: How) -> None:
    refused = plan.counts[Verdict.REFUSED]
    if refused and not how.skip_refused:
        raise click.UsageError(
            f"the plan has {refused} operations that cannot be done; look at them, and mend "
            "the input, or leave them out with --skip-refused"
        )


def _kinds(operations: Collection[Operation[Any]]) -> Counter[type]:
    return Counter(type(each) for each in operations)


def _told(operations: Collection[Any]) -> str:
    if isinstance(operations, Plan):
        counts = {str(verdict): number for verdict, number in operations.counts.items()}
    else:
        kinds = _kinds(operations).most_common()
        counts = {kind.__name__: number for kind, number in kinds}
    named = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return f"{len(operations)} operations{': ' if named else ''}{named}"
