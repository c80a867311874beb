"""Divides an input into the partitions of a job, and writes them for workers to take."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Unpack

import attrs

from enapter_async._http.security import parse_base_url
from enapter_async.client import DEFAULT_BASE_URL
from enapter_async.errors import ConfigurationError, check_number
from enapter_async.fleet.distributed.drafts import Draft, write_to_database, write_to_folder
from enapter_async.fleet.distributed.job import Job
from enapter_async.fleet.distributed.partitions import SIZE, By, Division
from enapter_async.fleet.distributed.places import Address, Folder, Place, place_of
from enapter_async.fleet.inputs import Input, Operations
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.resume import new_facts
from enapter_async.fleet.options import CARRIED, RunKeywords, RunOptions
from enapter_async.fleet.planning.drift import GuardMode
from enapter_async.fleet.planning.plan import Plan


class _Nobody:
    """Stands for the client of a run that no worker has started yet; it has no token."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def fingerprint(self, salt: bytes) -> str:
        return ""

    def call(self, operation: Any, *, record: Any, patient: bool = False) -> Any:
        raise NotImplementedError


async def distribute(
    operations: Operations[Any] | Plan,
    address: Address,
    *,
    name: str | None = None,
    by: By = SIZE,
    max_rate: float | None = None,
    base_url: str | None = None,
    force: bool = False,
    facts: Mapping[str, str] | None = None,
    options: RunOptions | None = None,
    **keywords: Unpack[RunKeywords],
) -> Job:
    """Write a job that any number of `fleet.Worker` processes carry out together.

    `address` is a folder, for processes of one machine, or a database for workers on many machines:
    `postgresql://user@host/database#NAME`. `name` is the job's name. The input is divided into
    partitions: `by` is a number of operations, or "site" for one partition per site, which only
    workers of the queue `site:<site id>` take. All operations of a device are in one partition.
    `max_rate` limits the requests per second of all workers together. The other options are those
    of `fleet.Run`; `abort` and `rollout` apply to the whole job: a wave starts once the previous
    one is finished and has passed, whichever workers carried it out.

    Nothing is sent, and no token is needed: each worker has its own. `base_url` is the job's
    server, by default that of the plan. Submitting the same job again joins it. Unless `force` is
    set, a job is refused if another one in the same database changes the same objects and has
    neither ended nor been stopped.

    Raises:
        RunBusyError: there is a job of this name with another input, or another job is changing the
            same objects.
        InputConflictError: operations contradict each other.
        PlanCarriedOutError: another run has carried out the plan.
        ConfigurationError: an option is invalid, or the job cannot be written.
    """
    options = RunOptions.of(options, keywords)
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
    place = place_of(address)
    about = base_url or (
        operations.header.base_url if isinstance(operations, Plan) else DEFAULT_BASE_URL
    )
    given = Input(operations)
    settings = {
        "abort": [attrs.asdict(each) for each in options.abort],
        "rollout": None if options.rollout is None else options.rollout.as_text(),
        "max_rate": max_rate,
        **{name: getattr(options, name) for name in CARRIED},
    }
    job = place.checked_name(name)
    run_facts = {
        **JournalOptions(path=place.name, facts=facts or {}).facts,
        "level": "process",
        **new_facts(
            _Nobody(str(parse_base_url(about, allow_insecure_http=True))),
            at_ms=int(time.time() * 1000), known=True,
        ),
    }  # fmt: skip
    draft = Draft(
        name=job, settings=settings, run_facts=run_facts, plan="" if options.again else given.plan,
        rollout=options.rollout, force=force,
    )  # fmt: skip
    await asyncio.to_thread(_write, draft, place, given, by)
    return Job(place, job)


def _write(draft: Draft, place: Place, given: Input, by: By) -> None:
    try:
        draft.divide(Division(given, by=by, rollout=draft.rollout))
        if isinstance(place, Folder):
            write_to_folder(draft, place.path)
        else:
            write_to_database(draft, place.address)
    finally:
        draft.close()
