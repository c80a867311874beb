"""The floors in pyproject.toml are true: the tests of one call pass with the lowest versions.

Run by `pytest -m lowest`; it makes an environment of its own and installs into it, which takes
a minute, so the plain run leaves it out.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent

TESTED = ("tests/models", "tests/operations", "tests/api", "tests/http")
TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout", "hypothesis")


def lowest(requirement: str) -> str:
    parsed = Requirement(requirement)
    floors = [each.version for each in parsed.specifier if each.operator == ">="]
    assert len(floors) == 1, f"{requirement} has no single floor"
    return f"{parsed.name}=={floors[0]}"


def requirements() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: list[str] = tomllib.load(file)["project"]["dependencies"]
    return found


def test_every_dependency_has_a_floor() -> None:
    assert len([lowest(each) for each in requirements()]) == 5


@pytest.mark.lowest
@pytest.mark.timeout(600)
def test_one_call_works_with_the_lowest_versions(tmp_path: Path) -> None:
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    floors = [lowest(each) for each in requirements()]
    for command in (
        [sys.executable, "-m", "venv", str(tmp_path / "venv")],
        [str(python), "-m", "pip", "install", "--quiet", *floors, *TOOLS],
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(ROOT)],
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTED],
    ):
        run = subprocess.run(  # noqa: S603 - our own commands
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
        )
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
