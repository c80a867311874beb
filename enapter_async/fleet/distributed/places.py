"""The places for a job: a folder for one machine, or a database for many machines."""

import os
from pathlib import Path
from typing import ClassVar, Final

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.job_records import Control
from enapter_async.fleet.distributed.partition_lease import LEASE_S
from enapter_async.fleet.journal.job_database import JOB_FILE, SQLiteJobs, partition_file
from enapter_async.fleet.journal.merged import FolderStore
from enapter_async.fleet.journal.postgres.address import Address as PostgresAddress
from enapter_async.fleet.journal.postgres.address import is_address
from enapter_async.fleet.journal.postgres.jobs import PostgresJobs, partition_run
from enapter_async.fleet.journal.postgres.store import PostgresStore
from enapter_async.limits.limiter import AdaptiveLimiter
from enapter_async.limits.postgres import PostgresSlots
from enapter_async.limits.shared import SharedLimiter
from enapter_async.limits.sqlite import SQLiteSlots

Address = str | os.PathLike[str]
"""A folder, or `postgresql://…/database#NAME`."""

LIMIT_FILE: Final = "limit.db"


@attrs.frozen
class Folder(FolderStore):
    """A folder that holds one job, for the processes of one machine."""

    remote: ClassVar[bool] = False
    """Whether it may be temporarily unreachable."""

    @property
    def only(self) -> str:
        """The name of the only job to work on, or "" for any job."""
        return ""

    def checked_name(self, name: str | None) -> str:
        """Return the name of a new job."""
        return name or self.path.name

    async def control(self, worker: str = "", *, lease: float = LEASE_S) -> Control:
        """Open the job's control.

        Raises:
            RunNotFoundError: there is no job.
            RunRefusedError: an incompatible release created it.
        """
        return Control(SQLiteJobs.open(self.path / JOB_FILE), worker, lease)

    def partition(self, job: str, no: int) -> str:
        """Return the name of a partition's journal."""
        return str(partition_file(self.path, no))

    def job_store(self, job: str) -> FolderStore:
        """Return the store of a job."""
        return self

    def job_address(self, job: str) -> str:
        """Return the name by which the whole job is read as one journal."""
        return str(self.path)

    def limiter(self, key: str, max_rate: float, own: AdaptiveLimiter | None) -> SharedLimiter:
        """Return the limiter that all workers of the job share, within this worker's `own`."""
        slots = SQLiteSlots(path=self.path / LIMIT_FILE, max_rate=max_rate)
        return SharedLimiter(slots, own=own)


@attrs.frozen
class Database:
    """A database in PostgreSQL that holds any number of jobs, for workers on any machine."""

    address: PostgresAddress
    remote: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Its name in messages, without a password."""
        return self.address.name

    @property
    def only(self) -> str:
        """The name of the only job to work on; "" for every job."""
        return self.address.run

    def checked_name(self, name: str | None) -> str:
        """Return the name of a new job.

        Raises:
            ConfigurationError: no name is given, two are, or the name is invalid.
        """
        named = self.address.run
        if not (name or named):
            raise ConfigurationError(
                f"{self.name} contains no job name: write {self.name}#NAME, or pass name=…"
            )
        if name and named and name != named:
            raise ConfigurationError(f"the address names the job {named!r}, but name is {name!r}")
        return PostgresAddress.parse(self.job_address(name or named)).run

    async def control(self, worker: str = "", *, lease: float = LEASE_S) -> Control:
        """Return the control of the jobs; it connects to the database on first use."""
        return Control(PostgresJobs(self.address), worker, lease)

    def partition(self, job: str, no: int) -> str:
        """Return the name of a partition's journal."""
        return self.job_address(partition_run(job, no))

    def job_store(self, job: str) -> PostgresStore:
        """Return the store of a job."""
        return PostgresStore(attrs.evolve(self.address, run=job))

    def job_address(self, job: str) -> str:
        """Return the name by which the whole job is read as one journal."""
        return f"{self.address.database}#{job}"

    def limiter(self, key: str, max_rate: float, own: AdaptiveLimiter | None) -> SharedLimiter:
        """Return the limiter that all workers of the job share, within this worker's `own`."""
        slots = PostgresSlots(address=self.address.database, key=key, max_rate=max_rate)
        return SharedLimiter(slots, own=own)


Place = Folder | Database


def place_of(address: Address) -> Place:
    """Return the place that an address refers to.

    Raises:
        ConfigurationError: it is not a valid address.
    """
    text = os.fspath(address)
    if not text:
        raise ConfigurationError("the address of the job is empty; use a folder or a database")
    if is_address(text):
        return Database(PostgresAddress.parse(text, with_run=False))
    return Folder(Path(text).absolute())
