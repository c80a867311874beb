"""Requests to stop a run from outside the process that is working on it.

A request is a file in the run's folder, which the runner checks for twice a second. It stays
until the run is resumed explicitly, so that no backend resumes it automatically before that.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.journal.run_folders import RunFolder
from enapter_async.fleet.private_files import open_private

POLL_SECONDS: Final = 0.5

Request = tuple[int, int]
"""Identifies a request to stop: the file's inode and time."""

_FILE: Final = "stop"


def request_stop(folder: RunFolder) -> None:
    """Ask the runner that works on a run to start nothing more. Safe to repeat.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    path = _path(folder)
    try:
        # Recreate it: a runner that is just starting removes only an earlier request.
        path.unlink(missing_ok=True)
        os.close(open_private(path))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    except ConfigurationError:
        if stop_request(folder) is None:
            raise  # otherwise another process has made the same request


def stop_request(folder: RunFolder) -> Request | None:
    """Return the request to stop a run, or None if there is none since the run was last resumed.

    If the folder cannot be read, for example on a network file system, None is returned.
    """
    try:
        found = _path(folder).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@contextlib.asynccontextmanager
async def stopping_on_request(
    folder: RunFolder, stop: Callable[[], None], *, earlier: Request | None
) -> AsyncIterator[None]:
    """Call `stop` once a stop is requested; enter this only while holding the run's lock.

    `earlier` is the request that existed before the lock was taken: it concerned an earlier
    session, and is removed.
    """
    if earlier is not None and stop_request(folder) == earlier:
        _path(folder).unlink(missing_ok=True)
    watching = asyncio.create_task(_watch(folder, stop))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _watch(folder: RunFolder, stop: Callable[[], None]) -> None:
    while stop_request(folder) is None:  # noqa: ASYNC110 - another process has no event to set
        await asyncio.sleep(POLL_SECONDS)
    stop()


def _path(folder: RunFolder) -> Path:
    return folder.path / _FILE
