"""A skip that is not on the list makes a run fail, with and without pytest-xdist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import ALLOWED, may_be_skipped
from tests.support.ways import is_other_way

ROOT = Path(__file__).parent.parent
CONFTEST = """
from tests import skips
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

skips.ALLOWED = (skips.AllowedSkip("no such thing*", "test_odd.py::test_may*"),)
"""
ODD = """
import pytest

@pytest.fixture
def gone():
    pytest.skip("broken")

def test_runs(): pass
def test_may_be_skipped(): pytest.skip("no such thing here")
def test_may_for_no_other_reason(): pytest.skip("broken")
def test_another_may_not(): pytest.skip("no such thing here")
def test_may_not_by_a_fixture(gone): pass
@pytest.mark.skip(reason="broken")
def test_may_not_by_a_mark(): pass
@pytest.mark.skipif(True, reason="broken")
def test_may_not_by_a_condition(): pass
@pytest.mark.xfail(strict=True)
def test_expected_to_fail(): assert 0
"""
RED = {
    "test_odd.py::test_may_for_no_other_reason",
    "test_odd.py::test_another_may_not",
    "test_odd.py::test_may_not_by_a_fixture",
    "test_odd.py::test_may_not_by_a_mark",
    "test_odd.py::test_may_not_by_a_condition",
    "test_whole.py",
}


@pytest.mark.parametrize("workers", ["0", "1"], ids=["alone", "xdist"])
def test_a_skip_that_is_not_allowed_is_red(workers: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_odd.py").write_text(ODD)
    whole = "import pytest\npytest.skip('broken', allow_module_level=True)\n"
    (tmp_path / "test_whole.py").write_text(whole)
    options = ("-q", "-rA", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    run = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "pytest", *options, "-n", workers],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    told = set(re.findall(r"^(FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE))
    assert {name for _, name in told} == RED, run.stdout
    assert "1 passed, 1 skipped, 1 xfailed" in run.stdout
    assert run.stdout.count("tests/skips.py does not allow: broken") >= 5


def test_each_entry_allows_something_and_nothing_is_allowed_everywhere() -> None:
    for allowed in ALLOWED:
        assert may_be_skipped(allowed.tests.replace("*", "x"), allowed.reason.replace("*", "x"))
    assert not may_be_skipped("tests/http/test_delays.py::test_x", "it is broken")
    assert not may_be_skipped("elsewhere/test_x.py::test_x", "nginx is not installed")


def test_the_main_run_leaves_out_the_crossed_ways_and_nothing_else() -> None:
    assert is_other_way({"json_library": "orjson", "transport": "session"})
    assert is_other_way({"loop": "asyncio", "kind": "session"})
    assert not is_other_way({"json_library": "stdlib", "transport": "session"})
    assert not is_other_way({"json_library": "orjson", "kind": "an error's", "loop": 1})
    assert not is_other_way({"loop": "uvloop", "kind": "session"})
    assert not is_other_way({"kind": "session"})
