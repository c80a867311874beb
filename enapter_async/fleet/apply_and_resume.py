"""A whole run in one call."""

import os
from collections.abc import Callable
from typing import Any, Unpack

from enapter_async.fleet.inputs import Input, Operations
from enapter_async.fleet.journal.options import JournalOptions
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
    """Carry many operations out and report: counts, and the first failures.

    All arguments but one are those of `Run`: `on_outcome` is called on the event loop with each
    outcome as it comes, for progress. Nothing is retried here that the client does not
    retry, and it never reads before it writes unless `check=True` or a plan asks for it.
    Giving the same operations again is safe where they set an absolute state (updates,
    blueprints, deletions); configurations are generated anew each time, unless a `journal`
    knows of them.

    Raises:
        ConfigurationError: before anything is sent, where the input is none or, without
            `credentials`, an operation generates credentials. An input that is pulled lazily is
            refused at the first such operation; what was in flight then has ended.
        RunRefusedError: the journal's run cannot be continued by this call, or another run has
            carried the plan out (`PlanCarriedOutError`).
        Exception: what the input or `on_outcome` raised; a note on it tells the counts.
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
    """Do what a journalled run has left, from its journal alone.

    The report counts the whole run; outcomes are told of this session only. Safe to repeat:
    what is finished is not sent again.

    Raises:
        RunRefusedError: the run cannot be continued by this call; nothing was sent.
        Exception: what `on_outcome` raised; a note on it tells the counts.
    """
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
