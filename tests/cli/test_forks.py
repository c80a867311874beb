"""Commands that are forked, compared with commands that are started."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.forks.starting import programs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems fork nothing")

INHERITED = """
import json, os, resource, signal, sys
print(json.dumps({
    "arguments": sys.argv,
    "path": sys.path,
    "folder": os.getcwd(),
    "environment": {**os.environ},
    "umask": os.umask(0),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "signals": {int(each): repr(signal.getsignal(each)) for each in signal.valid_signals()},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "descriptors": os.listdir("/proc/self/fd"),
    "streams": [[repr(each), each and each.line_buffering, each and each.errors]
                for each in (sys.stdin, sys.stdout, sys.stderr)],
    "typed": sys.stdin and sys.stdin.read(),
    "module": __name__,
    "pid": os.getpid(),
    "forked": "enapter_async.client" in sys.modules,
}), flush=True)
match sys.argv[1:]:
    case ["code", code]:
        sys.exit(int(code))
    case ["signal", number]:
        os.kill(os.getpid(), int(number))
    case ["wait"]:
        signal.pause()
    case ["raise"]:
        raise SystemExit("wrong")
"""
FORKED = (
    'umask 027; ulimit -n 100; trap "" HUP INT; A=1 exec "$0" told.py code 7',
    'exec "$0" -m told signal 15 2>/dev/null',
    'exec "$0" told.py raise',
)
STARTED = (
    'LC_ALL=C exec "$0" told.py',
    'PYTHONHASHSEED=1 exec "$0" told.py',
    'exec "$0" -O told.py',
    'exec "$0" told.py <&-',
)


def ended(folder: Path, line: str, program: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own text
        ["/bin/sh", "-c", line, str(program)],
        cwd=folder, input="typed", capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "told.py").write_text(INHERITED)
    return tmp_path


@pytest.mark.parametrize(("lines", "forks"), [(FORKED, True), (STARTED, False)])
def test_a_command_inherits_and_ends_as_one_that_is_started(
    folder: Path, lines: tuple[str, ...], *, forks: bool
) -> None:
    for line in lines:
        forked = ended(folder, line, programs(os.environ) / "python")
        started = ended(folder, line, Path(sys.executable))
        told, expected = json.loads(forked.stdout), json.loads(started.stdout)
        assert (told.pop("forked"), expected.pop("forked")) == (forks, False), line
        assert told.pop("pid") != expected.pop("pid")
        assert told == expected
        assert (forked.returncode, forked.stderr) == (started.returncode, started.stderr)


def test_a_signal_is_passed_on_and_a_killed_command_ends(folder: Path) -> None:
    command = [str(programs(os.environ) / "python"), "told.py", "wait"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as started:  # noqa: S603 - our own text
            assert started.stdout is not None
            started.stdout.readline()
            started.send_signal(number)
            assert started.stdout.read() == b"", "the process has ended, which holds the pipe"
            assert started.wait(60) == -number


def test_a_signal_that_arrives_after_the_end_changes_nothing(folder: Path) -> None:
    command = [str(programs(os.environ) / "python"), "told.py", "wait"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as started:  # noqa: S603 - our own text
        assert started.stdout is not None
        told = json.loads(started.stdout.readline())
        started.send_signal(signal.SIGSTOP)
        os.kill(told["pid"], signal.SIGTERM)
        assert started.stdout.read() == b"", "the process has ended, which holds the pipe"
        time.sleep(0.05)  # its server hears of it a moment later
        started.send_signal(signal.SIGCONT)
        assert started.wait(60) == -signal.SIGTERM
