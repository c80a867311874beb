"""What the README shows of a shell works as it stands: each command is run, and says so."""

import asyncio
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import attrs
import pytest

from enapter_async.emulator import Emulator

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
INTERRUPT = "^C"


@attrs.frozen(kw_only=True)
class Command:
    line: str
    shown: tuple[str, ...]


def commands(block: str) -> list[Command]:
    found = []
    for part in block.split("$ enapter-async ")[1:]:
        line, *shown = part.splitlines()
        found.append(Command(line=line, shown=tuple(shown)))
    return found


SHELL = [block for block in BLOCKS if "$ enapter-async fleet" in block]


def is_shown(shown: str, line: str) -> bool:
    """Whether an output line is the one that the README shows, `…` standing for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, line.strip()) is not None


async def carry_out(command: Command, environment: dict[str, str], folder: Path) -> int:
    """Run a command, press Ctrl-C where the README does, and look for each shown line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "enapter_async", *shlex.split(command.line)),
        env=environment,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    waiting = list(command.shown)
    output = []
    try:
        while said := await process.stdout.readline():
            output.append(said.decode())
            if waiting and is_shown(waiting[0], output[-1]):
                del waiting[0]
            if waiting and waiting[0] == INTERRUPT:
                del waiting[0]
                process.send_signal(signal.SIGINT)
        ended = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert waiting == [], "".join(output)
    return ended


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal to another process there")
@pytest.mark.parametrize("block", SHELL)
async def test_a_session_at_the_shell_goes_as_shown(block: str, tmp_path: Path) -> None:
    async with Emulator(devices=300, seed=3) as emulator:
        environment = {
            **os.environ,
            "ENAPTER_HTTP_API_BASE_URL": emulator.base_url,
            "ENAPTER_HTTP_API_TOKEN": emulator.token,
            "ENAPTER_STATE_DIR": str(tmp_path / "state"),
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        before = {device.id: device.name for device in emulator.world}
        for command in commands(block):
            ended = await carry_out(command, environment, tmp_path)
            stopped = INTERRUPT in command.shown
            left = command.line.startswith("fleet status")
            assert ended == (130 if stopped else 4 if left else 0), command.line
        assert emulator.world.count("update") >= 2 * 65
        assert {device.id: device.name for device in emulator.world} == before


def test_each_step_of_a_job_is_shown() -> None:
    lines = [command.line.split()[1] for block in SHELL for command in commands(block)]
    assert {"template", "plan", "apply", "status", "resume", "undo", "report"} <= set(lines)
