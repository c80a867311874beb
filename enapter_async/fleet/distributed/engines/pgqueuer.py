"""PgQueuer as an engine: a queue in PostgreSQL, which may be the database of the jobs."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.engine import Handler
from enapter_async.fleet.distributed.partitions import DEFAULT_QUEUE
from enapter_async.fleet.errors import JournalError
from enapter_async.fleet.journal.postgres.address import Address
from enapter_async.fleet.journal.postgres.connections import connect_async, driver, told

ENTRYPOINT: Final = "enapter-fleet "
"""PgQueuer's entry point for a queue is this prefix followed by the queue's name."""
HEARTBEAT_S: Final = 3.0
"""After how many seconds without a heartbeat a delivery passes to another worker."""
POLL_S: Final = 1.0
"""How often a worker polls the queue, also while all of its slots are taken. PgQueuer itself would
then do so ten times a second, although a slot that becomes free wakes it.
"""
CLOSE_S: Final = 10.0
LEAST_SLOTS: Final = 2
"""PgQueuer hands out one delivery at a time only to workers with at least two slots."""


class PgQueuerEngine:
    """Delivers partitions by PgQueuer (extra `pgqueuer`).

    `address` is the database of the queue, such as that of the jobs; `prepare` creates its tables.
    It delivers to named queues only: a worker that names none takes from `default`.

    Raises:
        ConfigurationError: PgQueuer is not installed, or the address is invalid.
    """

    def __init__(self, address: str, *, heartbeat: float = HEARTBEAT_S) -> None:
        self._pgqueuer = _module()
        self._address = Address.parse(address.partition("#")[0], with_run=False)
        self._heartbeat = timedelta(seconds=heartbeat)
        self._connection: Any = None
        self._queries: Any = None
        self._connecting = asyncio.Lock()

    async def prepare(self) -> None:
        """Create PgQueuer's tables, if they are missing.

        Raises:
            JournalError: the database cannot be reached, or does not allow it.
        """
        async with self._connected() as connection:
            queries = self._queries_over(connection)
            if not await queries.table_has_column("pgqueuer", "id"):
                await queries.install()

    async def submit(self, key: str, queue: str) -> None:
        """Queue a key, unless it is queued or being worked on."""
        try:
            async with self._connecting:
                if self._connection is None:
                    self._connection = await connect_async(self._address)
                    self._queries = self._queries_over(self._connection)
            await self._queries.enqueue(
                f"{ENTRYPOINT}{queue}", key.encode(), dedupe_key=key, on_conflict="skip"
            )
        except (driver().Error, OSError) as error:
            await self.close()
            raise _unreachable(self._address, error) from None

    async def work(self, handler: Handler, queues: Sequence[str] | None, slots: int) -> None:
        """Pass keys to the handler until cancelled."""
        async with self._connected() as connection, self._connected() as listening:
            own = self._pgqueuer.PsycopgDriver(connection)
            # A connection that waits for a notification cannot run queries meanwhile.
            listener = _Listener(listening)
            own.add_listener = listener.add
            queuer = self._pgqueuer.PgQueuer(connection=own)
            for queue in queues or (DEFAULT_QUEUE,):
                queuer.entrypoint(f"{ENTRYPOINT}{queue}")(_delivering(handler))
            try:
                await self._run(queuer.qm, slots)
            finally:
                listener.close()

    async def _run(self, manager: Any, slots: int) -> None:
        """Run the queue's manager, without PgQueuer's scheduler, until cancelled."""
        manager.min_dequeue_poll_interval = timedelta(seconds=POLL_S)
        running = asyncio.create_task(
            manager.run(
                dequeue_timeout=timedelta(seconds=POLL_S),
                batch_size=1,
                max_concurrent_tasks=max(LEAST_SLOTS, slots),
                heartbeat_timeout=self._heartbeat,
            )
        )
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            # Deliveries in progress finish first, and are not repeated.
            manager.shutdown.set()
            await asyncio.wait({running}, timeout=CLOSE_S)
            running.cancel()
            await asyncio.wait({running})
            raise

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        connection: Any = None
        try:
            connection = await connect_async(self._address, application="enapter-async queue")
            yield connection
        except (driver().Error, OSError) as error:
            raise _unreachable(self._address, error) from None
        finally:
            if connection is not None:
                await connection.close()

    def _queries_over(self, connection: Any) -> Any:
        return self._pgqueuer.Queries(self._pgqueuer.PsycopgDriver(connection))

    async def close(self) -> None:
        """Close the connection that queues keys."""
        connection, self._connection, self._queries = self._connection, None, None
        if connection is not None:
            await connection.close()


class _Listener:
    """Passes on notifications; psycopg, when it waits for them, wakes ten times a second."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._callbacks: dict[str, list[Callable[[str], object]]] = {}
        # A copy, because psycopg registers the connection's own socket, and removes it again.
        self._socket = os.dup(connection.fileno())
        self._loop = asyncio.get_running_loop()

    async def add(self, channel: str, callback: Callable[[str], object]) -> None:
        """Call a function with each notification of a channel."""
        identifier = driver().sql.Identifier(channel)
        await self._connection.execute(driver().sql.SQL("LISTEN {}").format(identifier))
        self._callbacks.setdefault(channel, []).append(callback)
        self._loop.add_reader(self._socket, self._receive)

    def _receive(self) -> None:
        pgconn = self._connection.pgconn
        try:
            pgconn.consume_input()
        except driver().Error:  # the connection is lost; polling continues
            self._loop.remove_reader(self._socket)
            return
        while (note := pgconn.notifies()) is not None:
            for callback in tuple(self._callbacks.get(note.relname.decode(), ())):
                callback(note.extra.decode())

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._socket)
        os.close(self._socket)


def _delivering(handler: Handler) -> Any:
    async def deliver(job: Any) -> None:
        await handler(job.payload.decode())

    return deliver


def _unreachable(address: Address, error: BaseException) -> JournalError:
    return JournalError(f"the queue in {address.server} cannot be reached: {told(error)}")


def _module() -> Any:
    try:
        import pgqueuer  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigurationError(
            "PgQueuer is not installed: install it with "
            f"`pip install 'enapter-async[pgqueuer]'` ({error})"
        ) from None
    return pgqueuer
