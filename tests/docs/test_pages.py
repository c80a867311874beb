"""The pages work as shown: each block is run, in the order of its page."""

import re
import sys
from pathlib import Path
from shutil import which

import pytest

from enapter_async.emulator import Emulator, World
from tests.docs.fleets import FLEET
from tests.docs.shown import ROOT, Block, Workplace, blocks, commands

DOCS = ROOT / "docs"
PAGES = {
    str(path.relative_to(DOCS).with_suffix("")): blocks(path.read_text("utf-8"))
    for path in sorted(DOCS.rglob("*.md"))
    if "_build" not in path.parts
}
RUN = {page: shown for page, shown in PAGES.items() if any(b.language != "text" for b in shown)}
FROM_NOTHING = {"howto/doctor", "howto/profiles", "tutorial"}
"""Pages that start without a server and without settings."""
SEEDED = {"howto/credentials"}
"""Pages whose commands are run against `enapter-async emulator --devices 300 --seed 3`."""
DATABASE = "ops@127.0.0.1:5432/ops"
"""The database that pages show; each is run with an empty one instead."""
INSTALLING = re.compile(r"^\$ (python3 -m venv|\. \.venv/)", re.MULTILINE)
"""`.ci/run` runs the README's own line once; in these tests the environment already exists."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the pages need a Unix shell")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", RUN)
async def test_a_page_works_as_shown(
    page: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if which("curl") is None and any("$ curl " in block.text for block in RUN[page]):
        pytest.skip("curl is not installed")
    world = World.seeded(300, 3) if page in SEEDED else World.from_json(FLEET)
    async with Emulator(world=world) as emulator:
        settings = {
            "ENAPTER_HTTP_API_BASE_URL": emulator.base_url,
            "ENAPTER_HTTP_API_TOKEN": emulator.token,
        }
        workplace = Workplace(tmp_path, **({} if page in FROM_NOTHING else settings))
        if any(DATABASE in block.text for block in RUN[page]):
            address = request.getfixturevalue("postgres").removeprefix("postgresql://")
            workplace.instead[DATABASE] = address
        try:
            for block in RUN[page]:
                if not INSTALLING.search(block.text):
                    await workplace.take(block)
        finally:
            await workplace.close()


def test_each_file_that_a_page_shows_is_used() -> None:
    for page, shown in RUN.items():
        told = "".join(block.text for block in shown)
        for file in {block.caption for block in shown if block.caption is not None}:
            module = Path(file).stem
            used = re.search(rf"[ =]{re.escape(file)}|(from| ){module}( import|:)", told)
            assert used, f"{page} shows {file}, and nothing uses it"


def test_the_installation_is_that_of_the_readme() -> None:
    """`.ci/run` runs the README's commands, in an environment of its own."""
    readme = (ROOT / "README.md").read_text("utf-8")
    lines = {
        command.line
        for shown in PAGES.values()
        for block in shown
        if INSTALLING.search(block.text)
        for command in commands(block.text)
    }
    assert ". .venv/bin/activate" in lines
    for line in lines - {". .venv/bin/activate"}:
        assert f"$ {line} && .venv/bin/enapter-async demo" in readme


def test_each_step_of_a_job_is_shown() -> None:
    session = [command.line for block in shown_in("tutorial") for command in commands(block.text)]
    steps = {line.split()[2] for line in session if line.startswith("enapter-async fleet")}
    assert {"template", "plan", "apply", "status", "resume", "undo", "report"} <= steps


def shown_in(page: str) -> list[Block]:
    return [block for block in PAGES[page] if block.language == "console"]


LISTENS = re.compile(r"(--port[ =]|port=|, |\"PORT\", \")8080\b")


def test_only_the_emulator_listens_on_its_port() -> None:
    for page, shown in PAGES.items():
        for line in "".join(block.text for block in shown).splitlines():
            emulator = "enapter-async emulator" in line
            assert emulator or not LISTENS.search(line), f"{page} uses the emulator's port: {line}"
    for example in (DOCS / "examples").glob("*.py"):
        assert not LISTENS.search(example.read_text("utf-8")), example
