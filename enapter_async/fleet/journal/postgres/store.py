"""The store of a run in PostgreSQL, or of a job, whose journals are read as one."""

import contextlib
from collections.abc import Iterator
from typing import Any

import attrs

from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.journal.job_database import STOP, Row
from enapter_async.fleet.journal.lease import HoldTerms
from enapter_async.fleet.journal.merged import ReadPartition, merged
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import reporting
from enapter_async.fleet.journal.postgres.hold import PostgresHold
from enapter_async.fleet.journal.postgres.jobs import partition_run, rows_of
from enapter_async.fleet.journal.postgres.reading import PostgresJournal
from enapter_async.fleet.journal.postgres.schema import connected, opened
from enapter_async.fleet.journal.reading import Journal


@attrs.frozen
class PostgresStore:
    """The place of one run in PostgreSQL, or of a job of that name."""

    address: Address

    @property
    def name(self) -> str:
        """The address, without a password."""
        return self.address.name

    def exists(self) -> bool:
        """Return whether there is a job, or a run was started there. Blocking."""
        return bool(
            self._rows(
                "SELECT 1 FROM {p}run AS run WHERE name = :job"
                " AND EXISTS (SELECT FROM {p}fact AS fact WHERE fact.run = run.id)"
                " UNION ALL SELECT 1 FROM {p}job WHERE name = :job"
            )
        )

    def is_held(self) -> bool:
        """Return whether a session is working on the run, or on part of the job. Blocking."""
        return bool(
            self._rows(
                "SELECT 1 FROM {p}run WHERE name = :job AND lease_until > clock_timestamp()"
                " UNION ALL SELECT 1 FROM {p}part WHERE job = :job AND owned_until >= {now} LIMIT 1"
            )
        )

    def read(self) -> Journal:
        """Open the run for reading only, or copy the journals of the job into one. Blocking."""
        with contextlib.ExitStack() as exits:
            connection = connected(self.address)
            exits.callback(connection.close)
            try:
                journal = PostgresJournal.over(connection, self.address)
            except RunRefusedError:
                return self._merged(connection)
            exits.pop_all()  # the journal closes its connection
            return journal

    def _merged(self, connection: Any) -> Journal:
        with reporting(f"{self.name} cannot be read"):
            job, parts, notes = (
                rows_of(connection, f"SELECT * FROM {{p}}{each}", job=self.address.run)
                for each in (
                    "job WHERE name = :job",
                    "part WHERE job = :job ORDER BY no",
                    "note WHERE job = :job ORDER BY at",
                )
            )
        if not job:
            raise self._not_there()
        return merged(self.name, job[0], parts, notes, self._partitions_over(connection))

    @contextlib.contextmanager
    def partitions(self) -> Iterator[ReadPartition]:
        """Let the journals of the job's partitions be read."""
        with opened(self.address) as connection:
            yield self._partitions_over(connection)

    def _partitions_over(self, connection: Any) -> ReadPartition:
        # One connection for all of them: opening one takes longer than reading a partition.
        @contextlib.contextmanager
        def read(no: int) -> Iterator[Journal]:
            run = partition_run(self.address.run, no)
            yield PostgresJournal.over(connection, attrs.evolve(self.address, run=run))

        return read

    async def hold(self, terms: HoldTerms = HoldTerms()) -> PostgresHold:
        """Take the run, or create it."""
        return await PostgresHold.take(self.address, terms)

    def request_stop(self, reason: str) -> None:
        """Ask the sessions of the run or the job to start nothing more. Blocking; safe to repeat.

        Raises:
            RunRefusedError: there is no such run or job.
        """
        if self._rows("UPDATE {p}run SET stop = :why WHERE name = :job RETURNING 1", why=reason):
            return
        if not self._rows("SELECT 1 FROM {p}job WHERE name = :job"):
            raise self._not_there()
        self._rows(STOP, why=reason)

    def _not_there(self) -> RunRefusedError:
        return RunRefusedError(f"there is no run {self.address.run!r} in {self.address.server}")

    def _rows(self, sql: str, **values: Any) -> list[Row]:
        with opened(self.address) as connection:
            return rows_of(connection, sql, job=self.address.run, **values)
