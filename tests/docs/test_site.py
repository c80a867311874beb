"""The site builds without a warning, and its reference contains every public name."""

import ast
import html
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import enapter_async
from enapter_async import emulator, fleet
from tests.docs.shown import ROOT

sphinx_inventory = pytest.importorskip("sphinx.util.inventory")

DOCS = ROOT / "docs"
PLOTS = [DOCS / "images" / f"{name}.svg" for name in ("memory", "throughput", "cpu")]
"""Drawn by `python -m benchmarks.publish`, and shown in the READMEs."""
DIAGRAMS = [path for path in sorted((DOCS / "images").glob("*.svg")) if path not in PLOTS]

SEARCHED = {
    "429": "howto/limits",
    "cron": "howto/unattended",
    "docker": "howto/unattended",
    "proxi": "howto/unattended",
    "notebook": "howto/notebooks",
    "spreadsheet": "howto/spreadsheets",
    "fastapi": "howto/testing-web",
    "csrf": "howto/web",
}
"""Words that people search for, and the page that each must find."""

SPHINX = """
import gc, sys
from sphinx.cmd.build import main
gc.disable()  # it takes more than a quarter of the time
sys.exit(main(sys.argv[1:]))
"""


def build(to: Path) -> None:
    """Build as readers do, but a warning is an error; nothing else in `.ci/run` builds the site."""
    # Not by -c: Python 3.13 would take its text for the source of generated methods.
    command = [sys.executable, "-", "-q", "-W", "--keep-going", "-n", str(DOCS), str(to)]
    run = subprocess.run(  # noqa: S603 - our own interpreter and pages
        command, input=SPHINX, capture_output=True, text=True, check=False, timeout=280
    )
    assert (run.returncode, run.stderr) == (0, "")


def public(module: ModuleType) -> set[str]:
    return {f"{module.__name__}.{name}" for name in module.__all__}


@pytest.mark.timeout(300)
def test_the_site_builds_and_holds_every_public_name(tmp_path: Path) -> None:
    build(tmp_path)
    with (tmp_path / "objects.inv").open("rb") as file:
        inventory = sphinx_inventory.InventoryFile.load(file, "", lambda _, path: path)
    told = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    assert public(enapter_async) | public(fleet) | public(emulator) <= told
    for name in told:
        assert exists(name), f"the reference tells {name}, which there is not"
    for page in tmp_path.rglob("*.html"):
        assert foreign(page.read_text("utf-8")) == [], page.name
    assert_defaults_are_real(tmp_path / "reference")
    index = (tmp_path / "searchindex.js").read_text().removeprefix("Search.setIndex(")[:-1]
    for word, wanted in SEARCHED.items():
        assert wanted in pages_with(word, json.loads(index)), f"{word} does not find {wanted}"
    home = (tmp_path / "index.html").read_text()
    assert 'class="only-light"' in home
    assert 'class="only-dark"' in home
    assert "copybutton.js" in home


def pages_with(word: str, index: Any) -> set[str]:
    """Return the pages that the site's search finds for a word in its stemmed form."""
    found: list[int] = []
    for part in ("terms", "titleterms"):
        numbers = index[part].get(word, [])
        found += numbers if isinstance(numbers, list) else [numbers]
    found += [entry[0] for entry in index["indexentries"].get(word, [])]
    return {index["docnames"][number] for number in found}


def assert_defaults_are_real(reference: Path) -> None:
    """Each default is Python that creates the value, and these are the documented ones."""
    defaults = [each for page in reference.rglob("*.html") for each in shown_defaults(page)]
    assert len(defaults) > 200
    for _, text in defaults:
        ast.parse(text, mode="eval")
        assert "attr_dict" not in text
        assert "NOTHING" not in text
        assert text == "UNSET" or not re.fullmatch("[A-Z_]+", text), "a constant hides its value"
    expected = {
        ("attempts", "4"),
        ("deadline", "60.0"),
        ("base_url", "'https://api.enapter.com'"),
        ("max_pause", "900.0"),
        ("retry", "RetryPolicy()"),
        ("name", "UNSET"),
        ("clock", "Clock()"),
        ("settings", "JobSettings()"),
        ("details", "{}"),
        ("now", "time.time"),
    }
    assert expected <= set(defaults)


def shown_defaults(page: Path) -> list[tuple[str, str]]:
    """Return the parameters on a page that have a default, with the default."""
    found = re.findall(
        r'<em class="sig-param">(.*?)</em>(?=</dd>|,|<span class="sig-paren">)', page.read_text()
    )
    words = [html.unescape(re.sub(r"<[^>]+>", "", each)) for each in found]
    return [
        (name.partition(":")[0].strip(), default.strip())
        for name, equals, default in (each.partition("=") for each in words)
        if equals
    ]


def exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def foreign(page: str) -> list[str]:
    """Return the resources that a page would load from another host."""
    loads = re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=\"([^\"]+)\"", page)
    return [each for each in loads if "//" in each]


@pytest.mark.parametrize("path", [*DIAGRAMS, *PLOTS, DOCS / "demo.svg"], ids=lambda path: path.stem)
def test_a_picture_is_valid_and_loads_nothing(path: Path) -> None:
    text = path.read_text("utf-8")
    ET.fromstring(text)  # noqa: S314 - our own file
    assert re.findall(r"url\((?!#)|href=(?!\"#)|<image|@import", text) == []


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda path: path.stem)
def test_a_diagram_has_alternative_text_and_a_page(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "<title" in text
    assert 'role="img"' in text
    pages = [page.read_text("utf-8") for page in DOCS.rglob("*.md")]
    assert any(f"images/{path.name}" in page for page in pages)


def test_the_demos_picture_shows_a_checked_run() -> None:
    picture = (DOCS / "demo.svg").read_text("utf-8").replace("&#160;", " ")
    words = " ".join(re.sub(r"<[^>]+>", " ", picture).split())
    assert "CHECKED: " in words
    assert "own log." in words
