"""Ctrl-C: a real signal to a real process that the test started."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from enapter_async.cli.app import cli
from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator, Hang, Latency, World
from enapter_async.emulator.faults import Target
from tests.cli.conftest import Run
from tests.cli.processes import process
from tests.support.forks.starting import programs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class Arrivals:
    """Sees each request as it arrives, and signals when enough have arrived."""

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._count = 0
        self.came = threading.Event()

    def __call__(self, _: Target) -> bool:
        self._count += 1
        if self._count >= self._enough:
            self.came.set()
        return True


def wait_for(started: "subprocess.Popen[str]", word: str) -> None:
    """Read standard error up to a line that contains the text."""
    assert started.stderr is not None
    for line in started.stderr:
        if word in line:
            return
    raise AssertionError(f"{word!r} was never printed")


@pytest.mark.parametrize(
    ("number", "ending"),
    [
        (signal.SIGINT, Exit.INTERRUPTED),
        (signal.SIGTERM, Exit.TERMINATED),
        (signal.SIGHUP, Exit.HUNG_UP),
    ],
)
def test_the_first_signal_drains_and_reports(
    *,
    world: World,
    emulator: Emulator,
    environment: dict[str, str],
    changes: str,
    number: signal.Signals,
    ending: Exit,
) -> None:
    arrivals = Arrivals(enough=4)
    emulator.faults.add(Latency(seconds=0.4), when=arrivals, times=None)
    arguments = ["fleet", "apply", changes, "--concurrency", "4", "--json"]
    with process(*arguments, environment=environment) as started:
        assert arrivals.came.wait(60)
        started.send_signal(number)
        output, said = started.communicate(timeout=60)
    assert started.returncode == ending
    rows = [json.loads(line) for line in output.splitlines()]
    applied = [row["device_id"] for row in rows if row.get("state") == "applied"]
    assert {effect.device_id for effect in world.log.effects()} == set(applied)
    assert 4 <= len(applied) < 40
    assert len(applied) + sum(row.get("state") == "held" for row in rows) == 40
    assert "operations in flight may finish" in said
    assert rows[-1]["report"]["complete"] is True


def test_the_second_signal_cuts_off_operations_in_flight(
    emulator: Emulator, environment: dict[str, str], changes: str
) -> None:
    arrivals = Arrivals(enough=3)
    emulator.faults.add(Hang(), when=arrivals, times=None)
    arguments = ["fleet", "apply", changes, "--waves", "none", "--concurrency", "3", "--json"]
    with process(*arguments, environment=environment) as started:
        assert arrivals.came.wait(60)
        started.send_signal(signal.SIGINT)
        wait_for(started, "interrupt again to cancel them")
        started.send_signal(signal.SIGINT)
        output, _ = started.communicate(timeout=60)
    assert started.returncode == Exit.INTERRUPTED
    states = [json.loads(line).get("state") for line in output.splitlines()]
    assert states.count("unknown") == 3
    assert states.count("held") == 37


def single(leaf: str) -> list[str]:
    return ["devices", "update", leaf, "--name", "new"]


def reading(leaf: str) -> list[str]:
    return ["devices", "get", leaf]


@pytest.mark.parametrize(("command", "signals"), [(single, 2), (reading, 1)])
def test_a_single_command_can_be_cut_off(
    *,
    emulator: Emulator,
    environment: dict[str, str],
    leaf: str,
    command: Callable[[str], list[str]],
    signals: int,
) -> None:
    arrivals = Arrivals(enough=1)
    emulator.faults.add(Hang(), when=arrivals, times=None)
    with process(*command(leaf), environment=environment) as started:
        assert arrivals.came.wait(60)
        started.send_signal(signal.SIGINT)
        if signals > 1:
            wait_for(started, "interrupt again to cancel them")
            started.send_signal(signal.SIGINT)
        output, said = started.communicate(timeout=60)
    assert started.returncode == Exit.INTERRUPTED
    assert output == ""
    assert "Traceback" not in said
    assert ("may or may not have been done" in said) is (signals > 1)


def test_ctrl_c_ends_the_emulator_cleanly(run: Run, environment: dict[str, str]) -> None:
    with process("emulator", "--devices", "3", "--json", environment=environment) as started:
        assert started.stdout is not None
        told = json.loads(started.stdout.readline())
        assert told["base_url"].startswith("http://127.0.0.1:")
        settings = {"ENAPTER_HTTP_API_BASE_URL": told["base_url"]}
        settings["ENAPTER_HTTP_API_TOKEN"] = told["token"]
        reached = run("devices", "list", env=settings)
        assert len(reached.stdout.splitlines()) == 3
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=60)
    assert started.returncode == Exit.DONE
    assert "Traceback" not in said


@pytest.mark.parametrize(("lost", "ending"), [("writes", Exit.DONE), ("all", Exit.UNKNOWN)])
def test_the_emulator_loses_answers_on_request(
    environment: dict[str, str], tmp_path: Path, lost: str, ending: Exit
) -> None:
    """If reads are answered, changes are settled by reading back; configurations never are."""
    device = next(
        each.id
        for each in World.seeded(40, 1)
        if each.type == "STANDALONE" and each.permits("OWNER")
    )
    arguments = ["emulator", "--devices", "40", "--json", "--lose-answers", lost]
    with process(*arguments, environment=environment) as started:
        assert started.stdout is not None
        told = json.loads(started.stdout.readline())
        settings = {**environment, "ENAPTER_HTTP_API_BASE_URL": told["base_url"]}
        codes = [
            CliRunner(env=settings).invoke(cli, ["--attempts", "1", "devices", *each]).exit_code
            for each in (
                ["update", device, "--name", "Boiler"],
                ["generate-config", device, "-o", str(tmp_path / "new.jsonl")],
            )
        ]
        started.send_signal(signal.SIGINT)
        started.communicate(timeout=60)
    assert codes == [ending, Exit.UNKNOWN]


LISTENING = """
import asyncio, signal, sys
from enapter_async.cli.interrupts import Interrupts
async def main():
    with Interrupts(lambda: print('first', flush=True), lambda: print('second', flush=True)):
        print('ready', flush=True)
        await asyncio.Event().wait()
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[1:] else signal.SIG_DFL)
asyncio.run(main())
"""


@contextmanager
def listening(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that prints the step in which it receives the signal."""
    (folder / "listening.py").write_text(LISTENING)
    command = [str(programs(os.environ) / "python"), str(folder / "listening.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:  # noqa: S603 - our own program
        assert started.stdout is not None
        try:
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            started.kill()


def heard(started: "subprocess.Popen[str]") -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


def test_the_third_signal_leaves_at_once(tmp_path: Path) -> None:
    with listening(tmp_path) as started:
        for word in ("first", "second"):
            started.send_signal(signal.SIGINT)
            assert heard(started) == word
        started.send_signal(signal.SIGINT)
        assert started.wait(60) == Exit.INTERRUPTED


def test_a_second_hang_up_cuts_nothing_off(tmp_path: Path) -> None:
    with listening(tmp_path) as started:
        started.send_signal(signal.SIGHUP)
        assert heard(started) == "first"
        started.send_signal(signal.SIGHUP)
        started.send_signal(signal.SIGTERM)
        assert heard(started) == "second"
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == Exit.HUNG_UP


def test_under_nohup_a_hang_up_is_ignored(tmp_path: Path) -> None:
    with listening(tmp_path, "nohup") as started:
        started.send_signal(signal.SIGHUP)
        started.send_signal(signal.SIGTERM)
        assert heard(started) == "first"
        started.send_signal(signal.SIGTERM)
        assert heard(started) == "second"
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == Exit.TERMINATED
