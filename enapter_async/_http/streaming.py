"""Answers that are read as they arrive.

Opening a stream is a call like any other, with its retries, hooks and permits, but over a transport
that stops at the first items of the answer. From then on nothing is retried. Streams go through a
session even if the client's calls manage their own connections, and each takes a place of its own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeVar

import aiohttp
import attrs

from enapter_async._http.media import is_of_media, unended
from enapter_async._http.message import Failure, Message, OpenedReply, Reply
from enapter_async._http.pipeline import Pipeline
from enapter_async._http.response import Response, respond
from enapter_async._http.session import SessionTransport
from enapter_async._http.transport import Timeouts, torn
from enapter_async._http.unpacking import unpacker_for
from enapter_async._http.wire import Wire
from enapter_async.errors import (
    Certainty,
    ConfigurationError,
    DeadlineExceededError,
    StreamBrokenError,
    TransportError,
)
from enapter_async.streaming import Reader, StreamedOperation

T = TypeVar("T")

LOST: Final = Failure(
    certainty=Certainty.NOT_SENT, error=TransportError("the connection was lost"), kind="Lost"
)
"""The errors after which a stream may be opened again."""
LARGEST_PART: Final = 16 * 1024
"""How many bytes are read at once: the values of a larger part cost more memory, and time."""


class Stream(Generic[T]):
    """One open answer; `reader` is what reads it, and knows for example its columns.

    `response` has its status, headers and request id, as `Client.send` returns them, and no result.
    """

    response: Response[None]

    def __init__(self, response: aiohttp.ClientResponse, reader: Reader[T], seconds: float) -> None:
        self.reader: Any = reader
        self._read: Reader[T] = reader
        self._response = response
        self._seconds = seconds
        self._unpacker = unpacker_for(response.headers)
        self._first: Sequence[T] = ()
        self._at_end = False

    @property
    def has_items(self) -> bool:
        """Whether items have arrived that were not yielded yet."""
        return bool(self._first)

    async def start(self) -> None:
        """Read until the first items, or the end if there are none."""
        self._first = await self._next()

    async def batches(self) -> AsyncIterator[Sequence[T]]:
        """Yield the items as they arrive, several at once.

        Raises:
            StreamBrokenError: the rest of the answer is lost or cannot be used.
        """
        items, self._first = self._first, ()
        while items:
            yield items
            try:
                items = await self._next()
            except TimeoutError:
                reason = f"nothing arrived for {self._seconds:.3g} s"
            except ValueError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the rest is lost
                reason = f"the connection was lost ({type(error).__name__})"
            else:
                continue
            self.close()
            # Raised here, because aiohttp's errors hold the request's headers.
            raise StreamBrokenError(f"the stream broke: {reason}")

    def close(self) -> None:
        """Free the connection; it is closed unless everything has arrived."""
        if self._at_end:
            self._response.release()
        else:
            self._response.close()

    async def _next(self) -> Sequence[T]:
        items: Sequence[T] = ()
        while not items and not self._at_end:
            part = await self._part()
            items = self._read.feed(part) if part else self._read.end()
            self._at_end = not part
        return items

    async def _part(self) -> bytes:
        """Return the next part of the body, or b"" at its end."""
        unpacker = self._unpacker
        while unpacker is None or not (part := unpacker.take(LARGEST_PART)):
            async with asyncio.timeout(self._seconds):
                chunk = await self._response.content.read(LARGEST_PART)
            if unpacker is None:
                return chunk
            if not chunk:
                unpacker.end()
                return b""
            unpacker.put(chunk)
        return part


class StreamTransport(SessionTransport):
    """A transport for one streamed operation: its answer is opened, and not read to the end."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        wire: Wire,
        ssl: Any,
        operation: StreamedOperation[Any],
    ) -> None:
        super().__init__(session, wire, ssl)
        self._operation = operation
        self._seconds = 0.0

    async def exchange(
        self, message: Message, *, max_bytes: int, left: float, timeouts: Timeouts
    ) -> Reply | Failure:
        """Send one request, and return its answer once the first items have arrived."""
        self._seconds = timeouts.read
        return await super().exchange(message, max_bytes=max_bytes, left=left, timeouts=timeouts)

    async def _read(self, response: aiohttp.ClientResponse, max_bytes: int) -> Reply | Failure:
        status, headers = response.status, response.headers
        media = self._operation.answer.media
        if not 200 <= status < 300 or torn(headers) or not is_of_media(media, headers):
            return await super()._read(response, max_bytes)
        if reason := unended(headers):
            response.close()
            return Reply(status, headers, b"", reason)
        opened = False
        try:
            stream = Stream(response, self._operation.reader(headers), self._seconds)
            await stream.start()
            opened = True
        except ValueError as error:
            return Reply(status, headers, b"", str(error))
        finally:
            if not opened:
                response.close()
        return OpenedReply(status, headers, stream)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # its body is a stream


class _Places:
    """The places of open streams. Those for one time series are taken together, in turn.

    If each were taken by itself, two time series could each hold some and wait for the rest.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, number: int) -> None:
        """Wait until that many are free and all earlier callers have theirs."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            self.free(0 if granted.cancelled() else number)
            raise

    def free(self, number: int) -> None:
        """Release that many."""
        self._free += number
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            number, granted = self._waiting[0]
            if not granted.cancelled():  # its caller may run later
                if number > self._free:
                    return
                self._free -= number
                granted.set_result(None)
            self._waiting.popleft()


class Streams:
    """The open streams of one client, which are closed with it."""

    def __init__(self, session: aiohttp.ClientSession, wire: Wire, ssl: Any, *, most: int) -> None:
        self._session = session
        self._wire = wire
        self._ssl = ssl
        self._most = most
        self._places = _Places(most)
        self._open: set[Stream[Any]] = set()

    @asynccontextmanager
    async def open(
        self, pipeline: Pipeline, operations: Sequence[StreamedOperation[T]]
    ) -> AsyncGenerator[tuple[Stream[T], ...], None]:
        """Open streams together, and free their connections and places at the end.

        Raises:
            ConfigurationError: There are more than may ever be open.
            DeadlineExceededError: Too few streams ended in time, or a call's deadline passed.
        """
        for each in operations:
            if not isinstance(each, StreamedOperation):
                raise ConfigurationError(
                    f"{type(each).__name__} is not a StreamedOperation; use client.execute for it"
                )
        await self._take_places(len(operations), pipeline.policy.deadline)
        tasks = [asyncio.ensure_future(self._open_one(pipeline, each)) for each in operations]
        try:
            yield tuple(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            for stream in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(stream, Stream):
                    self._open.discard(stream)
                    stream.close()
            self._places.free(len(operations))

    async def _open_one(self, pipeline: Pipeline, operation: StreamedOperation[T]) -> Stream[T]:
        transport = StreamTransport(self._session, self._wire, self._ssl, operation)
        opening = attrs.evolve(pipeline, transport=transport)
        response: Response[Any] = await respond(opening, operation)
        stream: Stream[T] = response.result
        stream.response = attrs.evolve(response, result=None)
        self._open.add(stream)
        return stream

    async def _take_places(self, number: int, seconds: float) -> None:
        if number > self._most:
            raise ConfigurationError(
                f"this takes {number} streams at once, and {self._most} may be open; request "
                f"fewer columns, or allow more with Pacing(max_streams={number})"
            )
        try:
            async with asyncio.timeout(seconds):
                await self._places.take(number)
        except TimeoutError:
            raise DeadlineExceededError(
                f"out of time: of {self._most} streams, too many are open for {number} more; close "
                f"some, or allow more with Pacing(max_streams=…)"
            ) from None

    def close(self) -> None:
        """Close all streams, which then break."""
        for stream in tuple(self._open):
            stream.close()
