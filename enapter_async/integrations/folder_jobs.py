"""Fleet jobs in a folder, for the processes of one machine."""

import asyncio
import functools
import logging
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import attrs

from enapter_async.client import Client
from enapter_async.errors import EnapterError
from enapter_async.fleet.errors import RunBusyError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.journal.run_folders import RunFolder, all_runs
from enapter_async.fleet.journal.sqlite.lock import is_held
from enapter_async.fleet.journal.stop_request import request_stop, stop_request
from enapter_async.fleet.rollout.waves import Rollout
from enapter_async.fleet.run import Run
from enapter_async.integrations.job_files import JobFile, JobSettings, find
from enapter_async.integrations.job_reader import JobReader
from enapter_async.integrations.job_session import Session, job_on_disk
from enapter_async.integrations.job_watch import Seen, Watches
from enapter_async.integrations.progress import Job
from enapter_async.logs import BACKEND

TICK_SECONDS: Final = 0.25
"""The minimum interval between a watcher's events while this process runs the job."""
STILL_SECONDS: Final = 1.0
"""The interval of checks while another process runs the job, or none."""
READERS: Final = 64
"""The number of jobs whose last-read contents are kept in memory."""

logger = logging.getLogger(BACKEND)


class FolderJobs:
    """The jobs in a folder, and the runs in this process; see `Jobs` for each method."""

    def __init__(
        self, client: Client, folder: Path, *, resume: bool, grace: float, patience: float
    ) -> None:
        self._client = client
        self._folder = folder
        self._resume = resume
        self._grace = grace
        self._live: dict[str, Session] = {}
        self._reader = functools.lru_cache(maxsize=READERS)(JobReader)
        self.watches = Watches(self._read, client.clock, shared=TICK_SECONDS, patience=patience)

    async def open(self) -> None:
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

    async def close(self) -> None:
        """Stop the jobs cleanly; they are still meant to run, and may continue at next start."""
        running = list(self._live.values())
        tasks = [live.task for live in running]
        for live in running:
            live.leave()
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._grace)
        finally:
            for live in running:
                if not live.task.done():
                    live.run.cut()
            if tasks:
                await asyncio.wait(tasks)

    async def start(
        self,
        operations: Collection[Any],
        facts: Mapping[str, str],
        *,
        rollout: Rollout | None,
        settings: JobSettings,
    ) -> Job:
        """Start a job with a copy of the operations."""
        items = tuple(operations)
        folder = RunFolder.create(self._folder, now=self._client.clock.wall())
        file = JobFile(settings=settings)
        reader, total = self._reader(folder), len(items)
        live = Session(self._client, folder, file, reader, facts=facts, total=total, new=True)
        live.run = Run(
            self._client,
            items,
            live.options(),
            journal=JournalOptions(path=folder.journal, facts=facts),
            credentials=folder.credentials if generates(items) else None,
            rollout=rollout,
        )
        file.write(folder)
        return await self._begin(live)

    async def resume(self, job: str, **options: Any) -> Job:
        """Continue a job with options of its journal."""
        folder = find(self._folder, job)
        self._check_idle(job)
        seen = await asyncio.to_thread(self._reader(folder).look, troubles=False)
        # Meanwhile another request may have resumed it, or the backend may have started to close.
        self._check_idle(job)
        file = attrs.evolve(
            seen.file, wanted="running", why="", stopped_by="", waves=(), summary=None
        )
        reader, total = self._reader(folder), sum(seen.summary.counts.values())
        live = Session(self._client, folder, file, reader, facts=seen.facts, total=total)
        journal = JournalOptions(path=folder.journal, **options)
        live.run = Run(self._client, None, live.options(), journal=journal)
        return await self._begin(live)

    async def stop(self, job: str) -> Job:
        """Stop a job, here or, through a file in its folder, in another process."""
        folder = find(self._folder, job)
        live = self._live.get(job)
        if live is not None:
            live.stop()
            return live.view()
        if is_held(folder.journal) or JobFile.read(folder).wanted == "running":
            request_stop(folder)
        return await self.get(job)

    async def get(self, job: str) -> Job:
        """Return the status of a job, whichever process is running it."""
        folder = find(self._folder, job)
        live = self._live.get(job)
        if live is not None:
            return live.view()
        look = self._reader(folder).look
        return job_on_disk(folder, await asyncio.to_thread(look, troubles=False))

    async def latest(self, limit: int) -> list[str]:
        """Return the ids of the latest jobs, newest first."""
        return [folder.id for folder in islice(reversed(list(all_runs(self._folder))), limit)]

    def journal(self, job: str) -> str:
        """Return the name of a job's journal."""
        return str(find(self._folder, job).journal)

    async def _read(self, job: str) -> Seen:
        folder = find(self._folder, job)
        if job not in self._live:
            look = await asyncio.to_thread(self._reader(folder).look)
            # Meanwhile a session of it may have begun here.
            if job not in self._live:
                return Seen(
                    job=job_on_disk(folder, look),
                    troubles=look.troubles,
                    cut_short=look.cut_short,
                    pause=STILL_SECONDS,
                )
        live = self._live[job]
        return Seen(job=live.view(), troubles=tuple(live.troubles), pause=TICK_SECONDS)

    def _check_idle(self, job: str) -> None:
        self.watches.check_open()
        if job in self._live:
            raise RunBusyError(f"job {job} is already running here")

    async def _begin(self, live: Session) -> Job:
        """Start the session's task, wait until it has opened its journal, and return its status."""
        self._live[live.folder.id] = live
        live.task = asyncio.create_task(live.carry_out())
        live.task.add_done_callback(lambda _: self._live.pop(live.folder.id, None))
        # Shielded, so that an abandoned request does not stop the job.
        await asyncio.shield(live.opened)
        return live.view()


def generates(operations: Iterable[Any]) -> bool:
    """Return whether any operation generates credentials."""
    given = (each.operation if isinstance(each, WorkItem) else each for each in operations)
    return any(operation.answer.secret for operation in given)
