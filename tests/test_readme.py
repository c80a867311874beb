"""The README works as shown: each block is run, and each link leads somewhere."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from enapter_async.emulator import Emulator, World
from tests.docs.fleets import FLEET
from tests.docs.shown import ROOT, Workplace, blocks

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = blocks(README)
PROGRAMS = [block for block in BLOCKS if block.is_program]
BY_CI = [block for block in BLOCKS if "python3 -m venv" in block.text]
"""`.ci/run` reads both command lines from here and runs them in an environment of their own."""


async def test_every_other_block_works_as_shown(tmp_path: Path) -> None:
    async with Emulator(world=World.from_json(FLEET)) as emulator:
        workplace = Workplace(
            tmp_path,
            ENAPTER_HTTP_API_BASE_URL=emulator.base_url,
            ENAPTER_HTTP_API_TOKEN=emulator.token,
        )
        try:
            for block in BLOCKS:
                if block not in BY_CI:
                    await workplace.take(block)
        finally:
            await workplace.close()
        assert emulator.world.count("update") == 5
        assert emulator.world.get("dev-1").name == "Hydrogen detector"


def test_the_ten_line_program_has_ten_lines() -> None:
    assert len([line for line in PROGRAMS[0].text.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("command", ["enapter-async demo", "pytest"])
def test_both_commands_are_one_line_each(command: str) -> None:
    lines = [line for line in README.splitlines() if line.startswith("$ ") and command in line]
    assert len(lines) == 1


def test_each_linked_file_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_only_tested_systems_are_claimed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    claimed = [each for each in project["classifiers"] if each.startswith("Operating System")]
    assert claimed == ["Operating System :: POSIX :: Linux"]
    assert sys.platform == "linux", (
        "the suite passes here, so the README should claim this system, too"
    )
    assert "only on Linux" in README


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 160
