"""Fleet jobs in a backend: started, watched, stopped, and continued after a restart.

Independent of any web framework; `aiohttp_web` and `starlette` open it with the application.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Collection
from pathlib import Path
from typing import Any, Final, Literal, Self

from enapter_async.client import Client
from enapter_async.errors import ArgumentError, ConfigurationError
from enapter_async.fleet.distributed.partition_lease import LEASE_S
from enapter_async.fleet.errors import RunBusyError
from enapter_async.fleet.inputs import Input
from enapter_async.fleet.journal.postgres.address import is_address
from enapter_async.fleet.journal.records import storable
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.rollout.waves import Rollout
from enapter_async.integrations import downloads
from enapter_async.integrations.database_jobs import DatabaseJobs
from enapter_async.integrations.downloads import FORMS, Download
from enapter_async.integrations.event_stream import StreamEvent
from enapter_async.integrations.folder_jobs import FolderJobs
from enapter_async.integrations.job_files import JobSettings
from enapter_async.integrations.progress import RESUME_OPTIONS, Job, Phase, Wave
from enapter_async.logs import BACKEND

__all__ = [
    "RESUME_OPTIONS",
    "Download",
    "Job",
    "JobSettings",
    "Jobs",
    "Phase",
    "StreamEvent",
    "Wave",
]

GRACE_SECONDS: Final = 20.0
PATIENCE_SECONDS: Final = 30.0

logger = logging.getLogger(BACKEND)


class Jobs:
    """The fleet jobs of a backend, in a folder or in PostgreSQL.

    ::

        async with Jobs(client, "/var/lib/backend/jobs") as jobs:
            job = await jobs.start(operations, source="renames of May", started_by="ann")
            async for event in await jobs.watch(job.id):
                ...

    In a folder, each job has its own folder (mode 0700) with its journal, its settings, and the
    credentials that it generates; `enapter-async fleet status FOLDER` reads it, too. One process
    runs a job at a time, and any other of the same machine may list, watch and stop it. A watcher
    of a job whose process died waits `patience` seconds for another process, such as a restarted
    worker, to continue it.

    In PostgreSQL (`postgresql://user@host/database`, prepared with `enapter-async fleet journal
    prepare`), the jobs belong to all replicas of the backend, on any machine: each lists, watches,
    stops and resumes them, and they carry them out together, as `fleet.Worker` does. If a replica
    dies, another takes over what it was doing after `lease` seconds. No token enters the database.
    Generated configurations stay with the replica that received them, in files of mode 0600 in its
    folder `credentials`, which `Job.credentials` names.

    With `resume=True`, jobs that were cut short by a restart or a kill continue when `Jobs` is
    opened; jobs that a person stopped, or that stopped by themselves, do not. With `resume=False`,
    jobs in PostgreSQL are left to other replicas and workers. When it is closed, jobs start no
    further operation and have `grace` seconds to finish those in flight, which are then cut off and
    reported as unknown; keep `grace` shorter than the time allowed by the service manager.

    Raises:
        ConfigurationError: an option does not fit the place of the jobs.
    """

    def __init__(
        self,
        client: Client,
        place: str | os.PathLike[str],
        *,
        resume: bool = True,
        grace: float = GRACE_SECONDS,
        patience: float = PATIENCE_SECONDS,
        credentials: str | os.PathLike[str] | None = None,
        lease: float = LEASE_S,
    ) -> None:
        self._client = client
        self._jobs: FolderJobs | DatabaseJobs
        text = os.fspath(place)
        if is_address(text):
            self._jobs = DatabaseJobs(
                client, text, resume=resume, grace=grace, credentials=credentials, lease=lease
            )
            return
        if credentials is not None:
            raise ConfigurationError(
                "credentials is for jobs in PostgreSQL; in a folder, each job stores its own"
            )
        self._jobs = FolderJobs(client, Path(place), resume=resume, grace=grace, patience=patience)

    async def __aenter__(self) -> Self:
        """Continue interrupted jobs; a job that cannot continue is logged and left unchanged.

        Raises:
            ConfigurationError: the database has no tables for jobs, or psycopg is not installed.
        """
        await self._jobs.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the jobs cleanly; they are still meant to run, and may continue at next start."""
        self.end_watches()
        await self._jobs.close()

    def end_watches(self) -> None:
        """End all streams of `watch`, and start no further job: the backend is about to close."""
        self._jobs.watches.closing = True

    async def start(
        self,
        operations: Collection[Any],
        *,
        source: str = "",
        started_by: str = "",
        rollout: Rollout | None = None,
        settings: JobSettings = JobSettings(),  # noqa: B008 - a frozen value
    ) -> Job:
        """Start a job, and return its status once its journal holds all of its operations.

        `operations` is a list of operations or a plan; it is copied. `source` describes their
        origin in words, and `started_by` is who asked for the job. Generated configurations are
        stored in a file of mode 0600. If the request is abandoned meanwhile, the job continues and
        `list` shows it. Not safe to repeat: that would start another job.

        Raises:
            ConfigurationError: the input is invalid, or the folder cannot be used.
            InputConflictError: operations contradict each other.
            RunRefusedError: the plan was made for another server, or the backend is closing.
            RunBusyError: another job in the database is changing the same objects.
            JournalError: the database cannot be reached.
        """
        if not isinstance(operations, Collection):
            raise ConfigurationError(
                "a job's operations must be a list or a plan, so that its journal holds all"
            )
        Input(operations)
        self._jobs.watches.check_open()
        if isinstance(operations, Plan):
            operations.check_server(self._client)
        return await self._jobs.start(
            operations,
            {"source": storable(source), "started_by": storable(started_by)},
            rollout=rollout,
            settings=settings,
        )

    async def resume(
        self,
        job: str,
        *,
        retry_failed: bool = False,
        ambiguous: Literal["report", "regenerate", "skip"] = "report",
        accept_new_token: bool = False,
        accept_wave: bool = False,
        accept_candidates: bool = False,
    ) -> Job:
        """Continue a job without sending finished operations again.

        The options are those of `fleet.JournalOptions`; `RESUME_OPTIONS` maps a job's
        `next_steps` to options: `jobs.resume(job.id, **RESUME_OPTIONS[step])`. Safe to repeat.

        Raises:
            RunNotFoundError: there is no such job.
            RunBusyError: it is running, here or in another process; `AlreadyResumedError` if
                another replica has just resumed it. Of several that resume a job at the same moment
                with the same options, none is refused.
            RunRefusedError: it was started with another server or token, or the backend is closing.
        """
        self._jobs.watches.check_open()
        return await self._jobs.resume(
            job,
            retry_failed=retry_failed,
            ambiguous=ambiguous,
            accept_new_token=accept_new_token,
            accept_wave=accept_wave,
            accept_candidates=accept_candidates,
        )

    async def stop(self, job: str) -> Job:
        """Stop a job, wherever it runs: operations in flight finish, the rest is held.

        Other processes notice it within a second. The job does not continue at the next start, but
        `resume` continues it. Safe to repeat.

        Raises:
            RunNotFoundError: there is no such job.
        """
        return await self._jobs.stop(job)

    async def get(self, job: str) -> Job:
        """Return the status of a job, whichever process is running it.

        Raises:
            RunNotFoundError: there is no such job.
            RunRefusedError: its journal cannot be read.
        """
        return await self._jobs.get(job)

    async def list(self, limit: int = 50) -> list[Job]:
        """Return the latest jobs, newest first; an unreadable one is omitted and logged."""
        found = []
        for job in await self._jobs.latest(limit):
            try:
                found.append(await self.get(job))
            except ConfigurationError as error:
                logger.warning("job %s cannot be read: %s", job, error)
        return found

    async def report(self, job: str) -> Download:
        """Return the report of a job as a page, even while it runs.

        Like the results, it contains the API's messages in full; show it only to people who may
        read them. It links to `results.csv` and `results.jsonl` beside its own address, once the
        job is over.

        Raises:
            RunNotFoundError: there is no such job.
            RunRefusedError: its journal cannot be read.
        """
        active = (await self.get(job)).active
        links = [] if active else [(f"results.{form}", f"results.{form}") for form in FORMS]
        journal = self._jobs.journal(job)
        return await asyncio.to_thread(downloads.report, journal, job, links, self._client.clock)

    async def results(self, job: str, form: str = "csv") -> Download:
        """Return the outcome of each operation of a job that is over; `form` is "csv" or "jsonl".

        The files are those of the command line: the rows of the CSV can be applied again.

        Raises:
            ArgumentError: there is no such form.
            RunNotFoundError: there is no such job.
            RunBusyError: it is running.
            RunRefusedError: its journal cannot be read.
        """
        if form not in FORMS:
            raise ArgumentError(f"form is {form!r}; use one of {', '.join(FORMS)}")
        if (await self.get(job)).active:
            raise RunBusyError(f"job {job} is running; its results are complete once it is over")
        return await asyncio.to_thread(downloads.results, self._jobs.journal(job), job, form)

    async def watch(self, job: str, after: str | None = None) -> AsyncGenerator[StreamEvent, None]:
        """Return a stream of a job's status, until it is over or the backend closes.

        Events are "job" (the complete `Job.as_json`), "troubles" (failed or unknown operations:
        `from` is the index of the first, `troubles` are at most 200 in all), and "end", like
        "job", once no process runs it or is about to. `after` is the id of the last event
        received (Last-Event-ID); its contents are not repeated.

        Nothing is queued for a watcher: a slow reader receives fewer events, but always the
        latest.

        Raises:
            RunNotFoundError: there is no such job.
        """
        return await self._jobs.watches.watch(job, after)
