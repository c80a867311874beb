"""Commands in their own processes, for signals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.forks.starting import programs


@contextmanager
def process(
    *arguments: str, environment: Mapping[str, str], forked: bool = True
) -> Iterator["subprocess.Popen[str]"]:
    """Start a command as a terminal does, and make sure that it has ended afterwards.

    It is a fork of an imported Python (see `tests.support.forks`), unless its children matter, or
    exactly when it is gone after `kill`.
    """
    if sys.platform != "win32":
        # Tests that run under nohup ignore SIGHUP, and a process inherits that.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    told = {**os.environ, **environment}
    folder = programs(told) if forked else Path(sys.executable).parent
    started = subprocess.Popen(  # noqa: S603 - our own program
        [str(folder / "enapter-async"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=told,
    )
    with started:
        try:
            yield started
        finally:
            started.kill()
