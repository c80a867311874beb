"""Files that only their owner can read: made so, or refused."""

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import Final

from enapter_async.errors import ConfigurationError

MODE: Final = 0o600

# What a platform lacks of these is left out: 0 changes nothing.
_NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
_CLOSE_ON_EXEC: Final[int] = getattr(os, "O_CLOEXEC", 0)
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)


def open_private(path: str | os.PathLike[str], *, append: bool = False) -> int:
    """Create a file that only its owner can read and write; give its descriptor.

    An existing file is refused, or with `append` taken if it is a plain file of this user
    with mode 0600 and one name. Symbolic links are never followed where the platform can
    tell.

    Raises:
        ConfigurationError: the file cannot be used; says why.
    """
    flags = os.O_RDWR | os.O_APPEND | _NO_FOLLOW | _CLOSE_ON_EXEC | _BINARY
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:
        if not append:
            raise ConfigurationError(f"{os.fspath(path)} exists already") from None
        return _reopen(path, flags)
    except OSError as error:
        raise _unusable(path, error) from None
    if sys.platform != "win32":
        os.fchmod(descriptor, MODE)
        _sync_directory(Path(path).parent)
    return descriptor


def _reopen(path: str | os.PathLike[str], flags: int) -> int:
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise _unusable(path, error) from None
    problem = _problem_of(os.fstat(descriptor))
    if problem:
        os.close(descriptor)
        raise ConfigurationError(f"{os.fspath(path)} {problem}")
    return descriptor


def check_private(path: str | os.PathLike[str]) -> None:
    """Refuse an existing file that is not a plain one of this user with mode 0600 and one name.

    The file is not opened: closing it again would free every POSIX lock that this process
    holds on it.

    Raises:
        FileNotFoundError: there is none.
        ConfigurationError: it cannot be used; says why.
    """
    problem = _problem_of(Path(path).lstat())
    if problem:
        raise ConfigurationError(f"{os.fspath(path)} {problem}")


def _problem_of(state: os.stat_result) -> str:
    if not stat.S_ISREG(state.st_mode):
        return "is not a plain file"
    if state.st_nlink != 1:
        return "has another name too (a hard link)"
    if sys.platform == "win32":
        return ""
    if state.st_uid != os.geteuid():
        return "belongs to another user"
    if stat.S_IMODE(state.st_mode) != MODE:
        return f"has mode {stat.S_IMODE(state.st_mode):04o}, and must have 0600"
    return ""


def _unusable(path: str | os.PathLike[str], error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{os.fspath(path)} cannot be opened: {error.strerror}")


def _sync_directory(directory: Path) -> None:
    # Without it, a power loss can take the new file's name away.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no such thing
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(descriptor: int, data: bytes) -> None:
    """Append bytes and return once they are on the disk.

    Raises:
        OSError: they could not be written; the file is cut back to what it was, so that
            it never ends in half a line.
    """
    size = os.fstat(descriptor).st_size
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        if sys.platform == "linux":
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise
