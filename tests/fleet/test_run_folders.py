"""Run folders are sorted by the start of their runs, whatever the clock says."""

import os
import subprocess
from pathlib import Path

from enapter_async.fleet.journal.run_folders import RunFolder, all_runs, find_run
from tests.support.forks.starting import programs

_MAKER = """
import sys
from pathlib import Path
from enapter_async.fleet.journal.run_folders import RunFolder
for _ in range(40):
    print(RunFolder.create(Path(sys.argv[1]), now=0.0).id)
"""


def _begun(runs: Path, *, now: float) -> RunFolder:
    folder = RunFolder.create(runs, now=now)
    folder.journal.touch()
    return folder


def test_runs_within_one_second_or_after_a_clock_set_back_are_in_order(tmp_path: Path) -> None:
    begun = [_begun(tmp_path, now=now) for now in (864_000.5, 864_000.5, 864_000.5, 5.0, 6.0)]
    assert list(all_runs(tmp_path)) == begun
    assert find_run("last", tmp_path) == begun[-1]


def test_runs_of_older_versions_come_before_all_others(tmp_path: Path) -> None:
    older = [tmp_path / name for name in ("20250101T000000Z-ffff", "20991231T235959Z-1234")]
    for path in reversed(older):
        path.mkdir()
        (path / "journal.db").touch()
    newest = _begun(tmp_path, now=0.0)
    assert [run.path for run in all_runs(tmp_path)] == [*older, newest.path]


def test_the_number_of_a_killed_process_is_skipped(tmp_path: Path) -> None:
    first = _begun(tmp_path, now=9.0)
    (tmp_path / ".000002").mkdir()
    second = _begun(tmp_path, now=9.0)
    assert "-000003-" in second.id
    assert list(all_runs(tmp_path)) == [first, second]


def test_processes_that_begin_runs_at_once_never_share_a_number(tmp_path: Path) -> None:
    maker, runs = tmp_path / "maker.py", tmp_path / "runs"
    maker.write_text(_MAKER, "utf-8")
    python = programs(os.environ) / "python"
    makers = [
        subprocess.Popen([python, maker, runs], stdout=subprocess.PIPE, text=True)  # noqa: S603 - of this test
        for _ in range(4)
    ]
    told = [maker.communicate(timeout=60)[0].split() for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0, 0, 0]
    numbers = [[int(name.split("-")[1]) for name in names] for names in told]
    assert all(each == sorted(each) for each in numbers)
    assert len({number for each in numbers for number in each}) == 160
