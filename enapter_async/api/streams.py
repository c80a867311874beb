"""Streams: one websocket after another as one `async for`, whose gaps are items.

A task reads the socket into a buffer of limited size, so that a slow reader costs no memory and no
connection. When a connection is lost, another is opened after a growing random delay, and what was
missed is read from the API's list, if there is one; anything else that is missing is reported as a
`Gap`.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import aiohttp

from enapter_async._http.json_text import RepeatedNameError, decode
from enapter_async._http.message import Failure
from enapter_async._http.retry import backoff
from enapter_async._http.socket import Socket, opened_at
from enapter_async._http.streaming import LOST
from enapter_async.api.executor import Executor
from enapter_async.converter import StructureError, structure
from enapter_async.errors import EnapterError, check_number
from enapter_async.models.logs import Gap
from enapter_async.streaming import Streamed

T = TypeVar("T")

BUFFER: Final = 1000
"""How many items may wait for a slow reader; the rest are dropped, and a `Gap` reports it."""
REMEMBERED: Final = 10_000
"""How many items are remembered, so that none is yielded both from a socket and from a list."""

GAPS: Final = 16
"""How many gaps may wait besides."""

OVERLAP: Final = timedelta(seconds=5)
"""How far the list is read beyond the time at which the socket was accepted."""

Fill = Callable[[datetime, datetime | None], AsyncIterator[T]]
"""Lists the items since a time and, unless it is None, until another one, oldest first."""

logger = logging.getLogger("enapter_async")


async def follow(
    executor: Executor,
    make: Callable[[], Streamed[T]],
    *,
    buffer: int = BUFFER,
    fill: Fill[T] | None = None,
    complete: bool = False,
) -> AsyncGenerator[T | Gap, None]:
    """Yield the items of a stream, and its gaps, until the client is closed.

    `fill` lists what was missed while there was no connection; `complete` says that the list has
    everything that the stream has. A refusal before a connection is made (401, 403, 404 and others
    that would be repeated) is raised; a lost connection is not.
    """
    check_number("buffer", buffer, least=1)
    feed = _Feed(executor, make(), buffer=buffer, fill=fill, complete=complete)
    task = asyncio.create_task(feed.run())
    try:
        while True:
            for item in feed.taken():
                yield item
            if not feed.waiting and task.done():
                break
            await feed.news(task)
        task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Feed(Generic[T]):
    """Reads one connection after another into a buffer."""

    def __init__(
        self,
        executor: Executor,
        operation: Streamed[T],
        *,
        buffer: int,
        fill: Fill[T] | None,
        complete: bool,
    ) -> None:
        self._clock = executor.clock
        self._retry = executor.retry
        self._sockets = executor.sockets
        self._operation = operation
        self._fill = fill
        self._complete = complete
        self._most = buffer
        self._items: deque[T | Gap] = deque()
        self._dropped = 0
        self._dropped_since: datetime | None = None
        self._held: list[T] | None = None
        self._recent: deque[T] = deque(maxlen=REMEMBERED)
        self._filled: Counter[T] = Counter()
        self._known: datetime | None = None
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    # --- the reader's side ---

    @property
    def waiting(self) -> bool:
        """Whether anything is there to be taken."""
        return bool(self._items or self._dropped)

    def taken(self) -> "list[T | Gap]":
        """Return and forget what has arrived; what was dropped comes last, as a gap."""
        taken = list(self._items)
        self._items.clear()
        taken += self._told_drops()
        self._taken.set()
        return taken

    async def news(self, task: "asyncio.Task[None]") -> None:
        """Wait until something arrives, or the task ends."""
        if self.waiting:
            return
        self._arrived.clear()
        task.add_done_callback(self._wake)
        try:
            await self._arrived.wait()
        finally:
            task.remove_done_callback(self._wake)

    def _wake(self, _: object) -> None:
        self._arrived.set()

    # --- the connection's side ---

    async def run(self) -> None:
        """Connect again and again until the client is closed, or a refusal is final."""
        failures = 0
        connected = told = False
        while not self._sockets.are_closed():
            opened = await self._sockets.open(self._operation)
            if isinstance(opened, Failure):
                if self._sockets.are_closed():
                    return
                if opened.retries == 0:
                    raise opened.error
                last = opened
                if not told:
                    self._tell_outage(opened.error)
                told = True
            else:
                told = False
                heard = await self._read(opened, again=connected)
                connected = True
                failures = 0 if heard else failures
                last = LOST
            if not self._sockets.are_closed():
                failures += 1
                seconds = backoff(self._retry, last, failures, self._clock.uniform)
                logger.warning(
                    "a stream of %s is not connected (%s); the next attempt is in %.1f s",
                    self._operation.target().name or self._operation.target().word,
                    last.error,
                    seconds,
                )
                await self._sockets.pause(self._clock.sleep(seconds))

    def _tell_outage(self, error: EnapterError) -> None:
        """Report once that an attempt to connect failed; it may take long until one succeeds."""
        reason = f"no connection could be made: {error}; further attempts follow"
        self._put(Gap(reason=reason, since=self._known, fillable=self._fill is not None))

    async def _read(self, socket: Socket, *, again: bool) -> bool:
        """Read a connection to its end; return whether a frame arrived."""
        told = opened_at(socket)
        now = self._now() if told is None else datetime.fromtimestamp(told, UTC)
        filling: asyncio.Task[None] | None = None
        heard = False
        if again:
            since = self._known or now
            if self._fill is None:
                self._put(Gap(reason=_NO_CONNECTION, since=since, until=now))
            else:
                self._held = []
                end = None if told is None else now + OVERLAP
                missed = self._fill(since, end)
                filling = asyncio.create_task(self._fill_in(missed, since, now))
        elif self._known is None:
            self._known = now
        try:
            async for message in socket:
                if len(self._items) >= self._most:
                    await asyncio.sleep(0)  # let the reader take it: a burst is no reason to drop
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    heard = True
                    self._take(message.data)
        finally:
            if filling is not None:
                filling.cancel()
                await asyncio.gather(filling, return_exceptions=True)
                self._held = None  # the next connection lists them again
            await self._sockets.end(socket)
        return heard

    def _take(self, text: str | bytes) -> None:
        """Take one frame; one that cannot be read is reported as a gap."""
        kind: Any = self._operation.answer.type
        try:
            frame = decode(text.encode() if isinstance(text, str) else text)
            if not isinstance(frame, dict):
                raise StructureError("", "expected an object")
            item: T = structure(self._operation.flat(frame), kind)
        except (ValueError, RecursionError) as error:
            known = isinstance(error, StructureError | RepeatedNameError)
            why = str(error) if known else "it is not JSON"
            now = self._now()
            reason = f"a frame could not be read: {why}"
            self._put(Gap(reason=reason, since=now, until=now, dropped=1))
            return
        if self._held is None:
            self._arrive(item)
        elif len(self._held) < self._most:
            self._held.append(item)
        else:
            self._drop()

    async def _fill_in(self, missed: AsyncIterator[T], since: datetime, until: datetime) -> None:
        """Read what was missed from the list, then continue with what arrived meanwhile."""
        if not self._complete:
            reason = f"{_NO_CONNECTION}; temporary logs are not kept"
            self._put(Gap(reason=reason, since=since, until=until))
        known = Counter(self._recent)
        self._filled.clear()
        try:
            async for item in missed:
                if known[item] > 0:
                    known[item] -= 1
                    continue
                while len(self._items) >= self._most:
                    self._taken.clear()
                    await self._taken.wait()
                self._remember(item)
                self._put(item)
                if len(self._filled) < REMEMBERED:
                    self._filled[item] += 1
        except EnapterError as error:
            reason = f"{_NO_CONNECTION}, and what was missed could not be listed: {error}"
            self._put(Gap(reason=reason, since=self._known, until=until, fillable=True))
        held, self._held = self._held or [], None
        for item in held:
            self._arrive(item)

    def _arrive(self, item: T) -> None:
        """Yield an item, unless a list has shown it already."""
        if self._filled and self._filled.get(item, 0) > 0:
            self._filled[item] -= 1
            return
        self._remember(item)
        self._put(item)

    def _remember(self, item: Any) -> None:
        moment = getattr(item, "received_at", None) or getattr(item, "timestamp", None)
        self._known = moment if isinstance(moment, datetime) else self._now()
        if self._fill is not None:
            self._recent.append(item)

    def _put(self, item: T | Gap) -> None:
        # Gaps have some room of their own, but they must not fill the memory either.
        most = self._most + GAPS if isinstance(item, Gap) else self._most
        if len(self._items) >= most:
            self._drop()
            return
        self._items.extend(self._told_drops())
        self._items.append(item)
        self._arrived.set()

    def _drop(self) -> None:
        if not self._dropped:
            self._dropped_since = self._now()
        self._dropped += 1
        self._arrived.set()

    def _told_drops(self) -> list[Gap]:
        """Return the gap of what was dropped, if anything was, and forget it."""
        dropped, self._dropped = self._dropped, 0
        if not dropped:
            return []
        return [
            Gap(
                reason="the stream was read too slowly",
                since=self._dropped_since,
                until=self._now(),
                fillable=self._fill is not None,
                dropped=dropped,
            )
        ]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)


_NO_CONNECTION: Final = "the connection was lost for a while"
