"""Divides an input into the partitions of a job, and writes them for workers to take."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import attrs

from enapter_async._http.security import parse_base_url
from enapter_async.environment import DEFAULT_BASE_URL
from enapter_async.errors import ConfigurationError, check_number
from enapter_async.fleet.distributed.drafts import Draft, write_to_database, write_to_folder
from enapter_async.fleet.distributed.partitions import By, Division, check_by
from enapter_async.fleet.distributed.places import Folder, Place
from enapter_async.fleet.inputs import Input, Operations
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.resume import new_facts
from enapter_async.fleet.options import CARRIED, RunOptions
from enapter_async.fleet.planning.drift import GuardMode
from enapter_async.fleet.planning.plan import Plan


async def submit(
    operations: Operations[Any] | Plan,
    place: Place,
    *,
    name: str | None,
    by: By,
    max_rate: float | None,
    base_url: str | None,
    force: bool,
    facts: Mapping[str, str],
    options: RunOptions,
) -> str:
    """Write a job, and return its name; see `fleet.distribute`."""
    if options.journal or options.credentials or options.on_event:
        raise ConfigurationError(
            "journal, credentials and on_event do not belong to a job: each partition has its own "
            "journal, and each worker its own credentials"
        )
    if not isinstance(options.guard, GuardMode):
        raise ConfigurationError(
            "guard must be a mode of StateGuard: workers cannot share a custom guard"
        )
    if max_rate is not None:
        check_number("max_rate", max_rate, above=True)
    about = base_url or (
        operations.header.base_url if isinstance(operations, Plan) else DEFAULT_BASE_URL
    )
    given = Input(operations)
    settings = {
        "abort": [attrs.asdict(each) for each in options.abort],
        "rollout": None if options.rollout is None else options.rollout.as_text(),
        "max_rate": max_rate,
        "by": check_by(by),
        **{name: getattr(options, name) for name in CARRIED},
    }
    job = place.checked_name(name)
    run_facts = {
        **JournalOptions(path=place.name, facts=facts).facts,
        "level": "process",
        **new_facts(
            str(parse_base_url(about, allow_insecure_http=True)),
            lambda _: "",  # each worker has its own token
            at_ms=int(time.time() * 1000),
            known=True,
        ),
    }
    draft = Draft(
        name=job, settings=settings, run_facts=run_facts, plan="" if options.again else given.plan,
        rollout=options.rollout, force=force,
    )  # fmt: skip
    await asyncio.to_thread(_write, draft, place, given, by)
    return job


def _write(draft: Draft, place: Place, given: Input, by: By) -> None:
    try:
        draft.divide(Division(given, by=by, rollout=draft.rollout))
        if isinstance(place, Folder):
            write_to_folder(draft, place.path)
        else:
            write_to_database(draft, place.address)
    finally:
        draft.close()
