"""A job that several workers carry out: how it is written, watched, stopped and resumed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Unpack

import attrs

from enapter_async._http.security import parse_base_url
from enapter_async.client import Client
from enapter_async.environment import DEFAULT_BASE_URL
from enapter_async.errors import ConfigurationError, check_number
from enapter_async.fleet.distributed.drafts import Draft, write_to_database, write_to_folder
from enapter_async.fleet.distributed.job_records import Control, JobRecord
from enapter_async.fleet.distributed.job_status import JobStatus, status_of
from enapter_async.fleet.distributed.partition_lease import process_name
from enapter_async.fleet.distributed.partitions import SIZE, By, Division, check_by
from enapter_async.fleet.distributed.places import Address, Folder, Place, place_of
from enapter_async.fleet.errors import RunAbortedError, RunNotFoundError
from enapter_async.fleet.inputs import Input, Operations
from enapter_async.fleet.journal.job_database import Row
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.postgres.address import without_password
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.fleet.journal.resume import new_facts
from enapter_async.fleet.options import CARRIED, RunKeywords, RunOptions
from enapter_async.fleet.outcomes import FAILURES_KEPT, Outcome, Report, Tally
from enapter_async.fleet.planning.drift import GuardMode
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.planning.rollback import UndoOnly, undo

POLL_S: Final = 0.25
_SHOWN: Final = (
    (Mark.FAILED,), (Mark.UNKNOWN, Mark.INTENDED), (Mark.DIFFERS,), (Mark.PENDING,)
)  # fmt: skip


class Job:
    """A job in a folder or a database; returned by `fleet.distribute` and `fleet.Job.open`.

    It can be used from any process that reaches its address. `fleet.undo`, `fleet.status` and
    `fleet.write_report` accept it in place of a journal.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self.name = name

    @classmethod
    async def open(cls, address: Address) -> "Job":
        """Return the job at an address.

        Raises:
            RunNotFoundError: there is none.
            ConfigurationError: the address is invalid.
        """
        place = place_of(address)
        async with controlling(place) as control:
            record = await control.job(place.only)
        if record is None:
            raise RunNotFoundError(f"there is no job at {place.name}")
        return cls(place, record.name)

    @property
    def address(self) -> str:
        """The address by which workers and the command line find the job."""
        return self._place.job_address(self.name)

    @property
    def place(self) -> str:
        """The address without a password, for display."""
        return without_password(self.address)

    def __fspath__(self) -> str:
        """Return the address, so that a job can be passed in place of a journal."""
        return self.address

    def __repr__(self) -> str:
        return f"<Job {self.name!r} at {self.place}>"

    async def status(self) -> JobStatus:
        """Return the status of the job.

        Raises:
            JournalError: its database cannot be read now.
        """
        async with controlling(self._place) as control:
            return await self._status(control)

    async def wait(self, on_progress: Callable[[JobStatus], None] | None = None) -> JobStatus:
        """Wait until the job has ended, or was stopped and no worker is active; return its status.

        `on_progress` receives the status four times a second. Cancelling the wait changes nothing.
        """
        async with controlling(self._place) as control:
            while True:
                status = await self._status(control)
                if on_progress is not None:
                    on_progress(status)
                if status.over:
                    return status
                await asyncio.sleep(POLL_S)

    async def stop(self, why: str = "the job was stopped") -> None:
        """Stop the job on all machines; operations in flight finish. Safe to repeat."""
        async with controlling(self._place) as control:
            await control.stop(self.name, why)

    async def resume(
        self,
        *,
        retry_failed: bool = False,
        ambiguous: Literal["report", "regenerate", "skip"] = "report",
        accept_new_token: bool = False,
        accept_wave: bool = False,
        accept_candidates: bool = False,
    ) -> None:
        """Let workers continue with unfinished operations; see `JournalOptions` for the options.

        With `accept_new_token`, each worker may act as a different user than the first worker. If
        the job is in progress, because it was never stopped or another process resumes it at the
        same moment, nothing is changed. Safe to repeat.

        Raises:
            RunBusyError: the job is in progress with other options; `AlreadyResumedError` if
                another process has resumed it.
        """
        told: dict[str, Any] = {
            "retry_failed": retry_failed,
            "ambiguous": ambiguous,
            "accept_new_token": accept_new_token,
            "accept_candidates": accept_candidates,
            "accept_wave": accept_wave,
        }
        JournalOptions(path=self.address, **told)  # refuses what is invalid
        async with controlling(self._place) as control:
            record = await _record(control, self._place, self.name)
            await control.resume(record, told, accept=accept_wave)

    async def undo(
        self,
        client: Client,
        address: Address | None = None,
        *,
        only: UndoOnly | None = None,
        on_read: Callable[[int], None] | None = None,
        by: By | None = None,
        max_rate: float | None = None,
        force: bool = False,
        **keywords: Unpack[RunKeywords],
    ) -> "Job":
        """Write a job that undoes this one, for workers to carry out; return it.

        `fleet.undo` makes the plan, and shows what cannot be undone; `client` reads the fleet for
        it, and `only` chooses a part. By default the new job is next to this one, with "-undo"
        after its name, has the same kind of partitions and the same `max_rate`, and carries out
        everything in one wave. The other options are those of `fleet.distribute`.

        Raises:
            RunBusyError: there is another job at the address, or one changes the same objects.
            ConfigurationError: this job used another server, or an option is invalid.
            EnapterError: the fleet could not be read.
        """
        status = await self.status()
        back = await undo(client, self, on_read=on_read, only=only or UndoOnly())
        with back.plan as plan:
            return await distribute(
                plan,
                f"{self.address}-undo" if address is None else address,
                by=status.by if by is None else by,
                max_rate=status.max_rate if max_rate is None else max_rate,
                force=force,
                facts={"source": f"undo of {self.name}"},
                **keywords,
            )

    async def report(self) -> Report:
        """Return the report of the whole job, merged from the journals of all partitions.

        Raises:
            RunRefusedError: a journal is missing or damaged.
        """
        status = await self.status()
        return await asyncio.to_thread(_report, self.address, status)

    async def _status(self, control: Control) -> JobStatus:
        return (await read_status(control, self._place, self.name))[0]


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
    place, options = place_of(address), RunOptions.of(options, keywords)
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
        **JournalOptions(path=place.name, facts=facts or {}).facts,
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


@contextlib.asynccontextmanager
async def controlling(place: Place) -> AsyncIterator[Control]:
    """Open the control of a place's jobs, and close it at the end."""
    control = await place.control(process_name())
    try:
        yield control
    finally:
        await control.close()


async def _record(control: Control, place: Place, job: str) -> JobRecord:
    record = await control.job(job)
    if record is None:
        raise RunNotFoundError(f"there is no job {job!r} at {place.name}")
    return record


async def read_status(control: Control, place: Place, job: str) -> tuple[JobStatus, Sequence[Row]]:
    """Return the status of a job, and the rows of its partitions.

    Raises:
        RunNotFoundError: there is no such job.
    """
    record = await _record(control, place, job)
    waves = await control.waves(job)
    rows = await control.partitions(job)
    return status_of(record, waves, rows, await control.served()), rows


def _report(address: str, status: JobStatus) -> Report:
    with contextlib.closing(read_journal(address)) as journal:
        replay = Replay(journal)
        tally = Tally()
        tally.start_from(
            replay.counts(), _bad(journal, replay), acknowledged=len(replay.acknowledged)
        )
    stopped = None if status.stopped is None else RunAbortedError(status.stopped)
    report = tally.report(elapsed=status.elapsed, complete=True, stopped=stopped)
    return attrs.evolve(report, attempts=replay.sent, earlier=0)


def _bad(journal: Journal, replay: Replay) -> Iterator[Outcome[Any]]:
    """Yield the first outcomes of each bad state."""
    for marks in _SHOWN:
        for seq in replay.with_mark(*marks)[:FAILURES_KEPT]:
            item = journal.item(seq)
            if item is not None:
                yield replay.outcome(journal, item)
