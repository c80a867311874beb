"""Runs tests in a child process that was broken first, and reports the result.

A child is forked from a parent that has already imported the libraries, so that a trial costs
little more than its tests. It leads its own process group, which ends with it.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Literal

import attrs
import hypothesis
import pytest

from tests.support.budget import EXAMPLES

if sys.platform != "win32":
    import resource

ROOT: Final = Path(__file__).parents[2]

OPTIONS: Final = (
    "-x",
    "-q",
    "--tb=short",
    "--no-header",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--hypothesis-profile=broken",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
TOLD: Final = 3000
"""How many characters of a trial's output are kept."""

MOST_BYTES: Final = 2 << 30
"""The address space that a trial may use; a trial that fills a list endlessly then fails."""

State = Literal["caught", "survived", "broke down", "no end"]


@attrs.frozen(kw_only=True)
class Trial:
    """The tests to run: `prepare` breaks something in the child, `tests` are pytest's arguments.

    Each test may take `timeout` seconds; one that hangs has failed.
    """

    name: str
    tests: Sequence[str]
    prepare: Callable[[], object] = lambda: None
    timeout: float = 8.0


@attrs.frozen(kw_only=True)
class Verdict:
    """The result of a trial.

    "caught": a test failed, `test` is its id, whatever pytest did afterwards. "survived": all tests
    passed or were skipped. "broke down": pytest could not run them. "no end": they took too long.
    """

    name: str
    state: State
    test: str = ""
    seconds: float = 0.0
    told: str = ""


class _Watch:
    """Records the first test that fails."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def _run(trial: Trial, folder: Path, answer: Connection) -> None:
    """Act as the child: break, test in the folder, send the result."""
    os.setsid()
    os.chdir(ROOT)
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, most))
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
        # Shrinking an example would only cost time, and keeping it would mislead a later run.
        hypothesis.settings.register_profile(
            "broken",
            max_examples=EXAMPLES,
            database=None,
            derandomize=True,
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        watch = _Watch()
        code: int = pytest.ExitCode.INTERNAL_ERROR
        try:
            trial.prepare()
            limit = f"--timeout={trial.timeout}"
            # A separate folder: pytest cleans up a shared one, and trials run side by side.
            base = f"--basetemp={folder / 'tests'}"
            code = pytest.main([*OPTIONS, limit, base, *trial.tests], plugins=[watch])
        except BaseException:  # noqa: BLE001 - whatever a break does is reported to the parent
            traceback.print_exc()
        with contextlib.suppress(ValueError, OSError):
            sys.stdout.flush()
        log.seek(0)
        answer.send((int(code), watch.failed, log.read()[-TOLD:]))
    answer.close()
    os._exit(0)


@attrs.define
class _Child:
    trial: Trial
    process: BaseProcess
    answer: Connection
    folder: Path
    began: float

    @classmethod
    def start(cls, trial: Trial) -> "_Child":
        fork = multiprocessing.get_context("fork")
        ours, theirs = fork.Pipe(duplex=False)
        folder = Path(tempfile.mkdtemp(prefix="trial-"))
        process = fork.Process(target=_run, args=(trial, folder, theirs), daemon=False)
        process.start()
        theirs.close()
        return cls(trial, process, ours, folder, time.monotonic())

    def verdict(self) -> Verdict:
        seconds = time.monotonic() - self.began
        try:
            code, failed, told = self.answer.recv()
        except EOFError:
            code, failed, told = pytest.ExitCode.INTERNAL_ERROR, "", "the child died"
        state: State = "broke down"
        if failed:
            state = "caught"
        elif code == pytest.ExitCode.OK:
            state = "survived"
        return Verdict(name=self.trial.name, state=state, test=failed, seconds=seconds, told=told)

    def end(self) -> None:
        """Kill all of its processes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.answer.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def verdicts(trials: Iterable[Trial], *, jobs: int, seconds: float) -> Iterator[Verdict]:
    """Run trials, `jobs` at a time, and yield the result of each as it ends.

    A trial that takes more than `seconds` is ended.
    """
    left = iter(trials)
    running: list[_Child] = []
    try:
        while True:
            while len(running) < jobs and (trial := next(left, None)) is not None:
                running.append(_Child.start(trial))
            if not running:
                return
            now = time.monotonic()
            first = min(child.began + seconds - now for child in running)
            ready = wait([child.answer for child in running], max(0.0, first))
            now = time.monotonic()
            for child in list(running):
                late = now - child.began >= seconds
                if child.answer not in ready and not late:
                    continue
                running.remove(child)
                if child.answer in ready:
                    verdict = child.verdict()
                else:
                    spent = now - child.began
                    verdict = Verdict(name=child.trial.name, state="no end", seconds=spent)
                child.end()
                yield verdict
    finally:
        for child in running:
            child.end()
