"""Create files that only their owner can read; refuse existing files that others can read."""

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

import attrs

from enapter_async.errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

MODE: Final = 0o600

_PART: Final = ".enapter-async-{}.part"
_TRIES: Final = 16

# Flags that a platform lacks are 0, which changes nothing.
_NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
_CLOSE_ON_EXEC: Final[int] = getattr(os, "O_CLOEXEC", 0)
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)


def open_private(
    path: str | os.PathLike[str], *, append: bool = False, meant: Path | None = None
) -> int:
    """Create a file that only its owner can read and write; return its descriptor.

    An existing file is refused. With `append` it is accepted if it is a plain file of this user
    with mode 0600 and no other hard link. Symbolic links are never followed if the platform
    supports this. Errors name `meant`, if `path` is only the file's temporary name.

    Raises:
        ConfigurationError: the file cannot be used; the message says why.
    """
    flags = os.O_RDWR | os.O_APPEND | _NO_FOLLOW | _CLOSE_ON_EXEC | _BINARY
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:
        if not append:
            raise _exists(path) from None
        return _reopen(path, flags)
    except OSError as error:
        raise _unusable(meant or path, error) from None
    try:
        _make_private(descriptor)
        sync_directory(Path(path).parent)
    except BaseException as error:
        os.close(descriptor)
        Path(path).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ConfigurationError(
                f"{os.fspath(meant or path)} cannot be restricted to your user: {error.strerror}; "
                f"choose a folder on a file system that supports file modes"
            ) from None
        raise
    return descriptor


def _make_private(descriptor: int) -> None:
    if sys.platform != "win32":
        os.fchmod(descriptor, MODE)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode != MODE:
            raise OSError(0, f"its mode stays {mode:04o}")


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
    """Refuse an existing file unless `open_private` with `append` would accept it.

    The file is not opened: closing it again would free every POSIX lock that this process
    holds on it.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigurationError: it cannot be used; the message says why.
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
        return f"has mode {stat.S_IMODE(state.st_mode):04o}, but must have 0600"
    return ""


def check_new(path: str | os.PathLike[str], *, replace: bool = False) -> None:
    """Refuse a file that `written_whole` could not create, before there is anything to write.

    Raises:
        ConfigurationError: it already exists, unless `replace` is set, or its folder does not.
    """
    if not replace and os.path.lexists(path):
        raise _exists(path)
    if not Path(path).parent.is_dir():
        raise _unusable(path, FileNotFoundError())


def _exists(path: str | os.PathLike[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{os.fspath(path)} already exists; choose a new file, or replace it (--force)"
    )


def _unusable(path: str | os.PathLike[str], error: OSError) -> ConfigurationError:
    missing = isinstance(error, FileNotFoundError)
    why = "its folder does not exist" if missing else error.strerror
    return ConfigurationError(f"{os.fspath(path)} cannot be opened: {why}")


def sync_directory(directory: Path) -> None:
    """Sync a directory to disk, so that a power loss does not lose a new name in it."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # some network file systems do not support this
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class FileGoneError(OSError):
    """A file that is being written to is no longer at its path."""


@attrs.frozen
class NamedFile:
    """An open file, and the path that must continue to refer to it."""

    path: Path
    _name: str
    _place: tuple[int, int]

    @classmethod
    def at(cls, path: Path) -> "NamedFile":
        """Return the file that is currently at the path."""
        state = path.lstat()
        return cls(path, os.fspath(path), (state.st_dev, state.st_ino))

    def check(self) -> None:
        """Check that the name still refers to the file.

        Raises:
            FileGoneError: the file was removed, moved or replaced.
        """
        try:
            state = os.lstat(self._name)
        except FileNotFoundError:
            state = None
        if state is None or (state.st_dev, state.st_ino) != self._place:
            done = "removed or moved" if state is None else "replaced by another file"
            raise FileGoneError(f"{self.path} was {done} while it was in use")


def lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file; return False if it is held already."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def unlock(descriptor: int) -> None:
    """Release the lock, even if child processes have the file open too."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str], *, new: bool = False) -> Iterator[TextIO]:
    """Write a file of mode 0600 that appears under its name only once it is complete.

    It replaces an existing file, unless `new` is set: then an existing file is an error. The data
    is first written to a temporary file in the same folder; leftovers of killed processes are
    removed.

    Raises:
        ConfigurationError: the file cannot be created, or already exists.
        OSError: it cannot be written; an older file is unchanged.
    """
    where = Path(path)
    if new and os.path.lexists(where):
        raise _exists(where)
    _remove_parts(where.parent)
    part, descriptor = _open_part(where)
    try:
        with os.fdopen(
            descriptor, "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            if new:
                _rename_to_new(part, where)
            else:
                part.replace(where)
        sync_directory(where.parent)
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(where)  # the error of a full disk names no file
        raise
    finally:
        part.unlink(missing_ok=True)


def _open_part(where: Path) -> tuple[Path, int]:
    for _ in range(_TRIES):
        part = where.parent / _PART.format(secrets.token_hex(8))
        descriptor = open_private(part, meant=where)
        if lock(descriptor) and os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # another process may have removed it before it was locked
    raise ConfigurationError(
        f"{where} cannot be written: another process keeps removing the temporary file beside it"
    )


def _remove_parts(folder: Path) -> None:
    for part in folder.glob(_PART.format("*")):
        with contextlib.suppress(ConfigurationError):
            descriptor = _reopen(part, os.O_RDWR | _NO_FOLLOW | _CLOSE_ON_EXEC)
            if sys.platform != "win32" and lock(descriptor):
                part.unlink(missing_ok=True)
            os.close(descriptor)


def _rename_to_new(part: Path, where: Path) -> None:
    try:
        os.link(part, where)
    except FileExistsError:
        raise _exists(where) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(where):
            raise _exists(where) from None
        part.rename(where)


def write_durably(descriptor: int, data: bytes) -> None:
    """Append bytes and return once they are on disk.

    Raises:
        OSError: they could not be written; the file is truncated to its previous size, so
            that it never ends in an incomplete line.
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
