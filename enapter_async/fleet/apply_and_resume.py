"""Apply operations, or resume a run, in one call."""

import os
from collections.abc import Callable
from typing import Any, Unpack

from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.inputs import Input, Operations
from enapter_async.fleet.journal.names import store_of
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.sqlite.store import SQLiteStore
from enapter_async.fleet.options import RunKeywords, RunOptions, SessionKeywords
from enapter_async.fleet.outcomes import OperationT, Outcome, Report, State
from enapter_async.fleet.reading import Caller
from enapter_async.fleet.run import Run


async def apply(
    client: Caller,
    operations: Operations[OperationT],
    options: RunOptions | None = None,
    *,
    on_outcome: Callable[[Outcome[OperationT]], None] | None = None,
    **keywords: Unpack[RunKeywords],
) -> Report:
    """Carry out many operations and return a report: counts, and the first failures.

    The arguments are those of `Run`, plus `on_outcome`, which is called on the event loop with each
    outcome as it arrives, for example to show progress. `apply` adds no retries to those of the
    client. It reads before writing only if `check=True` or a plan requires it. Applying the same
    operations again is safe if they set an absolute state (updates, blueprints, deletions);
    configurations are generated again each time, unless a `journal` records them.

    Raises:
        ConfigurationError: the input is invalid or, without `credentials`, an operation
            generates credentials. It is raised before anything is sent. If the input is read
            lazily, it is raised at the first such operation, once all operations in flight have
            finished.
        RunRefusedError: the journal's run cannot be continued by this call, or another run has
            carried out the plan (`PlanCarriedOutError`).
        Exception: an error of the input or of `on_outcome`; a note on it contains the counts.
    """
    options = RunOptions.of(options, keywords)
    given = Input(operations, secrets=options.credentials is not None)
    run: Run[OperationT] = Run(client, given, options)
    return await _whole(run, on_outcome)


async def resume(
    client: Caller,
    journal: str | os.PathLike[str] | JournalOptions,
    options: RunOptions | None = None,
    *,
    on_outcome: Callable[[Outcome[Any]], None] | None = None,
    **keywords: Unpack[SessionKeywords],
) -> Report:
    """Carry out the remaining operations of a journalled run, using only its journal.

    The report counts the whole run; `on_outcome` receives the outcomes of this session only.
    Safe to repeat, since finished operations are not sent again.

    Raises:
        RunRefusedError: the run cannot be continued by this call; nothing was sent.
        Exception: an error raised by `on_outcome`; a note on it contains the counts.
    """
    store = store_of(journal.path if isinstance(journal, JournalOptions) else journal)
    if isinstance(store, SQLiteStore) and not store.exists():
        # Holding it would create the file.
        raise RunRefusedError(f"there is no journal at {store.name}")
    run: Run[Any] = Run(client, None, options, journal=journal, **keywords)
    return await _whole(run, on_outcome)


async def _whole(
    run: Run[OperationT], on_outcome: Callable[[Outcome[OperationT]], None] | None
) -> Report:
    try:
        async with run:
            await run.tell(on_outcome)
    except Exception as error:
        if run.report.total:
            error.add_note(f"fleet.apply, until then: {_counts(run.report)}")
        raise
    return run.report


def _counts(report: Report) -> str:
    return ", ".join(f"{report.counts[state]} {state}" for state in State if report.counts[state])
