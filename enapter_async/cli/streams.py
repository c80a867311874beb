"""Makes the standard streams robust, so that a closed, broken or full one does not break a run.

Standard error is for people: if a write to it fails, the message is dropped and work continues.
Standard output is for results: the first failed write raises `OutputError`; later writes are
dropped, so that the interpreter's exit raises nothing more.
"""

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from enapter_async.cli.options import warn

_STANDARD_OUTPUT: Final = 1
_STANDARD_ERROR: Final = 2


class OutputError(OSError):
    """Writing to standard output failed."""


class _Stream(io.FileIO):
    """A standard stream whose descriptor another process may have made non-blocking."""

    def __init__(self, descriptor: int, *, needed: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._needed = needed
        self._failed = False

    def write(self, data: Any, /) -> int:
        """Write some of the data; after the first failure, drop it and report it as written."""
        try:
            while not self._failed:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])
        except OSError as error:
            self._failed = True
            if self._needed:
                raise OutputError(error.errno, error.strerror) from None
        return len(data)


def harden() -> None:
    """Replace this process's standard streams, except those that other code has replaced.

    Closed streams are connected to the null device; otherwise the next file opened (for example,
    one of credentials) would become standard output.
    """
    for descriptor in range(_STANDARD_ERROR + 1):
        if not _is_open(descriptor):
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    stdin: TextIO | None = sys.stdin
    if stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Stream(_STANDARD_OUTPUT, needed=True), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Stream(_STANDARD_ERROR, needed=False), sys.stderr)


def fancy(stream: Any) -> bool:
    """Return whether a stream is a terminal that supports drawing."""
    return bool(stream.isatty()) and os.environ.get("TERM", "") != "dumb"


def leads_nowhere() -> bool:
    """Return whether standard output was closed, or is connected to the null device."""
    try:
        opened = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):  # a replacement without a file descriptor
        return False
    return os.path.samestat(opened, Path(os.devnull).stat())


@contextlib.contextmanager
def although_unheard() -> Iterator[None]:
    """Suppress `OutputError`, so that a failed write does not change a command's result."""
    try:
        yield
    except OutputError as error:
        if error.errno != errno.EPIPE:  # no message is needed if the reader has exited
            warn(f"enapter-async: standard output was not written: {error.strerror}")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _text(raw: io.FileIO, before: Any) -> io.TextIOWrapper:
    # A character in a device's name that the terminal cannot encode must not stop a run.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None),
        errors="backslashreplace",
        line_buffering=True,
    )
