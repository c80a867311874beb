"""Fleet jobs in a backend: started, watched, stopped, and continued after a restart.

Independent of any web framework; `aiohttp_web` and `starlette` open it with the application.
"""

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import AsyncGenerator, Collection
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import attrs

from enapter_async.client import Client
from enapter_async.errors import ArgumentError, ConfigurationError, EnapterError
from enapter_async.fleet.errors import RunBusyError, RunRefusedError
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.records import storable
from enapter_async.fleet.journal.run_folders import RunFolder, all_runs
from enapter_async.fleet.journal.sqlite.lock import is_held
from enapter_async.fleet.journal.stop_request import request_stop, stop_request
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.rollout.waves import Rollout
from enapter_async.fleet.run import Run
from enapter_async.integrations import downloads
from enapter_async.integrations.downloads import FORMS, Download
from enapter_async.integrations.event_stream import StreamEvent
from enapter_async.integrations.job_files import JobFile, JobSettings, find
from enapter_async.integrations.job_reader import JobReader
from enapter_async.integrations.job_session import Session, job_on_disk
from enapter_async.integrations.job_watch import watch_files, watch_session
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
READERS: Final = 64
"""The number of jobs whose last-read contents are kept in memory."""
PATIENCE_SECONDS: Final = 30.0

logger = logging.getLogger(BACKEND)


class Jobs:
    """The fleet jobs of a backend: a folder of journals, and the runs in this process.

    ::

        async with Jobs(client, "/var/lib/backend/jobs") as jobs:
            job = await jobs.start(operations, source="renames of May")
            async for event in await jobs.watch(job.id):
                ...

    Each job has its own folder (mode 0700) with its journal, its settings, and the credentials
    that it generates; `enapter-async fleet status FOLDER` reads it, too. One process runs a job
    at a time, and any other may list and watch it.

    With `resume=True`, jobs that were cut short by a restart or a kill continue when `Jobs` is
    opened; jobs that a person stopped, or that stopped by themselves, do not. When it is closed,
    jobs start no further operation and have `grace` seconds to finish those in flight, which are
    then cut off and reported as unknown; keep `grace` shorter than the time allowed by the service
    manager. A watcher of a job whose process died waits `patience` seconds for another process,
    such as a restarted worker, to continue it.
    """

    def __init__(
        self,
        client: Client,
        folder: str | os.PathLike[str],
        *,
        resume: bool = True,
        grace: float = GRACE_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._client = client
        self._folder = Path(folder)
        self._resume = resume
        self._grace = grace
        self._patience = patience
        self._live: dict[str, Session] = {}
        self._reader = functools.lru_cache(maxsize=READERS)(JobReader)
        self._closing = False

    async def __aenter__(self) -> Self:
        """Continue interrupted jobs; a job that cannot continue is logged and left unchanged."""
        if self._resume:
            for folder in all_runs(self._folder):
                try:
                    wanted = JobFile.read(folder).wanted == "running"
                    if wanted and stop_request(folder) is None:
                        await self.resume(folder.id)
                except RunBusyError:
                    logger.info("job %s continues in another process", folder.id)
                except EnapterError as error:
                    logger.warning("job %s cannot continue: %s", folder.id, error)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the jobs cleanly; they are still meant to run, and may continue at next start."""
        self.end_watches()
        running = list(self._live.values())
        tasks = [live.task for live in running if live.task is not None]
        for live in running:
            live.leave()
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._grace)
        finally:
            for live in running:
                if live.task is not None and not live.task.done():
                    live.run.cut()
            if tasks:
                await asyncio.wait(tasks)

    def end_watches(self) -> None:
        """End all streams of `watch`, and start no further job: the backend is about to close."""
        self._closing = True
        for live in self._live.values():
            live.changed()

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
        stored in a file of mode 0600 in the job's folder. If the request is abandoned meanwhile,
        the job continues and `list` shows it. Not safe to repeat: that would start another job.

        Raises:
            ConfigurationError: the input is invalid, or the folder cannot be used.
            InputConflictError: operations contradict each other.
            RunRefusedError: the plan was made for another server, or the backend is closing.
        """
        if not isinstance(operations, Collection):
            raise ConfigurationError(
                "a job's operations must be a list or a plan, so that its journal holds all"
            )
        Input(operations)
        self._check_open()
        if isinstance(operations, Plan):
            operations.check_server(self._client)
        items, source, started_by = tuple(operations), storable(source), storable(started_by)
        folder = RunFolder.create(self._folder, now=self._client.clock.wall())
        file = JobFile(settings=settings)
        generates = any(_operation(each).answer.secret for each in items)
        live = Session(
            self._client,
            folder,
            file,
            self._reader(folder),
            source=source,
            started_by=started_by,
            total=len(items),
            new=True,
        )
        live.run = Run(
            self._client,
            items,
            live.options(),
            journal=JournalOptions(
                path=folder.journal, facts={"source": source, "started_by": started_by}
            ),
            credentials=folder.credentials if generates else None,
            rollout=rollout,
        )
        file.write(folder)
        await self._begin(live)
        return live.view()

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
            RunBusyError: it is running, here or in another process.
            RunRefusedError: it was started with another server or token, or the backend is closing.
        """
        folder = find(self._folder, job)
        self._check_idle(job)
        seen = await asyncio.to_thread(self._reader(folder).look, troubles=False)
        # Meanwhile another request may have resumed it, or the backend may have started to close.
        self._check_idle(job)
        file = attrs.evolve(
            seen.file, wanted="running", why="", stopped_by="", waves=(), summary=None
        )
        live = Session(
            self._client,
            folder,
            file,
            self._reader(folder),
            source=seen.facts.get("source", ""),
            started_by=seen.facts.get("started_by", ""),
            total=sum(seen.summary.counts.values()),
        )
        options = JournalOptions(
            path=folder.journal,
            retry_failed=retry_failed,
            ambiguous=ambiguous,
            accept_new_token=accept_new_token,
            accept_wave=accept_wave,
            accept_candidates=accept_candidates,
        )
        live.run = Run(self._client, None, live.options(), journal=options)
        await self._begin(live)
        return live.view()

    async def stop(self, job: str) -> Job:
        """Stop a job: operations in flight finish, the rest is held.

        If another process is running it, that process is asked through a file in the job's
        folder, and stops within a second. The job does not continue at the next start, but
        `resume` continues it. Safe to repeat.

        Raises:
            RunNotFoundError: there is no such job.
        """
        folder = find(self._folder, job)
        live = self._live.get(job)
        if live is not None:
            live.stop()
            return live.view()
        if is_held(folder.journal) or JobFile.read(folder).wanted == "running":
            request_stop(folder)
        return await self.get(job)

    async def get(self, job: str) -> Job:
        """Return the status of a job, whichever process is running it.

        Raises:
            RunNotFoundError: there is no such job.
            RunRefusedError: its journal cannot be read.
        """
        folder = find(self._folder, job)
        live = self._live.get(job)
        if live is not None:
            return live.view()
        look = self._reader(folder).look
        return job_on_disk(folder, await asyncio.to_thread(look, troubles=False))

    async def list(self, limit: int = 50) -> list[Job]:
        """Return the latest jobs, newest first; an unreadable one is omitted and logged."""
        found = []
        for folder in islice(reversed(list(all_runs(self._folder))), limit):
            try:
                found.append(await self.get(folder.id))
            except EnapterError as error:
                logger.warning("job %s cannot be read: %s", folder.id, error)
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
        journal = str(find(self._folder, job).journal)
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
        journal = str(find(self._folder, job).journal)
        return await asyncio.to_thread(downloads.results, journal, job, form)

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
        folder = find(self._folder, job)
        return self._watch(folder, after)

    async def _watch(
        self, folder: RunFolder, after: str | None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of a job across its sessions, in this process and in others."""
        clock, over = self._client.clock, False
        while not (over or self._closing):
            live = self._live.get(folder.id)
            if live is not None:
                here = watch_session(live, after, clock=clock, closing=lambda: self._closing)
                async with contextlib.aclosing(here):
                    async for event in here:
                        yield event
            anywhere = watch_files(
                folder,
                self._reader(folder),
                troubles=live is None,
                patience=self._patience,
                clock=clock,
                leaving=functools.partial(self._has_news_of, folder, live),
            )
            async with contextlib.aclosing(anywhere):
                async for event in anywhere:
                    yield event
                    over = event.kind == "end"

    def _has_news_of(self, folder: RunFolder, heard: Session | None) -> bool:
        """Return whether to stop reading files: a new session runs here, or the backend closes."""
        return self._closing or self._live.get(folder.id) not in (None, heard)

    def _check_open(self) -> None:
        if self._closing:
            raise RunRefusedError("the backend is closing and starts no more jobs")

    def _check_idle(self, job: str) -> None:
        self._check_open()
        if job in self._live:
            raise RunBusyError(f"job {job} is already running here")

    async def _begin(self, live: Session) -> None:
        """Start the session's task, and wait until it has opened its journal."""
        self._live[live.folder.id] = live
        live.task = asyncio.create_task(live.carry_out())
        live.task.add_done_callback(lambda _: self._live.pop(live.folder.id, None))
        # Shielded, so that an abandoned request does not stop the job.
        await asyncio.shield(live.opened)


def _operation(each: Any) -> Any:
    return each.operation if isinstance(each, WorkItem) else each
