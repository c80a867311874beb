"""SIGKILL at named points: the journal never records less than was sent.

For 200 kills, run `python -m tests.fleet.kills --kills 200`.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async.converter.operations import operation_to_json
from enapter_async.emulator import Emulator, World
from enapter_async.operations.devices import GenerateConfig
from tests.fleet.killed_run import Settings
from tests.fleet.kills import IN_A_RESUME, POINTS, tell_story

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")

STRACE = shutil.which("strace")


HERE = tuple(point for point in POINTS if point != "after the intent's commit")
"""That point is also where a run is killed that is then killed again in a resume."""


@pytest.mark.parametrize("point", HERE, ids=[f"row47-{point}" for point in HERE])
async def test_a_killed_run_is_resumed_and_nothing_was_a_lie(point: str) -> None:
    killed, broken = await tell_story(point, POINTS.index(point))
    assert broken == []
    assert killed == (2 if point == "in a resume" else 1)


@pytest.mark.parametrize(
    "point", ["before the intent's commit", "between credentials and outcome", IN_A_RESUME]
)
async def test_a_killed_run_with_its_journal_in_postgresql_is_resumed_and_nothing_was_a_lie(
    point: str, database: str
) -> None:
    killed, broken = await tell_story(point, 0, database)
    assert broken == []
    assert killed == (2 if point == IN_A_RESUME else 1)


def traced(command: Sequence[str], output: Path) -> list[str]:
    """Run a command under strace and return its output; skip if tracing is forbidden."""
    assert STRACE is not None
    calls = "trace=fsync,fdatasync,write,pwrite64,sendto,sendmsg"
    ended = subprocess.run(  # noqa: S603 - our own interpreter, and strace
        [STRACE, "-f", "-y", "-s", "64", "-e", calls, "-o", str(output), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    if ended.returncode != 0 and "ptrace" in ended.stderr:
        pytest.skip("strace is not allowed to trace")
    assert ended.returncode == 0, ended.stderr
    return output.read_text().splitlines()


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_a_once_only_operation_is_on_the_disk_before_it_is_sent(tmp_path: Path) -> None:
    lines = _trace_of_one_mint(tmp_path)
    sent = next(number for number, line in enumerate(lines) if "POST /v3/devices" in line)
    log = re.escape(str(tmp_path / "run.db-wal"))
    intent_written = max(
        number
        for number, line in enumerate(lines[:sent])
        if re.search(rf"write64\(\d+<{log}>", line)
    )
    # The intent's page is written and the log is synced, and only then is the request sent.
    synced = [
        number
        for number, line in enumerate(lines[:sent])
        if number > intent_written and _is_a_finished_sync(lines, number, log)
    ]
    assert synced, "\n".join(lines[intent_written : sent + 1])


def _is_a_finished_sync(lines: list[str], number: int, log: str) -> bool:
    line = lines[number]
    if re.search(rf"f(data)?sync\(\d+<{log}>\)\s+= 0", line):
        return True
    resumed = re.search(r"^(\d+) .*f(data)?sync resumed>\)\s+= 0", line)
    if resumed is None:
        return False
    begun = [each for each in lines[:number] if each.startswith(f"{resumed[1]} ")]
    return re.search(rf"f(data)?sync\(\d+<{log}> <unfinished", begun[-1]) is not None


def _trace_of_one_mint(tmp_path: Path) -> list[str]:
    async def serve_and_trace() -> list[str]:
        world = World.seeded(40, 1, role="OWNER")
        device = next(each for each in world if each.type == "STANDALONE")
        operation = operation_to_json(GenerateConfig(device_id=device.id, protocol="MQTT"))
        async with Emulator(world=world) as emulator:
            settings = Settings(
                base_url=emulator.base_url,
                token=emulator.token,
                journal=str(tmp_path / "run.db"),
                credentials=str(tmp_path / "credentials.jsonl"),
                concurrency=1,
                operations=[operation],
            )
            told: dict[str, Any] = attrs.asdict(settings)
            command = [sys.executable, "-m", "tests.fleet.killed_run", json.dumps(told)]
            lines = await asyncio.to_thread(traced, command, tmp_path / "trace")
        assert world.log.count("generate_config") == 1
        return lines

    return asyncio.run(serve_and_trace())
