"""What the README shows works as it stands: each Python block is run against the emulator."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from enapter_async import Pacing, RetryPolicy, Timeouts
from enapter_async.emulator import Emulator, World

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PROGRAMS = [block for block in BLOCKS if "asyncio.run(" in block]
TESTS = [block for block in BLOCKS if "def test_" in block]

FLEET: list[dict[str, Any]] = [
    {
        "id": f"dev-{number}",
        "name": f"Pump {number}",
        "slug": f"pump-{number}",
        "site_id": "site-1",
        "blueprint_id": "bp-1",
        "type": "STANDALONE",
        "authorized_role": "OWNER",
    }
    for number in range(1, 6)
]


def first_line(program: str) -> str:
    return next(line.strip() for line in program.splitlines() if "await " in line or "Run(" in line)


async def run(*command: str, base_url: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program in another process, which the emulator in this one answers."""
    environment = {
        **os.environ,
        "ENAPTER_HTTP_API_BASE_URL": base_url,
        "ENAPTER_HTTP_API_TOKEN": "readme",
    }
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", *command],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def test_every_block_is_run_by_one_of_these_tests() -> None:
    assert len(BLOCKS) == len(PROGRAMS) + len(TESTS)
    assert PROGRAMS
    assert TESTS


@pytest.mark.parametrize("program", PROGRAMS, ids=first_line)
async def test_a_program_runs(program: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(program, "utf-8")
    async with Emulator(world=World.from_json(FLEET), token="readme") as emulator:
        ended = await run(str(file), base_url=emulator.base_url, cwd=tmp_path)
        updates = emulator.world.count("update")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert updates >= 1


def test_the_ten_line_program_has_ten_lines() -> None:
    lines = [line for line in PROGRAMS[0].splitlines() if line.strip()]
    assert len(lines) <= 10


@pytest.mark.parametrize("block", TESTS)
async def test_a_test_passes(block: str, tmp_path: Path) -> None:
    (tmp_path / "test_shown.py").write_text(block, "utf-8")
    settings = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{settings}", "utf-8")
    ended = await run("-m", "pytest", "-q", "-p", "no:cacheprovider", base_url="", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout


@pytest.mark.parametrize("command", ["enapter-async demo", "pytest"])
def test_both_commands_are_one_line_each(command: str) -> None:
    lines = [line for line in README.splitlines() if line.startswith("$ ") and command in line]
    assert len(lines) == 1


def test_the_default_of_each_setting_is_the_one_that_is_told() -> None:
    assert RetryPolicy() == RetryPolicy(
        attempts=4, base_delay=0.5, max_delay=20.0, deadline=60.0, max_retry_after=120.0
    )
    assert Timeouts() == Timeouts(connect=10.0, read=30.0)
    assert Pacing() == Pacing(max_in_flight=100, max_rate=None)
