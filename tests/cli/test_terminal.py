"""Commands on their own terminal: tables, questions, the bar of a run; and a full disk."""

import io
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from enapter_async.cli.app import cli
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.progress import Bar, Watch
from enapter_async.emulator import Drop, Emulator, Reply, TooManyRequests, World
from enapter_async.fleet import Outcome, State
from enapter_async.operations.devices import UpdateDevice
from tests.support.forks.starting import programs

if sys.platform != "win32":
    import pty

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="this system has no pseudo-terminals")
PATIENCE = 60.0
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(
    *arguments: str, environment: Mapping[str, str], typed: str = ""
) -> tuple[int, str]:
    """Run a command on a terminal, type something, and return how it ended and its output."""
    keyboard, terminal = pty.openpty()
    told = {**os.environ, "TERM": "xterm", "COLUMNS": "220", "LINES": "50", **environment}
    for name in ("NO_COLOR", "CI"):
        told.pop(name, None)
    with subprocess.Popen(  # noqa: S603 - our own program
        [str(programs(told) / "enapter-async"), *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=told,
    ) as process:
        os.close(terminal)
        os.write(keyboard, typed.encode())
        shown = b""
        ending = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < ending:
                if not select.select([keyboard], [], [], 1.0)[0]:
                    continue
                piece = os.read(keyboard, 65536)
                if not piece:
                    break
                shown += piece
        except OSError:  # Linux reports this when the other side is gone
            pass
        finally:
            os.close(keyboard)
            if process.poll() is None and time.monotonic() >= ending:
                process.kill()
        code = process.wait(PATIENCE)
    return code, COLOUR.sub("", shown.decode())


@POSIX
def test_a_list_on_a_terminal_is_a_table(world: World, environment: dict[str, str]) -> None:
    narrow = {**environment, "COLUMNS": "80"}
    code, shown = on_a_terminal("devices", "list", environment=narrow)
    assert code == 0
    header, first, *_ = COLOUR.sub("", shown).splitlines()
    assert header.split()[:2] == ["ID", "NAME"]
    assert header.index("NAME") == first.index(world.device(first.split()[0]).name), "aligned"
    assert all(device.id in shown for device in world)
    *table, left_out = shown.splitlines()
    assert max(map(len, table)) <= 80, "no line is wrapped, so that each id can be copied"
    assert left_out.startswith("not shown, for lack of room: ")
    assert "blueprint_id" in left_out


def test_a_narrow_terminal_shows_the_numbers_of_a_run_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    bar = Bar(10_000, Watch())
    operation = UpdateDevice(device_id="a", name="b")
    for state in (State.APPLIED, State.FAILED):
        bar.advance(Outcome(operation=operation, state=state))
    drawn = io.StringIO()
    Console(file=drawn, width=40).print(bar.shown())
    assert drawn.getvalue().split() == ["2/10000", "1", "applied", "1", "failed"]


@POSIX
@pytest.mark.parametrize(("typed", "gone"), [("y\n", True), ("n\n", False)], ids=["yes", "no"])
def test_a_deletion_asks_for_confirmation(
    world: World, environment: dict[str, str], leaf: str, typed: str, gone: bool
) -> None:
    code, shown = on_a_terminal("devices", "delete", leaf, environment=environment, typed=typed)
    assert f"Permanently delete {leaf}?" in shown
    assert (leaf not in world) is gone
    assert (code == 0) is gone


@POSIX
def test_a_run_on_a_terminal_has_a_bar_with_its_states(
    emulator: Emulator, world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    rows = [
        {"operation": "update", "device_id": device.id, "name": "new"} for device in world.devices
    ]
    path = tmp_path / "changes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    emulator.faults.add(Drop(after_effect=True), method="PATCH", times=2)
    emulator.faults.add(TooManyRequests(retry_after=1), method="PATCH")
    code, shown = on_a_terminal("fleet", "apply", str(path), environment=environment)
    assert code == 0, shown
    count = len(rows)
    assert f"{count}/{count}" in shown
    assert f"{count} applied" in shown
    assert "failed attempts" in shown
    assert world.count("update") >= count


@POSIX
def test_a_stopped_run_is_not_shown_as_done(
    emulator: Emulator, world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "changes.csv"
    rows = "".join(f"update,{device.id},new\n" for device in world)
    path.write_text(f"operation,device_id,name\n{rows}")
    emulator.faults.add(Reply(status=401), method="PATCH", times=None)
    apply = ("fleet", "apply", str(path), "--concurrency", "1", "--waves", "none")
    code, shown = on_a_terminal(*apply, environment=environment)
    assert code == Exit.STOPPED
    assert "39 held" in shown
    assert "1/40" in shown
    assert "40/40" not in shown
    told = CliRunner(env=environment).invoke(cli, [*apply]).stderr
    assert "39 held" not in told
    assert "40 of 40" not in told


def test_a_full_disk_behind_standard_output_stops_the_run(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    path = tmp_path / "changes.jsonl"
    row = {"operation": "update", "name": "new"}
    rows = [json.dumps({**row, "device_id": device.id}) + "\n" for device in world]
    path.write_text("".join(rows))
    command = ["fleet", "apply", "--json", "--concurrency", "1", str(path)]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(  # noqa: S603 - our own program
            [str(Path(sys.executable).with_name("enapter-async")), *command],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
            check=False,
            timeout=PATIENCE,
        )
    assert ended.stderr.count("an outcome could not be written") == 1
    assert "fleet resume" in ended.stderr
    assert 1 <= world.count("update") < len(rows)
    assert ended.returncode == Exit.STOPPED
