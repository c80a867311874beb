"""A request to stop a run from outside of the process that is at work on it.

It is a file in the run's folder, which the runner looks for twice a second. It stays there until
somebody resumes the run, so that no backend takes the run up again by itself in the meantime.
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
"""What tells one request from a later one: the file's inode and its time."""

_FILE: Final = "stop"


def request_stop(folder: RunFolder) -> None:
    """Ask whoever is at work on a run to start nothing more. Safe to repeat.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    path = _path(folder)
    try:
        # Made anew each time: a runner that begins just now takes away only what was there before.
        path.unlink(missing_ok=True)
        os.close(open_private(path))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    except ConfigurationError:
        if stop_request(folder) is None:
            raise  # else somebody else has asked for the same meanwhile


def stop_request(folder: RunFolder) -> Request | None:
    """Return the request to stop a run, or None where nobody asked since it was last resumed.

    A folder that cannot be read now, as on a network file system, holds none that can be known.
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
    """Call `stop` once somebody asks for it; to be entered with the run's lock in hand.

    `earlier` is the request that was there before the lock was taken: it was about a session
    before this one, and is withdrawn.
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
