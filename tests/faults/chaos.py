"""A harmful TCP proxy, to put in front of any real server.

It knows nothing of HTTP: it passes bytes, and for each direction of a connection it may delay them
(`latency`), limit their rate (`bandwidth`), cut them into `slices`, and end the connection after a
number of bytes in one of four ways:

    async with ChaosProxy(server.port) as proxy:
        proxy.script(Weather(down=Trouble(after=100, end="reset")))    # the first connection
        proxy.always = lambda number: Weather(up=Trouble(slices=1))    # all others

Everything is bounded: connections by `limit`, memory by one piece and asyncio's buffers for each
direction, and every stall by the client's or the proxy's end.
"""

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Final, Literal, Self

import attrs

End = Literal["cut", "reset", "half-close", "stall"]
ENDS: Final[tuple[End, ...]] = ("cut", "reset", "half-close", "stall")
PIECE: Final = 65536


@attrs.frozen(kw_only=True)
class Trouble:
    """What happens to the bytes of one direction.

    `latency` is the delay before each piece in seconds, `bandwidth` the rate in bytes per second,
    and `slices` the maximum size of one write in bytes. Only the first `after` bytes are passed on;
    the next one triggers the `end`. "cut" closes both sides after the bytes that were passed (FIN),
    "reset" closes both at once (RST), "half-close" closes only this direction (FIN), and "stall"
    passes nothing more in this direction.
    """

    latency: float = 0.0
    bandwidth: float | None = None
    slices: int | None = None
    after: int | None = None
    end: End = "cut"

    def pieces(self, data: bytes) -> Iterator[bytes]:
        size = self.slices or max(1, len(data))
        return (data[at : at + size] for at in range(0, len(data), size))

    def delay(self, piece: bytes) -> float:
        """Return the seconds that a piece takes."""
        return self.latency + (len(piece) / self.bandwidth if self.bandwidth else 0.0)


NONE: Final = Trouble()


@attrs.frozen(kw_only=True)
class Weather:
    """The weather of one connection: `up` from client to server, `down` from server to client."""

    up: Trouble = NONE
    down: Trouble = NONE


CALM: Final = Weather()


def by_chance(chance: random.Random) -> Weather:
    """Draw the weather of one connection; it ends within a few exchanges.

    An undisturbed connection would be reused again and again, and soon be the only one.
    """
    way = chance.choice(("up", "down"))
    return Weather(
        up=_trouble(chance, ends=way == "up"),
        down=_trouble(chance, ends=way == "down"),
    )


def _trouble(chance: random.Random, *, ends: bool) -> Trouble:
    return Trouble(
        latency=chance.choice((0.0, 0.0, 0.001, 0.005)),
        bandwidth=chance.choice((None, None, 1e5, 1e6)),
        slices=chance.choice((None, None, 1000, 97)),
        after=chance.randrange(1200) if ends else None,
        end=chance.choices(ENDS, (4, 4, 2, 1))[0],
    )


@attrs.define(eq=False)
class _Link:
    """One connection through the proxy, with both of its halves."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def reset(self) -> None:
        for writer in (self.client, self.server):
            if writer.transport.is_closing():
                continue
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def close(self) -> None:
        for writer in (self.client, self.server):
            writer.close()


class ChaosProxy:
    """The proxy; `async with ChaosProxy(port)` listens on its own port of 127.0.0.1.

    `script` queues the weather of coming connections; `always` returns the weather of all others by
    their numbers, counted from 1. `sleep` is a parameter for tests.
    """

    def __init__(
        self,
        target: int,
        *,
        limit: int = 256,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.always: Callable[[int], Weather] = lambda _: CALM
        self.port = 0
        self.connections = 0
        self.refused = 0
        self.passed = {"up": 0, "down": 0}
        self._target = target
        self._limit = limit
        self._sleep = sleep
        self._script: deque[Weather] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self._tasks)

    def script(self, *weathers: Weather) -> None:
        """Queue the weather of the next connections."""
        self._script.extend(weathers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        odd = [end for end in ends if isinstance(end, Exception)]
        if error is None and odd:
            raise AssertionError(f"the chaos proxy failed: {odd!r}")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._limit:
            self.refused += 1
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        weather = self._script.popleft() if self._script else self.always(self.connections)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, server_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry("up", reader, server_writer, link, weather.up))
                group.create_task(self._carry("down", server_reader, writer, link, weather.down))
        except asyncio.CancelledError:
            # The proxy ends, and asyncio would complain of a cancelled callback.
            link.reset()
        finally:
            link.close()

    async def _carry(
        self,
        way: str,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        link: _Link,
        trouble: Trouble,
    ) -> None:
        """Pass one direction on to its end; a lost connection ends it quietly."""
        left = trouble.after
        try:
            while data := await source.read(PIECE):
                kept = data if left is None else data[:left]
                for piece in trouble.pieces(kept):
                    if (seconds := trouble.delay(piece)) > 0:
                        await self._sleep(seconds)
                    target.write(piece)
                    await target.drain()
                    self.passed[way] += len(piece)
                    if trouble.slices:
                        await asyncio.sleep(0)
                if left is not None:
                    left -= len(kept)
                    if len(kept) < len(data):
                        await self._end(trouble.end, source, target, link)
                        return
            if target.can_write_eof():
                target.write_eof()
        except (ConnectionError, OSError, RuntimeError):
            link.close()

    async def _end(
        self, end: End, source: asyncio.StreamReader, target: asyncio.StreamWriter, link: _Link
    ) -> None:
        match end:
            case "cut":
                link.close()
            case "reset":
                link.reset()
            case "half-close" | "stall":
                if end == "half-close":
                    target.write_eof()
                # Read and discarded, so that a sender that disconnects is noticed.
                while await source.read(PIECE):
                    pass
                link.close()
