"""Commands in their own processes, for signals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def process(*arguments: str, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Start a command as a terminal does, and make sure that it has ended afterwards."""
    if sys.platform != "win32":
        # Tests that run under nohup ignore SIGHUP, and a process inherits that.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    started = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "enapter_async", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    with started:
        try:
            yield started
        finally:
            started.kill()
