"""The README beside this file is true: its rows, the tests with their numbers, its paths."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
README = (FOLDER / "README.md").read_text("utf-8")
ROWS = 55
NUMBER = re.compile(r"row(\d\d)[-_]")


def told() -> dict[int, set[str]]:
    """Return the files that the README names for each row."""
    lines = re.findall(r"^\| (\d\d) \|.*\| ([^|]+) \|$", README, re.MULTILINE)
    return {int(number): set(re.findall(r"`([^`]+)`", files)) for number, files in lines}


def test_each_row_of_the_fault_table_is_listed() -> None:
    assert list(told()) == list(range(1, ROWS + 1))
    assert all(told().values())


def test_each_row_is_tested_where_it_is_listed(request: pytest.FixtureRequest) -> None:
    """A run of the whole suite checks the whole table, a run of some files only their rows."""
    config = request.config
    if config.option.keyword or any("::" in argument for argument in config.args):
        return  # only some tests of the files are collected
    found = defaultdict[int, set[str]](set)
    files = set[str]()
    for item in request.session.items:
        file, _, test = item.nodeid.removeprefix("tests/").partition("::")
        files.add(file)
        for number in NUMBER.findall(test):
            found[int(number)].add(file)
    here = {row: places & files for row, places in told().items()}
    assert here == {row: found[row] for row in here}


def test_its_commands_and_links_exist() -> None:
    commands = re.findall(r"`(?:\w+=\w+ )?(pytest [^`]+|python -m [^`]+)`", README)
    assert len(commands) > 10
    for command in commands:
        for word in command.split():
            if word.startswith("tests/"):
                assert (ROOT / word).exists(), command
            elif word.startswith("tests."):
                path = ROOT / word.replace(".", "/")
                assert (path / "__main__.py").exists() or path.with_suffix(".py").exists(), command
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (FOLDER / link).exists(), link
