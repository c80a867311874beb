"""Starts servers, and returns the programs whose processes they fork."""

import atexit
import functools
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.forks import OF_THE_START

ROOT: Final = Path(__file__).parents[3]
CLIENT: Final = Path(__file__).with_name("client.py")
PROGRAMS: Final = ("enapter-async", "python", "uvicorn")

Variables = tuple[tuple[str, str], ...]


def programs(environment: Mapping[str, str], *imports: str) -> Path:
    """Return the folder of the programs to start in an environment.

    Their server has imported the package and `imports`; on other systems they are those beside this
    Python.
    """
    if sys.platform != "linux":
        return Path(sys.executable).parent
    own = {name: value for name, value in environment.items() if name.startswith(OF_THE_START)}
    return _server(tuple(sorted(own.items())), imports)


@functools.cache
def _server(own: Variables, imports: tuple[str, ...]) -> Path:
    """Start a server, which ends with this process at the latest, and write its programs."""
    temporary = tempfile.TemporaryDirectory(prefix="forks-")
    folder = Path(temporary.name)
    others = {k: v for k, v in os.environ.items() if not k.startswith(OF_THE_START)}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(64)
        number = listener.fileno()
        server = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "tests.support.forks.server", str(number), *imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env={**others, **dict(own)},
            pass_fds=[number],
            start_new_session=True,
        )
    atexit.register(_end, server, temporary)
    for name in PROGRAMS:
        real = sys.executable if name == "python" else str(Path(sys.executable).with_name(name))
        words = [sys.executable, "-IS", str(CLIENT), str(folder / "socket"), real]
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def _end(server: "subprocess.Popen[bytes]", folder: "tempfile.TemporaryDirectory[str]") -> None:
    with folder:
        server.communicate()
