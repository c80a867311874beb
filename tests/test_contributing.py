"""What CONTRIBUTING.md names exists, and the pre-commit hooks are steps of `.ci/run`."""

import re
import subprocess

import pytest

from tests.docs.shown import ROOT

PAGES = ("CONTRIBUTING.md", "SECURITY.md")
STEPS = (ROOT / ".ci" / "step").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_each_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    paths = re.findall(r"`((?:\.ci|docs|tests|enapter_async)/[\w./]*)[^`]*`", text)
    assert links
    assert [each for each in (*links, *paths) if not (ROOT / each.strip()).exists()] == []


def test_the_set_up_is_that_of_the_readme() -> None:
    [command] = re.findall(
        r"^\$ (.*)$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE
    )
    assert f"$ {command}\n" in (ROOT / "README.md").read_text("utf-8")


def test_the_hooks_are_steps_of_the_one_command_and_fetch_nothing() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    entries = re.findall(r"entry: (.*)$", hooks, re.MULTILINE)
    assert len(entries) == hooks.count("- id: ") > 0
    assert set(re.findall(r"repo: (.*)$", hooks, re.MULTILINE)) == {"local"}
    assert set(re.findall(r"language: (.*)$", hooks, re.MULTILINE)) == {"system"}
    run = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    named = re.findall(r"^    ([\w-]+)\) ", STEPS, re.MULTILINE)
    assert {f".ci/step {each}" for each in named} <= set(run)
    assert set(entries) <= set(run)


def test_an_unknown_step_lists_the_known_ones() -> None:
    run = subprocess.run(  # noqa: S603 - our own script
        [str(ROOT / ".ci" / "step"), "everything"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert run.returncode == 2
    assert "format|lint|types" in run.stderr
