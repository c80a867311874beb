"""Splits the README and the pages into blocks, and runs them as a reader would.

A block with a caption is a file of that name; blocks of the same name are joined. Other Python is a
program (if it calls `asyncio.run`) or a test. A `text` block after a program is its output. In a
`console` block, the lines after a command must appear in its output in that order. `…` stands for
anything, `^C` for pressing it. `# ends with N` gives an exit code other than 0. A command in its
own terminal continues until the page ends.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.support.forks.starting import programs
from tests.support.ports import free_port

ROOT = Path(__file__).parent.parent.parent
INTERRUPT = "^C"
PORTS = ("8080", "8081", "8082", "8083", "8084")
"""The ports that pages show; each run uses free ones instead."""

_FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
_DIRECTIVE = re.compile(r"\{code-block\} *(\w+)")
_OPTION = re.compile(r":(\w+): (.*)")
_ENDS_WITH = re.compile(r"# ends with (\d+)$")
_LOGGED = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
_LONGEST = 50.0
IMPORTED = ("psycopg", "pytest", "uvicorn")
"""What the programs of pages import, besides the package."""


@attrs.frozen(kw_only=True)
class Block:
    """A block of code; `caption` is the name of its file."""

    language: str
    text: str
    caption: str | None = None

    @property
    def is_program(self) -> bool:
        return self.language == "python" and "asyncio.run(" in self.text

    @property
    def is_test(self) -> bool:
        return self.language == "python" and "def test_" in self.text


@attrs.frozen(kw_only=True)
class Command:
    """A command line, and the lines that it shows."""

    line: str
    shown: tuple[str, ...]

    @property
    def code(self) -> int:
        """The expected exit code."""
        told = _ENDS_WITH.search(self.line)
        return 130 if INTERRUPT in self.shown else int(told[1]) if told else 0

    @property
    def stays(self) -> bool:
        """Whether it runs in its own terminal, beside the commands after it."""
        return self.line.startswith("enapter-async emulator") or self.line.endswith(
            "# in a terminal of its own"
        )


def blocks(markdown: str) -> list[Block]:
    found = []
    for _, info, text in _FENCE.findall(markdown):
        directive = _DIRECTIVE.fullmatch(info.strip())
        if info.startswith("{") and directive is None:
            continue
        lines = text.splitlines(keepends=True)
        options = {}
        while directive and lines and (option := _OPTION.fullmatch(lines[0].strip())):
            options[option[1]] = option[2]
            del lines[0]
        found.append(
            Block(
                language=directive[1] if directive else info.strip(),
                text="".join(lines).lstrip("\n"),
                caption=options.get("caption"),
            )
        )
    return found


def commands(text: str) -> list[Command]:
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, *shown = part.splitlines()
        found.append(Command(line=line, shown=tuple(each for each in shown if each)))
    return found


def is_shown(shown: str, line: str) -> bool:
    """Return whether an output line matches the line shown, without the time of a log."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(f"({_LOGGED})?{pattern}", line.strip()) is not None


def missing(shown: Sequence[str], output: Sequence[str]) -> list[str]:
    """Return the lines shown that do not appear in an output, in order."""
    waiting = list(shown)
    for line in output:
        if waiting and is_shown(waiting[0], line):
            del waiting[0]
    return waiting


class Workplace:
    """A folder and an environment in which blocks are run, one after another."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if "ENAPTER" not in name},
            "ENAPTER_STATE_DIR": str(folder / "state"),
            "PYTEST_ADDOPTS": "-p no:hypothesispytest",  # takes longer than everything else
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "error",
            **environment,
        }
        folders = (programs(self.environment, *IMPORTED), Path(sys.executable).parent)
        self.environment["PATH"] = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
        (folder / "docs").symlink_to(ROOT / "docs")
        self.instead = {shown: str(free_port()) for shown in PORTS}
        """What blocks show, and what is used instead."""
        self._staying: list[asyncio.subprocess.Process] = []
        self._printed: list[str] | None = None

    async def close(self) -> None:
        """End everything that still runs, as Ctrl-C in its terminal does."""
        for process in self._staying:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.communicate(), _LONGEST)
            assert process.returncode in (0, 130, -signal.SIGINT)

    async def take(self, block: Block) -> None:
        """Write a block to its file, or run it."""
        text = block.text
        for shown, taken in self.instead.items():
            text = text.replace(shown, taken)
        if block.caption is not None:
            with (self.folder / block.caption).open("a", encoding="utf-8") as file:
                file.write(text)
        elif block.is_program:
            (self.folder / "program.py").write_text(text, "utf-8")
            output, code = await self._run("python program.py")
            assert code == 0, output
            self._printed = output.splitlines()
        elif block.is_test:
            await self._test(text)
        elif block.language == "console":
            for command in commands(text):
                await self._carry_out(command)
        elif block.language == "text":
            if self._printed is not None:
                printed, self._printed = self._printed, None
                assert missing(text.splitlines(), printed) == [], printed
        else:
            raise AssertionError(f"a reader could not run this {block.language}:\n{text}")

    async def _test(self, text: str) -> None:
        (self.folder / "test_shown.py").write_text(text, "utf-8")
        # pytest-asyncio's default mode, which a reader has without any configuration.
        settings = "asyncio_default_fixture_loop_scope = function\n"
        # Starlette warns about one of the two clients that its TestClient takes.
        settings += "filterwarnings = ignore:Using .httpx. with\n"
        (self.folder / "pytest.ini").write_text(f"[pytest]\n{settings}", "utf-8")
        output, code = await self._run("python -m pytest -q -p no:cacheprovider test_shown.py")
        assert code == 0, output
        assert " passed" in output

    async def _run(self, line: str) -> tuple[str, int | None]:
        process = await self._start(line)
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _LONGEST)
        finally:
            await _end(process)
        return output.decode(), process.returncode

    async def _start(self, line: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("bash", "-c", line),
            env=self.environment,
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def _carry_out(self, command: Command) -> None:
        """Run a command, press Ctrl-C as shown, and look for each line shown."""
        if (setting := re.fullmatch(r"export (\w+)=(.*)", command.line)) is not None:
            self.environment[setting[1]] = setting[2].strip("'\"")
            return
        process = await self._start(command.line)
        assert process.stdout is not None
        waiting = list(command.shown)
        output = []
        try:
            async with asyncio.timeout(_LONGEST):
                while said := await process.stdout.readline():
                    output.append(said.decode())
                    if waiting and is_shown(waiting[0], output[-1]):
                        del waiting[0]
                    if waiting and waiting[0] == INTERRUPT:
                        del waiting[0]
                        process.send_signal(signal.SIGINT)
                    if not waiting and command.stays:
                        self._staying.append(process)
                        return
                code = await process.wait()
        finally:
            if process not in self._staying:
                await _end(process)
        assert waiting == [], "".join(output)
        assert code == command.code, (command.line, "".join(output))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
