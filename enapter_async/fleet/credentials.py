"""Storage for generated credentials: a JSON Lines file that only its owner can read."""

import asyncio
import base64
import contextlib
import inspect
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Self

from enapter_async.clock import Clock
from enapter_async.concealment import RawAnswer, concealing, concealing_async
from enapter_async.converter import unstructure
from enapter_async.converter.operations import operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.private_files import (
    FileGoneError,
    NamedFile,
    lock,
    open_private,
    unlock,
    write_durably,
)
from enapter_async.operation import Operation
from enapter_async.text import rfc3339

ROOM_BYTES: Final = 64 * 1024
"""Disk space reserved for one result; a configuration with three certificates has about 8 KiB."""

CredentialsSink = Callable[[Operation[Any], Any], Awaitable[None] | None]
"""Takes an operation and its secret result, and returns only once the result is stored safely.

If a response arrived but cannot be parsed as a result, it is passed as a `RawAnswer`.
"""


class CredentialsFile:
    """Stores secret results in a file. Each result is on disk before `store` returns.

    Each line is one JSON object: `device_id`, `protocol`, `generated_at` (RFC 3339, UTC) and
    `config` as returned by the API; with `site_id` if the device was addressed through its site,
    because a slug may exist at several. If the response could not be parsed, `config` is replaced
    by `raw`, its body as text (or by `raw_base64`, if the body is not UTF-8). The file is
    created with mode 0600, or appended to if it is a plain file of this user with that mode;
    a second writer is refused.
    Results that arrive during a write share the next one, so that one sync to disk serves
    many of them. Not safe to use from two event loops.

    `in_flight` is how many results may be pending at once: `make_room` reserves disk space
    for each of them in a file next to this one, `<path>.reserve`, which is deleted if the
    disk is full, and otherwise at the end. `run` is the id of the run whose results are stored.

    The file may be removed, moved, replaced or truncated during the run. Its previous contents and
    the pending results are then written to the same path again, or next to it if the path is taken,
    and `make_room` fails.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        in_flight: int = 1,
        run: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.path = Path(path)
        self._reserve = Reserve(Path(f"{self.path}.reserve"), in_flight * ROOM_BYTES)
        self._run = run
        self._clock = clock or Clock()
        self._descriptor = -1
        self._named: NamedFile | None = None
        self._size = 0
        self._gone: FileGoneError | None = None
        self._pending: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._taking: asyncio.Task[None] | None = None
        self._making_room = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            ConfigurationError: the file cannot be used, and is unchanged; the message says why.
        """
        descriptor = open_private(self.path, append=True)
        if not lock(descriptor):
            os.close(descriptor)
            raise ConfigurationError(f"{self.path} is in use by another run") from None
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # A run was killed during a write: keep its incomplete line as evidence.
            os.write(descriptor, b"\n")
        self._take(descriptor, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish pending writes, and close the file."""
        try:
            if under_way := self._under_way():
                await asyncio.wait(under_way)
            if self._writer is not None:
                self._writer.result()
        finally:
            self._close_when_done()

    def _under_way(self) -> list[asyncio.Task[None]]:
        """Return the tasks whose threads are still running, even if nothing awaits them."""
        tasks = (self._writer, self._taking)
        return [task for task in tasks if task is not None and not task.done()]

    def _close_when_done(self, _: object = None) -> None:
        if under_way := self._under_way():
            under_way[0].add_done_callback(self._close_when_done)
        else:
            self._close()

    def _close(self) -> None:
        self._reserve.release()
        if self._descriptor >= 0:
            unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._named = NamedFile.at(path)
        self._size = os.fstat(descriptor).st_size

    def _check(self) -> None:
        """Check that the file is still at its path and contains everything that was written.

        Raises:
            FileGoneError: the file was removed, moved, replaced or truncated.
        """
        if self._gone is not None:
            raise FileGoneError(str(self._gone))
        if self._named is not None:
            self._named.check()
        written = self._size  # read first: a write in the other thread may end meanwhile
        if os.fstat(self._descriptor).st_size < written:
            raise FileGoneError(f"{self.path} was truncated while it was in use")

    async def make_room(self) -> None:
        """Reserve disk space for all results in flight, before more are requested.

        Raises:
            OSError: the disk is full, or the file was removed, moved, replaced or truncated.
        """
        self._check()
        if not self._reserve.held:
            async with self._making_room:
                if self._taking is not None:
                    await asyncio.wait([self._taking])
                if not self._reserve.held:
                    self._taking = asyncio.create_task(asyncio.to_thread(self._reserve.take))
                    # If this call is cancelled meanwhile, nothing else retrieves its exception.
                    self._taking.add_done_callback(
                        lambda task: task.cancelled() or task.exception()
                    )
                    await asyncio.shield(self._taking)

    @concealing_async
    async def store(
        self, operation: Operation[Any], result: Any, place: tuple[int, int] | None = None
    ) -> None:
        """Write one result, and return once it is on disk.

        `place` is the item and the intent of the run's journal that the result belongs to.

        Raises:
            OSError: the result could not be written, for example because the disk is full; the file
                ends with its last complete line. If its path is taken, the error names the new
                path.
        """
        if self._descriptor < 0:
            raise ConfigurationError("use a credentials file inside `async with`")
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        self._pending.append((self._line(operation, result, place), stored))
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write_pending())
        await stored

    def _line(self, operation: Operation[Any], result: Any, place: tuple[int, int] | None) -> bytes:
        mark: dict[str, Any] = {}
        if place is not None:
            mark = {"run": self._run, "item": place[0], "intent": place[1]}
        told = operation_to_json(operation)
        through = {"site_id": told["site_id"]} if told.get("site_id") else {}
        row = {
            "device_id": told.get("device_id"),
            **through,
            "protocol": told.get("protocol"),
            "generated_at": rfc3339(self._clock.wall(), "seconds"),
            **mark,
            **_written(operation, result),
        }
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"

    @concealing_async
    async def _write_pending(self) -> None:
        while self._pending:
            group, self._pending = self._pending, []
            data = b"".join(line for line, _ in group)
            try:
                await asyncio.to_thread(self._write, data)
            except OSError as error:
                _release(group, (error.errno, error.strerror or str(error)))
            except BaseException:
                # The task was cancelled, so it is unknown whether the thread still writes.
                _release(group + self._pending, (0, "the write was cancelled"))
                self._pending = []
                raise
            else:
                _release(group)

    def _write(self, data: bytes) -> None:
        self._write_anew_if_gone()
        self._append(data)
        self._write_anew_if_gone()
        self._size = os.fstat(self._descriptor).st_size
        if self._named is not None and self._named.path != self.path:
            raise FileGoneError(f"{self._gone}; its results are in {self._named.path}")

    def _write_anew_if_gone(self) -> None:
        if self._gone is None:
            try:
                self._check()
            except FileGoneError as error:
                self._gone = error
                self._write_anew()

    def _write_anew(self) -> None:
        """Write all results to the file's path again, or next to it if the path is taken."""
        for path in (self.path, Path(f"{self.path}.rescued")):
            try:
                descriptor = open_private(path)
            except ConfigurationError:
                continue
            kept = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
            if kept and not kept.endswith(b"\n"):
                kept += b"\n"  # the file was truncated within a line
            write_durably(descriptor, kept)
            lock(descriptor)
            old = self._descriptor
            self._take(descriptor, path)
            os.close(old)
            return
        raise FileGoneError(f"{self._gone}, and no replacement can be created")

    def _append(self, data: bytes) -> None:
        try:
            write_durably(self._descriptor, data)
        except OSError:
            if not self._reserve.held:
                raise
            # These results exist already: use the reserved space for them.
            self._reserve.release()
            write_durably(self._descriptor, data)


def _release(
    group: list[tuple[bytes, asyncio.Future[None]]], problem: tuple[int | None, str] | None = None
) -> None:
    """Wake every task that waits for a group, passing each a separate error object."""
    for _, stored in group:
        if stored.done():
            continue
        if problem is None:
            stored.set_result(None)
        else:
            stored.set_exception(OSError(*problem))


class Reserve:
    """Disk space reserved by a file; blocking."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self.held = False

    def take(self) -> None:
        """Fill the file; safe to repeat.

        Raises:
            OSError: there is not enough space; the file is removed.
        """
        self._path.unlink(missing_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Not zeros, for which a file system may allocate no space.
            write_durably(descriptor, os.urandom(self._size))
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        self.held = True

    def release(self) -> None:
        """Free the reserved space; safe to repeat."""
        if self.held:
            self.held = False
            with contextlib.suppress(OSError):
                self._path.unlink()


def _written(operation: Operation[Any], result: Any) -> dict[str, Any]:
    """Return the fields of a line that contain the result, either parsed or raw."""
    if not isinstance(result, RawAnswer):
        return {name: unstructure(value) for name, value in operation.kept(result).items()}
    body = result.reveal()
    try:
        return {"raw": body.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(body).decode()}


@concealing
def kept_in(path: Path, run: str) -> frozenset[tuple[int, int]]:
    """Return the item and intent of each result that a run has stored in a credentials file.

    Incomplete lines, which a killed run may leave, are ignored, and so are lines that were not
    written by a run of this package.
    """
    found: set[tuple[int, int]] = set()
    with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line)
                if isinstance(row, dict) and row.get("run") == run and "config" in row:
                    item, intent = row.get("item"), row.get("intent")
                    if isinstance(item, int) and isinstance(intent, int):
                        found.add((item, intent))
    return frozenset(found)


def count_in(path: Path, after: int = 0) -> tuple[int, int]:
    """Count the parsed results after an offset; return also where the last complete line ends."""
    number = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
        lines.seek(after)
        for line in lines:
            if line.endswith(b"\n"):
                number += b'"config": ' in line and line.endswith(b"}\n")
                after += len(line)
    return number, after


class SinkStore:
    """Stores results by calling a function that the user has provided."""

    def __init__(self, sink: CredentialsSink) -> None:
        self._sink = sink

    async def make_room(self) -> None:
        """Do nothing, since the user's function is responsible for having enough space."""

    async def store(
        self, operation: Operation[Any], result: Any, place: tuple[int, int] | None
    ) -> None:
        """Call the function with a result; if it returns an awaitable, await it."""
        waiting = self._sink(operation, result)
        if inspect.isawaitable(waiting):
            await waiting


CredentialStore = CredentialsFile | SinkStore
"""Where a run stores generated credentials: `make_room` before each, and `store` each."""
