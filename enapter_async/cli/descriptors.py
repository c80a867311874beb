"""Raises the limit of open files, and computes how many connections it allows."""

import errno
import sys
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import resource

_ENOUGH: Final = 65536
_FEWEST: Final = 8
"""An event loop takes three descriptors, a connection one, a run's folder and journal four."""
_SPARE: Final = 32
"""Files a run needs besides connections: the journal, its lock, credentials, results, imports."""


def raise_limit() -> None:
    """Raise the soft limit of open files (often 1024) as far as the hard limit allows."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def check_spare() -> None:
    """Raise OSError if so few files can still be opened that even an event loop would fail."""
    opened = Path("/proc/self/fd")
    if sys.platform == "win32" or not opened.exists():
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = _FEWEST if soft == resource.RLIM_INFINITY else soft - sum(1 for _ in opened.iterdir())
    if spare < _FEWEST:
        reason = f"only {spare} more files can be opened, and a command needs at least {_FEWEST}"
        raise OSError(errno.EMFILE, f"{reason}: raise the limit with `ulimit -n`")


def connections(wanted: int) -> int:
    """Return how many of the requested connections can be open at the same time."""
    if sys.platform == "win32":
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(1, soft - _SPARE))
