"""The lowest versions in pyproject.toml work: a call keeps its promises with them.

The contract tests (tests/contract) and the tests of one call, including every fault row, run twice:

- with the lowest versions, here, by `pytest -m lowest`, which installs them into a new environment;
  that takes a while, so the plain run leaves it out;
- with the newest, in every other run of the suite in a fresh environment: `pip install` excludes
  only aiohttp's next major version. `.ci/run` creates such an environment, and prints the versions.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent

TESTED = (
    "tests/contract",
    "tests/faults",
    "tests/converter",
    "tests/models",
    "tests/operations",
    "tests/api",
    "tests/http",
    "tests/test_client.py",
    "tests/test_security.py",
)
SEARCH = "tests/http/test_properties.py"
"""It searches for bugs in the package, and takes as long as all other tests."""
TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis")
MAJORS = {"aiohttp": "<4"}
"""Dependencies that may be excluded, because their next major version may change anything."""


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
    assert len([lowest(each) for each in requirements()]) == 6


def test_nothing_excludes_the_newest_versions() -> None:
    for each in map(Requirement, requirements()):
        ceilings = [str(one) for one in each.specifier if one.operator != ">="]
        assert ceilings == ([MAJORS[each.name]] if each.name in MAJORS else []), each


def run(*command: str) -> str:
    ended = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout


@pytest.mark.lowest
@pytest.mark.timeout(600)
def test_one_call_keeps_its_promises_with_the_lowest_versions(tmp_path: Path) -> None:
    python = str(tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    floors = [lowest(each) for each in requirements()]
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    run(python, "-m", "pip", "install", "--quiet", *floors, *TOOLS)
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", str(ROOT))
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    assert set(floors) <= {f"{each['name']}=={each['version']}" for each in listed}
    # Neither uvloop nor orjson is installed there, so only ways outside the main run are left.
    once = ("-m", "not lowest", "-k", "not uvloop and not orjson", "--ignore", SEARCH)
    run(python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *once, *TESTED)
