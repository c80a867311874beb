"""A TCP proxy that loses one answer or one request, as a network may at the worst moment."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit


class Cutter:
    """Forwards to a server; `cut_at` names the direction whose next bytes close the connection."""

    def __init__(self, address: str) -> None:
        self._parts = urlsplit(address)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut_at: Literal["request", "answer"] | None = None
        self.cuts = 0
        self._healed = asyncio.Event()
        self.is_lost = False
        """Whether everything that is sent vanishes, while all connections stay open."""
        self.address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.address = self._parts._replace(
            netloc=f"{self._parts.username}@127.0.0.1:{port}"
        ).geturl()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def heal(self) -> None:
        """Forward new connections again; those over which something was lost are closed."""
        self.is_lost = False
        self._healed.set()
        self._healed = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_connection(
            self._parts.hostname, self._parts.port
        )
        ways: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._forward(reader, far_writer, "request")),
            asyncio.create_task(self._forward(far_reader, writer, "answer")),
            asyncio.create_task(self._healed.wait()),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()
            far_writer.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.cut_at == way:
                    self.cut_at = None
                    self.cuts += 1
                    return
                if self.is_lost:
                    continue
                writer.write(data)
                await writer.drain()
