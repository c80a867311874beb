"""A Python that has imported the package, and forks a process for each command it is asked for.

Its arguments are the listening socket and what to import besides. It exits at the end of its
standard input. A client sends its standard streams; the process takes the rest from `/proc`:
arguments, folder, environment, limits, umask, and which signals are ignored or blocked. If
something differs that Python or a library reads only when it starts, the process executes the
program itself instead.
"""

import atexit
import contextlib
import gc
import importlib
import io
import os
import pkgutil
import resource
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import attrs

import enapter_async
from tests.support.forks import OF_THE_START

LEFT_OUT: Final = {
    "enapter_async.__main__",
    "enapter_async.emulator.plugin",
    "enapter_async.fleet.distributed.engines",
    "enapter_async.integrations",
}
"""Modules that are not imported: the last three need large libraries, which few commands use."""
_LIMITS: Final = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}


@attrs.frozen(kw_only=True)
class Asked:
    """The process that a client wants: its standard streams, each with its descriptor here."""

    client: int
    streams: dict[int, int]


@attrs.frozen(kw_only=True)
class _Child:
    pid: int
    process: int
    connection: socket.socket

    @classmethod
    def of(cls, pid: int, connection: socket.socket, selector: selectors.BaseSelector) -> Self:
        child = cls(pid=pid, process=os.pidfd_open(pid), connection=connection)
        selector.register(child.process, selectors.EVENT_READ)
        selector.register(connection, selectors.EVENT_READ)
        return child

    def close(self) -> None:
        self.connection.close()
        os.close(self.process)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process, number)

    def listen(self) -> bool:
        """Pass signals on; return False when the client was killed, which kills its process."""
        try:
            numbers = self.connection.recv(64)
        except ConnectionError:
            numbers = b""
        for number in numbers or (signal.SIGKILL,):
            self.signal(number)
        return numbers != b""

    def report(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            self.connection.sendall(status.to_bytes(4, sys.byteorder))


def serve(listener: socket.socket) -> Asked | None:
    """Return in each forked process what it is asked for, and None in the server at its end."""
    children: list[_Child] = []
    with listener, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if 0 in ready:
                for child in children:
                    child.signal(signal.SIGKILL)
                return None
            children = [child for child in children if _goes_on(child, ready, selector)]
            if listener.fileno() in ready:
                connection, _ = listener.accept()
                asked = _asked(connection)
                if asked is None:
                    connection.close()
                elif pid := os.fork():
                    children.append(_Child.of(pid, connection, selector))
                    for each in asked.streams.values():
                        os.close(each)
                else:
                    connection.close()
                    for child in children:
                        child.close()
                    return asked


def _goes_on(child: _Child, ready: set[int], selector: selectors.BaseSelector) -> bool:
    """Pass signals on to a process, or report how it has ended."""
    if child.connection.fileno() in ready and not child.listen():
        selector.unregister(child.connection)
    if child.process not in ready:
        return True
    child.report()
    selector.unregister(child.process)
    with contextlib.suppress(KeyError):
        selector.unregister(child.connection)
    child.close()
    return False


def _asked(connection: socket.socket) -> Asked | None:
    """Return what a client asks for, or None if it has been killed meanwhile."""
    told, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    if not told:
        return None
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    client, _, _ = struct.unpack("3i", peer)
    opened = [each for each in range(3) if told[0] & 1 << each]
    return Asked(client=client, streams=dict(zip(opened, descriptors, strict=True)))


@contextlib.contextmanager
def recording() -> Iterator[set[str]]:
    """Record the names of environment variables that are read."""
    names: set[str] = set()

    class Recording(os._Environ[str]):
        def __getitem__(self, name: str) -> str:
            names.add(name)
            return super().__getitem__(name)

    os.environ.__class__ = Recording
    try:
        yield names
    finally:
        os.environ.__class__ = os._Environ


def load(*others: str) -> set[str]:
    """Import the package's modules, and others; return the variables that were read."""
    with recording() as names:
        for name in (*_parts(enapter_async.__path__, "enapter_async."), *others):
            importlib.import_module(name)
    return names


def _parts(path: Iterable[str], prefix: str) -> Iterator[str]:
    for part in pkgutil.iter_modules(path, prefix):
        if part.name not in LEFT_OUT:
            yield part.name
            if part.ispkg:
                yield from _parts(importlib.import_module(part.name).__path__, f"{part.name}.")


def become(asked: Asked, read: set[str]) -> list[str]:
    """Take over what a process inherits; return the program and its arguments."""
    _take_streams(asked.streams)
    proc = Path("/proc", str(asked.client))
    *program, _ = map(os.fsdecode, (proc / "cmdline").read_bytes().split(b"\0"))
    del program[: program.index("-IS") + 3]  # the client and its socket
    pairs = [each.partition(b"=") for each in (proc / "environ").read_bytes().split(b"\0")]
    environment = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs if name}
    status = dict(
        line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
    )
    os.setpgid(0, 0)
    os.chdir(proc / "cwd")
    os.umask(int(status["Umask"], 8))
    for limit in _LIMITS:
        resource.setrlimit(limit, resource.prlimit(asked.client, limit))
    _take_signals(ignored=int(status["SigIgn"], 16), blocked=int(status["SigBlk"], 16))
    same = all(os.environ.get(name) == environment.get(name) for name in read)
    if len(asked.streams) < 3 or not same or _own(os.environ) != _own(environment):
        _execute(program, environment)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    return program


def _own(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(OF_THE_START)}


def _take_signals(*, ignored: int, blocked: int) -> None:
    """Set each signal as Python does when it starts."""
    by_python = {signal.SIGPIPE, signal.SIGXFSZ}
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if ignored & 1 << number - 1 or number in by_python:
            signal.signal(number, signal.SIG_IGN)
        else:
            interrupts = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupts else signal.SIG_DFL)
    signal.pthread_sigmask(
        signal.SIG_SETMASK,
        {number for number in signal.valid_signals() if blocked & 1 << number - 1},
    )


def _take_streams(streams: dict[int, int]) -> None:
    """Connect the standard streams, and open them as Python does when it starts."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if descriptor not in streams:
            os.close(descriptor)
            continue
        os.dup2(streams[descriptor], descriptor)
        os.close(streams[descriptor])
        written = descriptor > 0
        before = getattr(sys, name)
        raw = io.FileIO(descriptor, "wb" if written else "rb", closefd=False)
        raw.name = f"<{name}>"
        text: Any = io.TextIOWrapper(
            _buffered(raw, written=written, unbuffered=unbuffered),
            encoding=before.encoding,
            errors=before.errors,
            newline="\n",
            line_buffering=not unbuffered and (raw.isatty() or name == "stderr"),
            write_through=written and unbuffered,
        )
        text.mode = "w" if written else "r"
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def _buffered(raw: io.FileIO, *, written: bool, unbuffered: bool) -> Any:
    if not written:
        return io.BufferedReader(raw)
    return raw if unbuffered else io.BufferedWriter(raw)


def _execute(program: list[str], environment: dict[str, str]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the client is Python, which ignores them
        signal.signal(number, signal.SIG_DFL)
    os.execve(program[0], program, environment)  # noqa: S606 - what the client was asked to start


def run(program: list[str], environment: dict[str, str]) -> None:
    """Run a program as its interpreter would; execute the interpreter for anything unusual."""
    match program:
        case [sys.executable, "-m", module, *arguments]:
            sys.argv, sys.path[0] = [module, *arguments], str(Path.cwd())
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [sys.executable, script, *arguments] if script.endswith(".py"):
            sys.argv, sys.path[0] = [script, *arguments], str(Path(script).parent.resolve())
            runpy.run_path(script, run_name="__main__")
        case [sys.executable, *_]:
            _execute(program, environment)
        case [script, *arguments]:
            sys.argv, sys.path[0] = [script, *arguments], str(Path(script).parent)
            runpy.run_path(script, run_name="__main__")


def main() -> None:
    """Serve; in a forked process, run the program, and end as it ends."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    read = load(*sys.argv[2:])
    gc.collect()
    gc.freeze()
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a fork would lack the other threads"
    asked = serve(listener)
    if asked is None:
        return
    code = 0
    try:
        run(become(asked, read), {**os.environ})
    except SystemExit as ending:
        if not isinstance(ending.code, int | None):
            raise
        code = ending.code or 0
    _end(code)


def _end(code: int) -> NoReturn:
    """Do what Python does at its end, except clearing each module.

    That would touch, and so copy, all memory that is shared with the server: it takes three times
    as long as everything else here.
    """
    vars(threading)["_shutdown"]()
    atexit._run_exitfuncs()
    gc.collect()  # which warns of what was not closed or awaited
    for stream in (sys.stdout, sys.stderr):
        try:
            if not stream.closed:
                stream.flush()
        except OSError as error:
            sys.stderr.write(f"Exception ignored in: {stream!r}\n{error!r}\n")
            code = 120
    os._exit(code & 0xFF)


if __name__ == "__main__":
    main()
