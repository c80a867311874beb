"""Runs commands in forked children that lack something a process usually has.

A job arrives as a line of JSON on standard input: the command's `arguments`, the things to take
away (`taken`), the working `folder`, and a `port` if the command serves until it is terminated. The
answer is a line with its `code`, `output` and `messages`. A fork costs less than starting Python.
"""

import contextlib
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from enapter_async.cli import main
from tests.support.forks.server import load

PATIENCE: Final = 60.0
NOBODY_KNOWN: Final = 54321
"""A user id that the system does not know."""


def _close(*descriptors: int) -> Callable[[], None]:
    def take() -> None:
        for descriptor in descriptors:
            os.close(descriptor)
            # The interpreter sets this if a stream is closed when it starts.
            for name in ("{}", "__{}__"):
                setattr(sys, name.format(("stdin", "stdout", "stderr")[descriptor]), None)

    return take


def _full(descriptor: int) -> Callable[[], None]:
    def take() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)

    return take


def _broken(descriptor: int) -> Callable[[], None]:
    def take() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, descriptor)

    return take


def _home() -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "ENAPTER_STATE_DIR", "ENAPTER_CONFIG"):
        os.environ.pop(name, None)
    if os.geteuid() == 0:
        os.setreuid(NOBODY_KNOWN, 0)  # who may still read this very program


def _descriptors() -> None:
    used = len([*Path("/proc/self/fd").iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, used + 2))


def _disk() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _folder() -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").rmdir()


TAKEN: Final[Mapping[str, Callable[[], None]]] = {
    "stdout closed": _close(1),
    "all closed": _close(0, 1, 2),
    "stdout full": _full(1),
    "stderr full": _full(2),
    "stdout broken": _broken(1),
    "stderr broken": _broken(2),
    "home and user": _home,
    "descriptors": _descriptors,
    "disk": _disk,
    "folder": _folder,
}


def _child(job: Mapping[str, Any]) -> int:
    os.chdir(job["folder"])
    os.environ.update(job["environment"])
    TAKEN[job["taken"]]()
    try:
        code = main([*map(os.fsdecode, job["arguments"])])
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException:  # noqa: BLE001 - as the interpreter does it
        with contextlib.suppress(Exception):
            traceback.print_exc()
        return 70
    return code


def _run(job: dict[str, Any]) -> dict[str, Any]:
    pipes = [os.pipe(), os.pipe()]
    child = os.fork()
    if child == 0:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, source in enumerate((nothing, pipes[0][1], pipes[1][1])):
            os.dup2(source, descriptor)
        os.closerange(3, 64)
        os._exit(_child(job))
    for _, writing in pipes:
        os.close(writing)
    told = {reading: b"" for reading, _ in pipes}
    code = None
    with selectors.DefaultSelector() as selector:
        for reading in told:
            selector.register(reading, selectors.EVENT_READ)
        ending = time.monotonic() + PATIENCE
        while code is None or selector.get_map():
            for key, _ in selector.select(0.01):
                piece = os.read(key.fd, 65536)
                told[key.fd] += piece
                if not piece:
                    selector.unregister(key.fd)
                    os.close(key.fd)
            if code is None:
                code = _tend(child, job, late=time.monotonic() > ending)
    output, messages = (text.decode("utf-8", "backslashreplace") for text in told.values())
    return {"code": code, "output": output, "messages": messages}


def _tend(child: int, job: dict[str, Any], *, late: bool) -> int | None:
    """Return how a child has ended; terminate it if it serves, and kill it if it is late."""
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        return os.waitstatus_to_exitcode(status)
    if late:
        os.kill(child, signal.SIGKILL)
    elif job["port"] is not None and _serves(job["port"]):
        os.kill(child, signal.SIGTERM)
        job["port"] = None
    return None


def _serves(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    load()
    gc.collect()
    gc.freeze()  # so that a collection in a child does not copy what all share
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))) + "\n")
        sys.stdout.flush()
