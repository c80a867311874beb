"""Open the files of a run before it starts: its journal, and its credentials file."""

import asyncio
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
from enapter_async.fleet.journal.names import store_of
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.resume import check_credentials
from enapter_async.fleet.journal.session import JournalSession
from enapter_async.fleet.options import Credentials, RunOptions
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
    where = None if options.journal is None else store_of(options.journal.path).name

    def claim_plan(plan: str, token: str = "") -> PlanClaim:
        claim = PlanClaim.take(plan, now=clock.wall(), token=token, journal=where)
        exits.callback(_release_if_undone, claim, report)
        return claim

    source = Input(()) if given is None else given
    claim = session = None
    if source.plan and not options.again and not await _is_begun(options.journal):
        claim = claim_plan(source.plan)
    if options.journal is not None:
        session = await JournalSession.open(
            _with_facts(options.journal, options, claim),
            client,
            given,
            credentials=_path_of(options.credentials),
            on_failure=on_failure,
            clock=clock,
        )
        exits.push_async_callback(_close, session, on_failure)
        if claim is None and PLAN in session.facts and not options.again:
            claim_plan(session.facts[PLAN], session.facts.get(CLAIM, ""))
    store = await _credential_store(exits, options, session)
    if session is not None and session.resumed:
        return Opened(
            items=session.items,
            left=session.left,
            known=True,
            planned=session.planned,
            session=session,
            credential_store=store,
        )
    return Opened(
        items=source.pulled() if session is None else session.items,
        left=source.items,
        known=source.known,
        planned=source.planned,
        session=session,
        credential_store=store,
    )


def _with_facts(
    journal: JournalOptions, options: RunOptions, claim: PlanClaim | None
) -> JournalOptions:
    """Return the options of the journal, with what it must record about the run."""
    facts = dict(journal.facts)
    if claim is not None:
        facts |= claim.facts
    if options.rollout is not None:
        facts[ROLLOUT] = options.rollout.as_text()
    return attrs.evolve(journal, facts=facts)


async def _credential_store(
    exits: AsyncExitStack, options: RunOptions, session: JournalSession | None
) -> CredentialStore | None:
    """Open the store of generated configurations, or return None if the run has none.

    Without a file in the options, a resumed run uses that of the earlier session.
    """
    if callable(options.credentials):
        return SinkStore(options.credentials)
    path = _path_of(options.credentials) or (None if session is None else session.credentials)
    if path is None:
        if session is not None:
            check_credentials(session.facts, session.left())
        return None
    run = "" if session is None else session.run
    file = CredentialsFile(path, in_flight=options.concurrency, run=run)
    return await exits.enter_async_context(file)


def _release_if_undone(claim: PlanClaim, report: Callable[[], Report]) -> None:
    counts = report().counts
    maybe_done = (State.APPLIED, State.DIFFERS, State.PENDING, State.UNKNOWN)
    if not any(counts[state] for state in maybe_done):
        claim.release()


async def _is_begun(journal: JournalOptions | None) -> bool:
    return journal is not None and await asyncio.to_thread(store_of(journal.path).exists)


def _path_of(credentials: Credentials | None) -> str | None:
    if credentials is None or callable(credentials):
        return None
    return str(Path(credentials).absolute())


async def _close(session: JournalSession, on_failure: Callable[[JournalError], None]) -> None:
    try:
        await session.close()
    except JournalError as error:
        on_failure(error)
