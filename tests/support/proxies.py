"""An HTTP proxy over raw sockets: it refuses, drops connections, or opens a tunnel to one port."""

import asyncio
import contextlib
import re
from types import TracebackType
from typing import Self


class Proxy:
    """A proxy on 127.0.0.1 that leads to `port`, whichever host is requested.

    While `refusal` is set, a CONNECT is answered with that status line; an empty one closes the
    connection without an answer. `asked` holds the first line of each connection, `heads` its whole
    first head.
    """

    def __init__(self, port: int = 0, *, refusal: str | None = None) -> None:
        self.refusal = refusal
        self.asked: list[str] = []
        self.heads: list[str] = []
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
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
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        done = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*done):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.partition(b"\r\n")[0].decode())
        self.heads.append(head.decode())
        if self.refusal is not None:
            if self.refusal:
                told = f"HTTP/1.1 {self.refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                writer.write(told.encode())
                await writer.drain()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as both:
            if head.startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                both.create_task(_pour(reader, back))
            else:
                both.create_task(_pass_on(head, reader, back))
            both.create_task(_pour(there, writer))


async def _pass_on(head: bytes, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Forward requests as a server expects them, with only the path in the first line."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            told = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            sink.write(re.sub(rb"^(\w+) http://[^/ ]+", rb"\1 ", head))
            sink.write(await source.readexactly(int(told[1]) if told else 0))
            await sink.drain()
            head = await source.readuntil(b"\r\n\r\n")
    sink.close()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()
