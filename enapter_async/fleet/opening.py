"""What a run opens before it begins: its journal, and the place for its credentials."""

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
    FileStore,
    SinkStore,
)
from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.inputs import WorkItem, as_items
from enapter_async.fleet.journal.session import JournalSession
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.rollout.waves import ROLLOUT


@attrs.frozen(kw_only=True)
class Opened:
    """What is to be done, and where what becomes of it is written."""

    items: Iterable[WorkItem] | AsyncIterable[WorkItem]
    session: JournalSession | None = None
    credential_store: CredentialStore | None = None


async def open_files(
    exits: AsyncExitStack,
    client: Any,
    operations: Any | None,
    options: RunOptions,
    *,
    clock: Clock,
    on_failure: Callable[[JournalError], None],
) -> Opened:
    """Open journal and credentials, the journal first; `exits` closes them.

    Raises:
        ConfigurationError: a file cannot be used.
        RunRefusedError: the journal's run cannot be continued so.
    """
    path, credentials, journal = None, options.credentials, options.journal
    if credentials is not None and not callable(credentials):
        path = _absolute(credentials)
    session = None
    if journal is not None:
        if options.rollout is not None:
            facts = {**journal.facts, ROLLOUT: options.rollout.as_text()}
            journal = attrs.evolve(journal, facts=facts)
        session = await JournalSession.open(
            journal, client, operations, credentials=path, on_failure=on_failure, clock=clock
        )
        exits.push_async_callback(_close, session, on_failure)
        path = path or session.facts.get("credentials")
    credential_store: CredentialStore | None = None
    if callable(credentials):
        credential_store = SinkStore(credentials)
    elif path is not None:
        file = CredentialsFile(path, in_flight=options.concurrency)
        run = "" if session is None else session.run
        credential_store = FileStore(await exits.enter_async_context(file), run)
    items = as_items(operations or ()) if session is None else session.items
    return Opened(items=items, session=session, credential_store=credential_store)


def _absolute(path: str | os.PathLike[str]) -> str:
    return str(Path(path).absolute())


async def _close(session: JournalSession, on_failure: Callable[[JournalError], None]) -> None:
    try:
        await session.close()
    except JournalError as error:
        on_failure(error)
