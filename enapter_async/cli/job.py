"""Runs operations as `fleet apply`, the demo and the single commands do: with Ctrl-C, aloud."""

from collections.abc import Callable, Collection
from typing import Any

from enapter_async.cli.exits import Exit
from enapter_async.cli.interrupts import Interrupts
from enapter_async.cli.options import tell
from enapter_async.cli.staging import ALL_AT_ONCE, Staging
from enapter_async.client import Client
from enapter_async.fleet.engine import Run
from enapter_async.fleet.events import OnEvent
from enapter_async.fleet.journal.continuing import JournalOptions
from enapter_async.fleet.planning.guard import GuardMode, StateGuard
from enapter_async.fleet.report import Outcome, Report


async def run_job(
    client: Client,
    operations: Collection[Any] | None,
    *,
    on_outcome: Callable[[Outcome[Any]], None],
    concurrency: int = 64,
    credentials: str | None = None,
    check: bool = False,
    journal: JournalOptions | None = None,
    guard: GuardMode = GuardMode.AUTO,
    staging: Staging = ALL_AT_ONCE,
    on_event: OnEvent | None = None,
) -> tuple[Report, Exit | None]:
    """Carry operations out; give the report, and an exit code where it was cut short.

    The first signal lets what is under way end, the second cuts it off. Where `on_outcome`
    cannot write (`OSError`), nothing more is started.
    """
    run: Run[Any] = Run(
        client,
        operations,
        concurrency=concurrency,
        credentials=credentials,
        check=check,
        journal=journal,
        rollout=staging.rollout,
        abort=staging.abort,
        max_pause=staging.max_pause,
        on_event=on_event,
        # What the default looks at depends on the waves, which the run itself knows.
        guard=None if guard is GuardMode.AUTO else StateGuard(client, guard),
    )
    unwritten = False

    def drain() -> None:
        tell("stopping: what is under way may end; once more to cut it off")
        run.stop("it was interrupted")

    def cut() -> None:
        tell("cut off: what is under way is unknown; once more to leave at once")
        run.cut()

    with Interrupts(drain, cut) as interrupts:
        async with run:
            async for outcome in run:
                try:
                    on_outcome(outcome)
                except OSError as error:
                    if not unwritten:
                        tell(f"enapter-async: an outcome could not be written: {error.strerror}")
                    unwritten = True
                    run.stop("an earlier outcome could not be written")
    return run.report, interrupts.exit or (Exit.STOPPED if unwritten else None)
