"""Where the jobs of these tests are."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job"


@pytest.fixture(params=["folder", "database"])
def place(request: pytest.FixtureRequest) -> str:
    """A folder, and a job in PostgreSQL."""
    if request.param == "folder":
        return str(request.getfixturevalue("folder"))
    return f"{request.getfixturevalue('database')}#rename-2026"
