"""The store of a run in PostgreSQL."""

from typing import Any

import attrs

from enapter_async.fleet.errors import JournalError, RunRefusedError
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import bounded, connect, driver, told
from enapter_async.fleet.journal.postgres.hold import PostgresHold
from enapter_async.fleet.journal.postgres.reading import PostgresJournal
from enapter_async.fleet.journal.postgres.schema import SCHEMA, check_version
from enapter_async.fleet.journal.store import HoldTerms


@attrs.frozen
class PostgresStore:
    """The place of one run in PostgreSQL."""

    address: Address

    @property
    def name(self) -> str:
        """The address, without a password."""
        return self.address.name

    def exists(self) -> bool:
        """Return whether a run was started there. Blocking."""
        begun = f"EXISTS (SELECT FROM {SCHEMA}.fact WHERE fact.run = run.id)"
        return bool(self._ask(f"SELECT 1 FROM {SCHEMA}.run WHERE name = %s AND {begun}"))

    def is_held(self) -> bool:
        """Return whether a session is working on the run; changes nothing. Blocking."""
        held = "lease_until > clock_timestamp()"
        return bool(self._ask(f"SELECT 1 FROM {SCHEMA}.run WHERE name = %s AND {held}"))

    def read(self) -> PostgresJournal:
        """Open the run for reading only, even while a session writes to it. Blocking."""
        return PostgresJournal.open(self.address)

    async def hold(self, terms: HoldTerms = HoldTerms()) -> PostgresHold:
        """Take the run, or create it."""
        return await PostgresHold.take(self.address, terms)

    def request_stop(self, reason: str) -> None:
        """Ask the session that works on the run to start nothing more. Blocking; safe to repeat.

        Raises:
            RunRefusedError: there is no such run.
        """
        sql = f"UPDATE {SCHEMA}.run SET stop = %s WHERE name = %s RETURNING 1"
        if not self._ask(sql, reason):
            raise RunRefusedError(f"there is no run {self.address.run!r} in {self.address.server}")

    def _ask(self, sql: str, *values: Any) -> Any:
        connection = connect(self.address)
        try:
            with bounded(connection):
                check_version(connection, self.address.server)
                return connection.execute(sql, (*values, self.address.run)).fetchone()
        except driver().Error as error:
            raise JournalError(f"{self.name} cannot be read: {told(error)}") from None
        finally:
            connection.close()
