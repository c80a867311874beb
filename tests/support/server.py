"""A raw TCP server that answers as scripted and records what it saw.

No HTTP library stands between a test and the bytes: the small parser below reads requests, and the
replies (replies.py) write answers as bytes. A request may take effect late (late.py), and a read
may be answered from an older state. The record consists of `arrivals` (every complete request, with
the step taken for it), `world.effects` (each change, and the arrival that made it), `world.past`
and the connections.
"""

import asyncio
import itertools
import socket
import ssl
import struct
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self

import attrs

from tests.support.late import Late, Moment
from tests.support.ports import bound_socket
from tests.support.world import Good, World

PATIENCE = 60.0
"""No test waits longer than this many seconds for any event."""

WRITES = "writes"
"""In scripted steps, stands for every method but GET."""

DEVICES = ("dev-1", "dev-2", "dev-3")


@attrs.define(eq=False)
class Arrival:
    """One request as received."""

    number: int
    connection: int
    time: float
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    step: "Step | None" = None

    def header(self, name: str) -> str | None:
        """Return a header's value; raise an error if it came twice."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def address(self) -> str:
        """The device that the request is about."""
        path = self.target.partition("?")[0]
        return path.partition("/devices/")[2].partition("/")[0]


@attrs.define(eq=False)
class Connection:
    """One accepted connection."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: tuple[str, int]
    requests: int = 0
    head: bytes = b""

    def push(self, data: bytes) -> None:
        """Write unsolicited bytes."""
        self.writer.write(data)

    def finish(self) -> None:
        """Send FIN at once."""
        number = self.writer.get_extra_info("socket").fileno()
        with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed its side."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass


@attrs.frozen(eq=False)
class Exchange:
    """What a reply can use."""

    server: "FaultServer"
    connection: Connection
    arrival: Arrival
    good: Good

    async def send(self, data: bytes) -> None:
        self.connection.writer.write(data)
        await self.connection.writer.drain()

    def apply(self) -> Good:
        """Carry out the request now."""
        arrival = self.arrival
        return self.server.world.serve(arrival.number, arrival.method, arrival.target, arrival.body)


Reply = Callable[[Exchange], Awaitable[bool]]
"""Answers one request; returns whether the connection stays open."""


@attrs.frozen
class Step:
    """What the server does with one arrival.

    `applies` says whether it takes effect before the reply, and `late` when it takes effect later.
    A read is answered from the state `age` changes ago.
    """

    reply: Reply
    applies: bool
    late: Moment | None = None
    age: int = 0

    def __repr__(self) -> str:
        name = getattr(self.reply, "__qualname__", "reply").partition(".")[0]
        done = f"{self.late}-late" if self.late else "applied" if self.applies else "ignored"
        return f"{done}-{name}" + (f"-stale-{self.age}" if self.age else "")


def applied(reply: Reply) -> Step:
    """Carry out the request, then send the reply."""
    return Step(reply, applies=True)


def ignored(reply: Reply) -> Step:
    """Send the reply without carrying out the request."""
    return Step(reply, applies=False)


def later(moment: Moment, reply: Reply) -> Step:
    """Send the reply, and carry out the request at that moment; a read only gets the reply."""
    return Step(reply, applies=False, late=moment)


def stale(age: int, reply: Reply) -> Step:
    """Answer a read from the state `age` changes ago; a write is applied."""
    return Step(reply, applies=True, age=age)


async def _honest(exchange: Exchange) -> bool:
    good = exchange.good
    head = (
        f"HTTP/1.1 {good.status} Told\r\nContent-Type: {good.media_type}\r\n"
        f"Content-Length: {len(good.body)}\r\n\r\n"
    )
    await exchange.send(head.encode() + good.body)
    return True


HONEST = Step(_honest, applies=True)


class FaultServer:
    """The server; `async with FaultServer() as server` listens on a port of 127.0.0.1."""

    def __init__(
        self,
        *,
        devices: tuple[str, ...] = DEVICES,
        ssl_context: ssl.SSLContext | None = None,
        prefix: str = "",
        closed: bool = False,
    ) -> None:
        self.world = World(devices)
        self.late = Late(self.world)
        self._arrival_numbers = itertools.count(1)
        self._connection_numbers = itertools.count(1)
        self.arrivals: list[Arrival] = []
        self.connections: list[Connection] = []
        self.open: set[Connection] = set()
        self.problems: list[BaseException] = []
        self.released = asyncio.Event()
        self.on_connect: Callable[[Connection], Awaitable[bool]] | None = None
        self.port = 0
        self._ssl_context = ssl_context
        self._prefix = prefix
        self._closed = closed
        self._unheard: socket.socket | None = None
        self._queues: dict[str, deque[Step]] = defaultdict(deque)
        self._always: dict[str, Step] = {}
        self._under_way: Counter[str] = Counter()
        self._peak: Counter[str] = Counter()
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://127.0.0.1:{self.port}{self._prefix}"

    @property
    def seen(self) -> list[str]:
        """The methods of the requests that arrived, in order."""
        return [arrival.method for arrival in self.arrivals]

    def script(self, *steps: Step, method: str = "") -> None:
        """Queue steps for coming arrivals: those of one method, of all `WRITES`, or any."""
        self._queues[method].extend(steps)

    def always(self, step: Step, *, method: str = "") -> None:
        """Set what happens if no step is queued; the default is an honest answer."""
        self._always[method] = step

    def clear(self) -> None:
        """Discard every step, and answer honestly from now on."""
        self._queues.clear()
        self._always.clear()

    def peak(self, address: str = "") -> int:
        """Return how many requests were in flight at once, overall or for one device."""
        return self._peak[address]

    async def arrived(self, count: int) -> None:
        """Wait until that many requests have arrived."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.arrivals) >= count)

    async def accepted(self, peer: Any) -> None:
        """Wait until the connection from that address is accepted."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: any(each.peer == peer for each in self.connections))

    async def emptied(self) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: not self.open)

    async def __aenter__(self) -> Self:
        if self._closed:
            self._keep_port()
        else:
            await self.listen()
        return self

    async def unclose(self) -> None:
        """Listen on the port that was `closed` until now; may be repeated."""
        if self._unheard is not None:
            await self.listen()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        if error is None and self.problems:
            raise AssertionError(f"the fault server failed: {self.problems!r}")

    async def listen(self, sock: socket.socket | None = None) -> None:
        """Open a port, or again the one that was closed, or continue with a socket that listens."""
        if self._unheard is not None:
            sock, self._unheard = self._unheard, None
        where: dict[str, Any] = {"sock": sock} if sock else {"host": "127.0.0.1", "port": 0}
        self._server = await asyncio.start_server(
            self._accept, ssl=self._ssl_context, limit=2**20, backlog=1024, **where
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def deafen(self) -> None:
        """Close the port; open connections remain."""
        assert self._server is not None
        self._server.close()
        self._keep_port()

    def _keep_port(self) -> None:
        if self._unheard is None:
            self._unheard = bound_socket(self.port)
            self.port = self._unheard.getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        self.released.set()
        if self._unheard is not None:
            self._unheard.close()
        if self._server is not None:
            self._server.close()
        for connection in list(self.open):
            connection.writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        peer = writer.get_extra_info("peername")
        connection = Connection(next(self._connection_numbers), reader, writer, peer)
        self.connections.append(connection)
        self.open.add(connection)
        try:
            await self._tell()
            await self._converse(connection)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        except BaseException as problem:  # noqa: BLE001 - kept, and raised when the server stops
            self.problems.append(problem)
        finally:
            writer.close()
            self.open.discard(connection)
            self.late.connection_gone(connection.number)
            await self._tell()

    async def _converse(self, connection: Connection) -> None:
        if self.on_connect is not None and not await self.on_connect(connection):
            return
        while (arrival := await self._read(connection)) is not None:
            step = arrival.step = self._next_step(arrival.method)
            with self._counted(arrival.address):
                self.arrivals.append(arrival)
                good = self._serve(arrival, step)
                await self._tell()
                if not await step.reply(Exchange(self, connection, arrival, good)):
                    return

    def _serve(self, arrival: Arrival, step: Step) -> Good:
        read = arrival.method == "GET"
        world = self.world.aged(step.age) if read and step.age else self.world
        act = world.serve if step.applies else world.preview
        asked = (arrival.number, arrival.method, arrival.target, arrival.body)
        good = act(*asked)
        self.late.request_served(read=read)
        if step.late is not None and not read:
            self.late.put_off(step.late, arrival.connection, asked)
        return good

    def _next_step(self, method: str) -> Step:
        keys = (method, "") if method == "GET" else (method, WRITES, "")
        for key in keys:
            if self._queues[key]:
                return self._queues[key].popleft()
        for key in keys:
            if key in self._always:
                return self._always[key]
        return HONEST

    @contextmanager
    def _counted(self, address: str) -> Iterator[None]:
        keys = ("", address) if address else ("",)
        for key in keys:
            self._under_way[key] += 1
            self._peak[key] = max(self._peak[key], self._under_way[key])
        try:
            yield
        finally:
            for key in keys:
                self._under_way[key] -= 1

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _read(self, connection: Connection) -> Arrival | None:
        try:
            head = await connection.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as rest:
            connection.head = rest.partial
            return None
        connection.requests += 1
        lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, version = lines[0].split(" ")
        if version != "HTTP/1.1":
            raise AssertionError(f"an unknown version: {version}")
        pairs = [line.partition(":") for line in lines[1:]]
        headers = tuple((name, value.strip()) for name, _, value in pairs)
        named = {name.lower(): value for name, value in headers}
        assert "transfer-encoding" not in named, "requests are sent with their length"
        body = await connection.reader.readexactly(int(named.get("content-length", "0")))
        number = next(self._arrival_numbers)
        now = time.monotonic()
        return Arrival(number, connection.number, now, method, target, headers, body)


Ending = Literal["fin", "rst", "hang"]
