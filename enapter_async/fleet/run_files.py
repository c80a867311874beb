"""Open the files of a run before it starts: its journal, and its credentials file."""

import asyncio
import os
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs

from enapter_async.clock import Clock
from enapter_async.fleet.credentials import (
    CredentialsFile,
    CredentialStore,
    SinkStore,
)
from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.fleet.journal.names import JournalName, store_of
from enapter_async.fleet.journal.resume import check_credentials
from enapter_async.fleet.journal.session import JournalSession
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import Report, State
from enapter_async.fleet.planning.carried_out import CLAIM, PLAN, PlanClaim
from enapter_async.fleet.planning.drift import WorkSource
from enapter_async.fleet.rollout.waves import ROLLOUT


@attrs.frozen(kw_only=True)
class Opened:
    """The items to carry out, and where their outcomes and credentials are stored.

    `left` yields those that remain, as often as it is called, if they are `known`; `planned` means
    that some may have been planned.
    """

    items: Iterable[WorkItem] | AsyncIterable[WorkItem]
    left: WorkSource
    known: bool
    planned: bool
    session: JournalSession | None = None
    credential_store: CredentialStore | None = None


async def open_files(
    exits: AsyncExitStack,
    client: Any,
    given: Input | None,
    options: RunOptions,
    *,
    clock: Clock,
    on_failure: Callable[[JournalError], None],
    report: Callable[[], Report],
) -> Opened:
    """Open the journal, then the credentials file; `exits` closes them.

    A plan with once-only operations is claimed for this run. If the final `report` shows that the
    run changed nothing, another one may carry out the plan.

    Raises:
        ConfigurationError: a file cannot be used.
        PlanCarriedOutError: another run has carried out the plan.
        RunRefusedError: the journal's run cannot be continued by this call.
    """
    path, credentials, journal = None, options.credentials, options.journal
    if credentials is not None and not callable(credentials):
        path = _absolute(credentials)
    session, claim, plan = None, None, "" if given is None else given.plan
    where = None if journal is None else store_of(journal.path).name
    if plan and not options.again and not (journal and await _begun(journal.path)):
        claim = PlanClaim.take(plan, now=clock.wall(), journal=where)
        exits.callback(_release_if_undone, claim, report)
    if journal is not None:
        if claim is not None:
            journal = attrs.evolve(journal, facts={**journal.facts, **claim.facts})
        if options.rollout is not None:
            facts = {**journal.facts, ROLLOUT: options.rollout.as_text()}
            journal = attrs.evolve(journal, facts=facts)
        session = await JournalSession.open(
            journal, client, given, credentials=path, on_failure=on_failure, clock=clock
        )
        exits.push_async_callback(_close, session, on_failure)
        if claim is None and PLAN in session.facts and not options.again:
            plan, token = session.facts[PLAN], session.facts.get(CLAIM, "")
            claim = PlanClaim.take(plan, now=clock.wall(), token=token, journal=where)
            exits.callback(_release_if_undone, claim, report)
        path = path or session.credentials
        if path is None and credentials is None:
            check_credentials(session.facts, session.left())
    credential_store: CredentialStore | None = None
    if callable(credentials):
        credential_store = SinkStore(credentials)
    elif path is not None:
        run = "" if session is None else session.run
        file = CredentialsFile(path, in_flight=options.concurrency, run=run)
        credential_store = await exits.enter_async_context(file)
    source = Input(()) if given is None else given
    items = source.pulled() if session is None else session.items
    resumed = session is not None and session.resumed
    return Opened(
        items=items,
        left=session.left if session is not None and resumed else source.items,
        known=resumed or source.known,
        planned=session.planned if session is not None and resumed else source.planned,
        session=session,
        credential_store=credential_store,
    )


def _release_if_undone(claim: PlanClaim, report: Callable[[], Report]) -> None:
    counts = report().counts
    maybe_done = (State.APPLIED, State.DIFFERS, State.PENDING, State.UNKNOWN)
    if not any(counts[state] for state in maybe_done):
        claim.release()


async def _begun(journal: JournalName) -> bool:
    return await asyncio.to_thread(store_of(journal).exists)


def _absolute(path: str | os.PathLike[str]) -> str:
    return str(Path(path).absolute())


async def _close(session: JournalSession, on_failure: Callable[[JournalError], None]) -> None:
    try:
        await session.close()
    except JournalError as error:
        on_failure(error)
