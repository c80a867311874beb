"""Standard streams that may be closed, broken or full: work goes on, and its end is told.

Standard error is for people, and who does not listen is no reason to stop: what it does not
take is dropped. Standard output is for results: the first that it does not take is an
`OutputError`, and after it nothing more is tried, so that the interpreter's end is none, too.
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

from enapter_async.cli.options import tell

_STANDARD_OUTPUT: Final = 1
_STANDARD_ERROR: Final = 2


class OutputError(OSError):
    """Standard output did not take what was written to it."""


class _Stream(io.FileIO):
    """A standard stream by its descriptor, which another process may have set not to block."""

    def __init__(self, descriptor: int, *, needed: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._needed = needed
        self._failed = False

    def write(self, data: Any, /) -> int:
        """Write some of the data; after the first failure none, and none is missed."""
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
    """Replace the standard streams of this process, but for those that somebody else replaced.

    Those that were closed lead nowhere then, for else the next file that is opened, such as
    one of credentials, would be standard output.
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


def leads_nowhere() -> bool:
    """Return whether standard output was closed, or goes to the null device."""
    try:
        opened = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):  # somebody else's, which is no file
        return False
    return os.path.samestat(opened, Path(os.devnull).stat())


@contextlib.contextmanager
def although_unheard() -> Iterator[None]:
    """Let what was done count, and not whether standard output took the word of it."""
    try:
        yield
    except OutputError as error:
        if error.errno != errno.EPIPE:  # who left is told nothing
            tell(f"enapter-async: standard output was not written: {error.strerror}")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _text(raw: io.FileIO, before: Any) -> io.TextIOWrapper:
    # A terminal that lacks a letter of a device's name must not end a run.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None),
        errors="backslashreplace",
        line_buffering=True,
    )
