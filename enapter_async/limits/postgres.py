"""A line of slots in one row of a PostgreSQL table, and the limiter that uses it.

The table is unlogged, so a reservation never waits for a disk. If a crash of the database or a
failover loses the table, the line starts again, and at most the slots of one horizon are granted
twice.
"""

import contextlib
from typing import Any, Final

import attrs

from enapter_async.clock import Clock
from enapter_async.errors import ConfigurationError, check_number
from enapter_async.limits.shared import HORIZON_S, Grant, SharedLimiter, SlotsAwayError

TABLE: Final = "enapter_fleet.slot"
CONNECT_S: Final = 5
"""How long a connection to the database may take, in seconds."""

CREATE_TABLE: Final = f"""
CREATE UNLOGGED TABLE IF NOT EXISTS {TABLE} (
    key text PRIMARY KEY,
    next_at float8 NOT NULL DEFAULT 0,
    paused_until float8 NOT NULL DEFAULT 0,
    number int NOT NULL DEFAULT 0,
    begins_in float8 NOT NULL DEFAULT 0,
    paused bool NOT NULL DEFAULT false
)
"""
_CREATE: Final = (
    f"SELECT pg_advisory_xact_lock(hashtext('{TABLE}'))",
    "CREATE SCHEMA IF NOT EXISTS enapter_fleet",
    CREATE_TABLE,
)
_BEGIN: Final = f"INSERT INTO {TABLE} (key) VALUES (%(key)s) ON CONFLICT DO NOTHING"
# Times are the database's own. They are read inside the locked row's update, so a reservation that
# waited for the row counts from the moment when it got the row.
_TAKE: Final = f"""
UPDATE {TABLE} AS s SET (next_at, number, begins_in, paused) = (
    SELECT CASE WHEN n > 0 THEN first + n * %(spacing)s ELSE s.next_at END,
           n,
           CASE WHEN n > 0 THEN first - now
                WHEN s.paused_until > now THEN s.paused_until - now
                ELSE first - now - %(horizon)s / 2 END,
           s.paused_until > now
    FROM (
        SELECT now, first, CASE WHEN s.paused_until > now THEN 0 ELSE greatest(0, least(
            %(wanted)s, floor((now + %(horizon)s - first) / %(spacing)s) + 1)) END::int AS n
        FROM (
            SELECT now, greatest(s.next_at, now) AS first
            FROM (SELECT extract(epoch FROM clock_timestamp())::float8 AS now) AS clock
        ) AS line
    ) AS granted
) WHERE key = %(key)s RETURNING number, begins_in, paused
"""
_PAUSE: Final = f"""
UPDATE {TABLE} SET paused_until = greatest(
    paused_until, extract(epoch FROM clock_timestamp())::float8 + %(seconds)s
) WHERE key = %(key)s
"""


def driver() -> Any:
    """Return the module psycopg.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - optional
    except ImportError:
        raise ConfigurationError(
            "a shared limit in PostgreSQL needs psycopg; install enapter-async[postgres]"
        ) from None
    return psycopg


@attrs.define(kw_only=True)
class PostgresSlots:
    """A line of slots in the row `key` of the table `enapter_fleet.slot`."""

    address: str
    key: str
    max_rate: float
    _connection: Any = None

    async def take(self, number: int) -> Grant:
        """Reserve at most `number` slots in one statement."""
        spacing = 1.0 / self.max_rate
        values = {"key": self.key, "wanted": number, "spacing": spacing, "horizon": HORIZON_S}
        row = await self._execute(_TAKE, values)
        if row is None:
            await self._execute(_BEGIN, values)
            row = await self._execute(_TAKE, values)
        if row is None:
            raise SlotsAwayError(f"the row {self.key!r} was removed repeatedly")
        granted, begins_in, paused = row
        return Grant(number=granted, begins_in=max(0.0, begins_in), spacing=spacing, paused=paused)

    async def pause(self, seconds: float) -> None:
        """Grant no slots for this many seconds of the database's clock."""
        await self._execute(_BEGIN, {"key": self.key})
        await self._execute(_PAUSE, {"key": self.key, "seconds": seconds})

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                await connection.close()

    async def _execute(self, sql: str, values: dict[str, Any]) -> Any:
        """Execute a statement and return its row, if any; the connection is opened as needed."""
        psycopg = driver()
        try:
            if self._connection is None:
                self._connection = await self._connected()
            cursor = await self._connection.execute(sql, values)
            return await cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            await self.close()
            raise SlotsAwayError(" ".join(str(error).split())) from None
        except BaseException:
            # A statement that was cut off may still be answered; close, or another statement would
            # get it.
            await self.close()
            raise

    async def _connected(self) -> Any:
        connection = await driver().AsyncConnection.connect(
            self.address,
            autocommit=True,
            connect_timeout=CONNECT_S,
            # A pool that assigns a connection to each transaction does not support prepared
            # statements.
            prepare_threshold=None,
            application_name="enapter-async limit",
        )
        try:
            cursor = await connection.execute("SELECT to_regclass(%s)", (TABLE,))
            row = await cursor.fetchone()
            if row is None or row[0] is None:
                async with connection.transaction():
                    for statement in _CREATE:
                        await connection.execute(statement)
        except BaseException:
            await connection.close()
            raise
        return connection


class PostgresLimiter(SharedLimiter):
    """A limiter for `Client(limiter=…)` that many processes share through PostgreSQL.

    ::

        async with PostgresLimiter("postgresql://…", key="production", max_rate=500) as limiter:
            async with Client.from_env(limiter=limiter) as client:
                ...

    All processes that name the same database and `key` together start at most `max_rate` requests
    per second. It needs the extra `postgres`. The table is created if it is missing, which requires
    the right to create tables. If processes declare different rates, each keeps the distance of its
    own rate after its requests.

    Raises:
        ConfigurationError: psycopg is not installed, or a value is invalid.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str,
        max_rate: float,
        max_in_flight: int = 100,
        clock: Clock | None = None,
    ) -> None:
        driver()
        if not address.startswith(("postgresql://", "postgres://")):
            raise ConfigurationError(f"{address!r} is not a PostgreSQL address: use postgresql://…")
        if not key:
            raise ConfigurationError(
                "key is empty; choose a name for the limit, such as that of the account"
            )
        check_number("max_rate", max_rate, above=True)
        slots = PostgresSlots(address=address.partition("#")[0], key=key, max_rate=max_rate)
        super().__init__(slots, max_in_flight=max_in_flight, clock=clock)
