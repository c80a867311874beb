"""A run in PostgreSQL held by one session: its lease, and the epoch that every write checks.

The run's row has an epoch, which each session raises when it takes the run. Every statement that
writes checks this epoch, so a session that was taken over can write nothing more, however long it
was delayed. The lease only decides when another session may take the run: once the lease has
expired by the database's clock, or was released.

If the connection is lost, the session raises its own epoch over a new connection. Late writes of
the old connection are then refused, and the session can check whether a write in doubt was made.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Self, TypeVar

from enapter_async.fleet.errors import (
    JournalError,
    RunBusyError,
    RunRefusedError,
    TakenOverError,
    busy,
)
from enapter_async.fleet.journal.lease import RENEWALS, HoldTerms, SessionLease, boottime
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import (
    connect_async,
    driver,
    told,
    within,
)
from enapter_async.fleet.journal.postgres.reading import copied
from enapter_async.fleet.journal.postgres.rows import (
    COPY_FACTS,
    COPY_ITEMS,
    fact_lines,
    group_statement,
    item_blocks,
)
from enapter_async.fleet.journal.postgres.schema import SCHEMA, refuse_version
from enapter_async.fleet.journal.postgres.statements import Statements, read_version
from enapter_async.fleet.journal.postgres.writer import PostgresWriter
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import ItemRow
from enapter_async.fleet.journal.row_groups import RowGroup, to_its_end

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_GIVE_BACK_SECONDS: Final = 2.0

_RUN: Final = f"{SCHEMA}.run"
_UNTIL: Final = "clock_timestamp() + make_interval(secs => %s)"
# A replica that takes over starts a new timeline: the first digits of the current log's name.
_TIMELINE: Final = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"
_FAILED_OVER: Final = "failed_over = failed_over OR ({} AND timeline <> %s), timeline = %s"
_TAKE: Final = (
    f"UPDATE {_RUN} SET epoch = epoch + 1, holder = %s, stop = NULL, lease_until = {_UNTIL}, "
    f"{_FAILED_OVER.format('lease_until IS NOT NULL')} "
    "WHERE name = %s AND (lease_until IS NULL OR lease_until < clock_timestamp()) "
    "AND (stop IS NULL OR NOT %s) "
    "RETURNING id, epoch, failed_over, current_setting('synchronous_commit') = 'off'"
)
_CREATE: Final = f"INSERT INTO {_RUN} (name) VALUES (%s) ON CONFLICT DO NOTHING"
_HOLDER: Final = f"SELECT holder, stop FROM {_RUN} WHERE name = %s"
_LAST_EVENT: Final = f"SELECT coalesce(max(id), 0) FROM {SCHEMA}.event WHERE run = %s"
_RETAKE: Final = (
    f"UPDATE {_RUN} SET epoch = epoch + 1, lease_until = {_UNTIL}, {_FAILED_OVER.format('true')} "
    "WHERE id = %s AND holder = %s RETURNING epoch, failed_over"
)
_RENEW: Final = (
    f"UPDATE {_RUN} SET lease_until = {_UNTIL} WHERE id = %s AND epoch = %s RETURNING stop"
)
_GIVE_BACK: Final = (
    f"UPDATE {_RUN} SET lease_until = NULL, failed_over = %s WHERE id = %s AND epoch = %s"
)
_REMOVE_UNBEGUN: Final = (
    f"DELETE FROM {_RUN} WHERE id = %s AND epoch = %s "
    f"AND NOT EXISTS (SELECT FROM {SCHEMA}.fact WHERE run = %s)"
)


def holder_name() -> str:
    """Return a unique name of this session, for messages while it holds a run."""
    return f"{socket.gethostname()}, process {os.getpid()} ({secrets.token_hex(4)})"


def _unprepared() -> tuple[type[Exception], ...]:
    """Return the errors about a statement that another session of the server has prepared."""
    errors = driver().errors
    return (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)


class PostgresHold:
    """A run held by one session, with the connection over which all of it is written."""

    def __init__(self, address: Address, terms: HoldTerms, now: Callable[[], float]) -> None:
        self.name = address.name
        self.journal: Journal
        self.lease = SessionLease(terms.lease, now)
        self.failed_over = False
        """Whether a replica took over while a session worked on the run.

        The replica may not have received the last intents. The session that has handled this clears
        the flag.
        """
        self._address = address
        self._patience = terms.commit_timeout
        self._holder = holder_name()
        self._connection: Any = None
        self._statements: Statements
        self._prepares = True
        self._durable = False
        self._run = 0
        self._epoch = 0
        self._last_event = 0
        self._blocks = 0
        self._turn = asyncio.Lock()
        self._closing = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    async def take(
        cls,
        address: Address,
        terms: HoldTerms = HoldTerms(),
        *,
        now: Callable[[], float] = boottime,
    ) -> Self:
        """Take a run whose lease has expired or was released, or create it.

        Raises:
            RunBusyError: another session holds it.
            RunRefusedError: the database holds journals of a different version; or the run was
                asked to stop, with `heed_stop`.
            ConfigurationError: the address cannot be used.
            JournalError: the server cannot be reached, or refuses the connection.
        """
        hold = cls(address, terms, now)
        try:
            await hold._connect()
            await hold._step(lambda: hold._take(heed_stop=terms.heed_stop))
            hold.journal = await hold._step(hold._copy)
        except BaseException as error:
            await hold._give_back()
            if isinstance(error, (driver().Error, TimeoutError)):
                raise JournalError(f"{hold.name} cannot be held: {told(error)}") from None
            raise
        hold._keeper = asyncio.get_running_loop().create_task(hold._keep())
        return hold

    async def _take(self, *, heed_stop: bool) -> None:
        refuse_version(await read_version(self._statements), self._address.server)
        name = self._address.run
        await self._statements.one(_CREATE, name)
        began = self.lease.now()
        timeline = await self._timeline()
        values = (self._holder, self.lease.seconds, timeline, timeline, name, heed_stop)
        found = await self._statements.one(_TAKE, *values)
        if found is None:
            holder, stop = await self._statements.one(_HOLDER, name) or (None, None)
            if heed_stop and stop is not None:
                raise RunRefusedError(f"{self.name} was asked to stop: {stop}")
            whose = "" if holder is None else f" ({holder})"
            raise RunBusyError(busy(f"{self.name}{whose}"))
        self._run, self._epoch, self.failed_over, self._durable = found
        self.lease.renewed(began)
        self._last_event = await self._read_last_event()

    async def _read_last_event(self) -> int:
        found = await self._statements.one(_LAST_EVENT, self._run)
        return 0 if found is None else int(found[0])

    async def _copy(self) -> Journal:
        def count() -> None:
            self._blocks += 1

        return await copied(self._connection, self._run, self.name, on_page=count)

    async def begin(self, facts: Mapping[str, str], items: Iterable[ItemRow] = ()) -> None:
        """Write a new run, all or nothing, without blocking the event loop.

        Raises:
            JournalError: it was not written.
        """
        async with self._turn:
            try:
                await self._step(lambda: self._begin(facts, items))
            except (driver().Error, TimeoutError) as error:
                raise self._fail(f"cannot be written: {told(error)}") from None

    async def _begin(self, facts: Mapping[str, str], items: Iterable[ItemRow]) -> None:
        async with self._connection.transaction():
            # Its row stays locked until the end, so nobody can take the run meanwhile.
            await self._renew()
            async with self._connection.cursor().copy(COPY_ITEMS) as copy:
                for block in item_blocks(self._run, items):
                    await copy.write(block)
                    self._blocks += 1
            async with self._connection.cursor().copy(COPY_FACTS) as copy:
                await copy.write(fact_lines(self._run, facts))
            await self._renew()

    async def put(self, facts: Mapping[str, str]) -> None:
        """Write facts about the run, replacing those of the same name.

        Raises:
            JournalError: they were not written.
        """
        await self.write(RowGroup(facts=dict(facts)))

    def writer(self, on_failure: Callable[[JournalError], None]) -> PostgresWriter:
        """Return the writer of this session; `on_failure` is called once, if it fails."""
        writer = PostgresWriter(self.write, on_failure)
        self.lease.watch_failure(writer.fail)
        return writer

    async def write(self, group: RowGroup) -> None:
        """Write a group of rows, once.

        Raises:
            JournalError: it was not written, or this is unknown; nothing more is written.
        """

        async def write() -> None:
            statement, values = group_statement(
                self._run, self._epoch, group, durable=self._durable
            )
            found = await self._statements.one(statement, *values)
            if found is None or not found[0]:
                raise self._lost()
            self._last_event = found[1] or self._last_event

        async def is_written() -> bool:
            before, self._last_event = self._last_event, await self._read_last_event()
            return self._last_event > before

        await self._persist(write, is_written)

    async def _persist(
        self, step: Callable[[], Awaitable[None]], is_done: Callable[[], Awaitable[bool]]
    ) -> None:
        """Repeat a step, over a new connection if necessary, until it is done or time runs out."""
        psycopg = driver()
        loop = asyncio.get_running_loop()
        async with self._turn:
            until, pause, in_doubt = loop.time() + self._patience, _FIRST_PAUSE, False
            while True:
                self.lease.check()
                try:
                    if self._connection is None:
                        await self._reconnect(until)
                        if in_doubt and await self._step(is_done, until):
                            return None
                    in_doubt = True
                    return await self._step(step, until)
                except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
                    await self._disconnect()
                    if loop.time() + pause > until:
                        raise self._fail(f"cannot be written: {told(error)}") from None
                except _unprepared() as error:
                    # A pooler is in between after all.
                    await self._disconnect()
                    if not self._prepares:
                        raise self._fail(f"cannot be written: {told(error)}") from None
                    self._prepares = False
                except psycopg.Error as error:
                    raise self._fail(f"cannot be written: {told(error)}") from None
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _reconnect(self, until: float) -> None:
        """Connect again and raise the epoch, so the old connection can no longer write."""
        try:
            async with asyncio.timeout_at(until):
                await self._connect()
        except JournalError as error:
            raise TimeoutError(str(error)) from None
        except TimeoutError:
            raise TimeoutError(f"no server answers within {self._patience:g} s") from None

        async def retake() -> None:
            began = self.lease.now()
            timeline = await self._timeline()
            values = (self.lease.seconds, timeline, timeline, self._run, self._holder)
            found = await self._statements.one(_RETAKE, *values)
            if found is None:
                raise self._lost()
            self._epoch, self.failed_over = found
            self.lease.renewed(began)

        await self._step(retake, until)

    # The lease.

    async def _keep(self) -> None:
        """Renew the lease; the renewal also returns a request to stop, if any."""

        async def never() -> bool:
            return False

        while self.lease.failure is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self.lease.seconds / RENEWALS)
                return
            with contextlib.suppress(JournalError):  # the watcher of the lease was notified
                await self._persist(self._renew, never)

    async def _renew(self) -> None:
        began = self.lease.now()
        found = await self._statements.one(_RENEW, self.lease.seconds, self._run, self._epoch)
        if found is None:
            raise self._lost()
        self.lease.renewed(began, found[0])

    def _lost(self) -> JournalError:
        return self._fail("was taken over by another session", TakenOverError)

    def _fail(self, what: str, kind: type[JournalError] = JournalError) -> JournalError:
        self.lease.fail(kind(f"the journal {self.name} {what}"))
        return kind(str(self.lease.failure))

    # The connection.

    async def release(self) -> None:
        """Return the run, so that others can take it at once; safe to repeat."""
        await to_its_end(self._release())

    async def _release(self) -> None:
        self._closing.set()
        if self._keeper is not None:
            await asyncio.wait({self._keeper})
        async with self._turn:
            await self._give_back()
            self.journal.close()

    async def _give_back(self) -> None:
        async def give_back() -> None:
            mine = (self._run, self._epoch)
            await self._statements.one(_REMOVE_UNBEGUN, *mine, self._run)
            await self._statements.one(_GIVE_BACK, self.failed_over, *mine)

        if self._connection is not None and self._run and self.lease.failure is None:
            # If this fails, others wait until the lease expires.
            with contextlib.suppress(driver().Error, TimeoutError):
                await within(self._connection, _GIVE_BACK_SECONDS, give_back)
        await self._disconnect()

    async def _connect(self) -> None:
        self._connection = await connect_async(self._address, prepares=self._prepares)
        self._statements = Statements(self._connection)

    async def _step(self, step: Callable[[], Awaitable[T]], until: float | None = None) -> T:
        seconds = self._patience
        if until is not None:
            # Leave half of the time for another attempt, perhaps at another host.
            seconds = min(until - asyncio.get_running_loop().time(), self._patience / 2)
        return await within(self._connection, seconds, step, progress=lambda: self._blocks)

    async def _timeline(self) -> str | None:
        """Return the server's timeline, or None if the server does not report it."""
        try:
            found = await self._statements.one(_TIMELINE)
        except (driver().errors.FeatureNotSupported, driver().errors.ProgrammingError):
            return None
        return None if found is None else str(found[0])

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._statements.close()
            await connection.close()
