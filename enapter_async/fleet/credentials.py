"""Where minted credentials go: a file of JSON Lines that only its owner can read."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from enapter_async.clock import Clock
from enapter_async.converter import operation_to_json, unstructure
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.private_files import open_private, write_durably
from enapter_async.operation import Operation

if sys.platform != "win32":
    import fcntl

CredentialsSink = Callable[[Operation[Any], Any], Awaitable[None] | None]
"""Takes an operation and its secret result, and returns only once it is kept safe."""


class CredentialsFile:
    """Keeps secret results in a file: each is on the disk before `store` returns.

    One JSON object a line: `device_id`, `protocol`, `generated_at` (RFC 3339, UTC) and
    `config` as the API gave it. The file is created with mode 0600, or continued if it
    is a plain file of this user with that mode; a second writer is refused.
    Results that come while a write is under way share the next one, so that the disk's
    slowness is paid once for many. Not safe to use from two event loops.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self.path = Path(path)
        self._clock = clock or Clock()
        self._descriptor = -1
        self._pending: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            ConfigurationError: it cannot be used; says why. Nothing was changed.
        """
        descriptor = open_private(self.path, append=True)
        try:
            if sys.platform != "win32":
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise ConfigurationError(f"{self.path} is in use by another run") from None
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # A run that was killed while it wrote: its half line is left to be seen.
            os.write(descriptor, b"\n")
        self._descriptor = descriptor
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish what is being written, and close the file."""
        try:
            if self._writer is not None:
                await asyncio.shield(self._writer)
        finally:
            if self._writer is None or self._writer.done():
                self._close()
            else:
                self._writer.add_done_callback(lambda _: self._close())

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def store(self, operation: Operation[Any], result: Any) -> None:
        """Write one result, and return once it is on the disk.

        Raises:
            OSError: it could not be written, as on a full disk; the file ends with the
                last whole line.
        """
        if self._descriptor < 0:
            raise ConfigurationError("a credentials file is used inside `async with` only")
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        self._pending.append((self._line(operation, result), stored))
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write_pending())
        await stored

    def _line(self, operation: Operation[Any], result: Any) -> bytes:
        told = operation_to_json(operation)
        generated_at = datetime.fromtimestamp(self._clock.wall(), UTC)
        row = {
            "device_id": told.get("device_id"),
            "protocol": told.get("protocol"),
            "generated_at": generated_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "config": unstructure(result),
        }
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"

    async def _write_pending(self) -> None:
        while self._pending:
            group, self._pending = self._pending, []
            data = b"".join(line for line, _ in group)
            try:
                await asyncio.to_thread(write_durably, self._descriptor, data)
            except OSError as error:
                for _, stored in group:
                    if not stored.done():
                        stored.set_exception(OSError(error.errno, error.strerror))
            else:
                for _, stored in group:
                    if not stored.done():
                        stored.set_result(None)
