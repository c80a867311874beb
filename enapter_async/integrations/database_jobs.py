"""Fleet jobs in PostgreSQL, carried out, watched and stopped by all replicas of a backend.

Each replica is a `fleet.Worker`, and reads the status of a job from the tables that the workers
write. What protects a job when its worker is killed (a lease, a journal that refuses a late writer,
a stop that holds everywhere) is therefore the same as for `fleet.distribute`.
"""

import asyncio
import functools
import logging
import os
import secrets
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from enapter_async.client import Client
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.job import distribute
from enapter_async.fleet.distributed.job_records import Control, in_progress
from enapter_async.fleet.distributed.worker import Worker
from enapter_async.fleet.errors import (
    JournalError,
    RunNotFoundError,
    RunRefusedError,
)
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.jobs import PostgresJobs
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.rollout.waves import Rollout
from enapter_async.integrations.database_reader import LOOK_SECONDS, DatabaseReader, Rows
from enapter_async.integrations.folder_jobs import READERS, generates
from enapter_async.integrations.job_files import JobSettings
from enapter_async.integrations.job_session import STOPPED_BY_REQUEST
from enapter_async.integrations.job_watch import Seen, Watches, unabandoned
from enapter_async.integrations.progress import Job
from enapter_async.logs import BACKEND
from enapter_async.text import quoted, shortened

logger = logging.getLogger(BACKEND)


class DatabaseJobs:
    """The jobs in a database, and this process's worker; see `Jobs` for each method."""

    def __init__(
        self,
        client: Client,
        address: str,
        *,
        resume: bool,
        grace: float,
        credentials: str | os.PathLike[str] | None,
        lease: float,
    ) -> None:
        self._client = client
        self._address = Address.parse(address, with_run=False)
        if self._address.run:
            raise ConfigurationError(
                f"{self._address.name} names one job; pass the database alone, in which each job "
                "of the backend gets a name of its own"
            )
        self._generates = credentials is not None
        self._worker = Worker(client, address, credentials=credentials, lease=lease, grace=grace)
        self._resume = resume
        self._control = Control(PostgresJobs(self._address), self._worker.name, lease)
        self._reader = functools.lru_cache(maxsize=READERS)(self._new_reader)
        self.watches = Watches(self._read, client.clock, shared=LOOK_SECONDS)
        self._exits = AsyncExitStack()

    async def open(self) -> None:
        """Start to work on the jobs of all replicas, unless this is left to others."""
        try:
            await self._control.latest(1)
        except JournalError as error:
            logger.warning("%s; jobs are carried out once it can be", error)
        if self._resume:
            await self._exits.enter_async_context(self._worker)

    async def close(self) -> None:
        """Release what this process is carrying out, so that others continue it at once."""
        try:
            await self._exits.aclose()
        finally:
            await self._control.close()

    async def start(
        self,
        operations: Collection[Any],
        facts: Mapping[str, str],
        *,
        rollout: Rollout | None,
        settings: JobSettings,
    ) -> Job:
        """Submit a job under a new name, for any replica."""
        if self._resume and not self._generates and generates(operations):
            raise ConfigurationError(
                "a job in PostgreSQL that generates configurations needs a folder for them: open "
                "Jobs(…, credentials=FOLDER)"
            )
        given = operations if isinstance(operations, Plan) else tuple(operations)
        submitted = await distribute(
            given,
            f"{self._address.database}#{self._new_name()}",
            base_url=str(self._client.base_url),
            facts=facts,
            options=settings.options(rollout=rollout),
        )
        return await self.get(submitted.name)

    async def resume(self, job: str, **options: Any) -> Job:
        """Let the replicas continue a job, with options of its partitions' journals."""
        rows = await self._rows(job)
        record = rows.record
        if not rows.status.over:
            raise in_progress(record)
        facts = record.facts["run"]
        if facts["base_url"] != str(self._client.base_url):
            raise RunRefusedError(f"job {job} was started with the server {facts['base_url']}")
        token = self._client.fingerprint(bytes.fromhex(facts["salt"]))
        if record.token not in (None, token) and not options["accept_new_token"]:
            raise RunRefusedError(f"job {job} was started with another token")
        accept_wave = options["accept_wave"]
        # An abandoned request must not leave it half done.
        await asyncio.shield(unabandoned(self._control.resume(record, options, accept=accept_wave)))
        return await self.get(job)

    async def stop(self, job: str) -> Job:
        """Stop a job on all machines."""
        await self._rows(job)
        await self._control.stop(job, STOPPED_BY_REQUEST)
        return await self.get(job)

    async def get(self, job: str) -> Job:
        """Return the status of a job."""
        return (await self.watches.look(job, shared=False)).job

    async def latest(self, limit: int) -> list[str]:
        """Return the ids of the latest jobs, newest first."""
        return [record.name for record in await self._control.latest(limit)]

    def journal(self, job: str) -> str:
        """Return the name by which the journals of a job are read as one."""
        return f"{self._address.database}#{job}"

    def _new_reader(self, job: str) -> DatabaseReader:
        return DatabaseReader(self._address.database, job, self._worker.name)

    def _new_name(self) -> str:
        began = datetime.fromtimestamp(self._client.clock.wall(), UTC)
        return f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"

    async def _read(self, job: str) -> Seen:
        rows = await self._rows(job)
        look = self._reader(job).look
        return await asyncio.to_thread(look, rows, self._client.clock.monotonic())

    async def _rows(self, job: str) -> Rows:
        """Return the rows of a job, whose name need not be trusted.

        Raises:
            RunNotFoundError: there is no such job.
        """
        control = self._control
        try:
            Address.parse(self.journal(job))
        except ConfigurationError:
            raise RunNotFoundError(f"there is no job {quoted(shortened(job, 60))}") from None
        record = await control.job(job)
        if record is None:
            raise RunNotFoundError(f"there is no job {quoted(shortened(job, 60))}")
        return Rows(
            record=record,
            waves=await control.waves(job),
            partitions=await control.partitions(job),
            served=await control.served(),
        )
