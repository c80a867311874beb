"""`fleet resume`, `status` and `runs`: folders, names of runs, exit codes, results."""

import csv
import json
import os
import signal
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Drop, Emulator, Latency, Reply, World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.run_folders import RunFolder, find_run, runs_directory
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.fleet.reporting.results import write_results
from tests.cli.conftest import Run
from tests.cli.processes import process
from tests.cli.test_interrupts import Arrivals

UNAUTHORIZED = Reply(status=401, body=b'{"errors": [{"code": "invalid_header"}]}')


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "state" / "runs"


def the_run(runs: Path) -> RunFolder:
    (found,) = runs.iterdir()
    return RunFolder(found)


def rows_of(folder: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / "results.jsonl").read_text().splitlines()]


def test_a_stopped_run_is_resumed_to_its_end(
    run: Run, world: World, emulator: Emulator, changes: str, runs: Path
) -> None:
    emulator.faults.add(UNAUTHORIZED)
    stopped = run("fleet", "apply", changes, "--concurrency", "1")
    assert stopped.exit_code == Exit.STOPPED
    folder = the_run(runs)
    assert f"fleet resume {folder.id}" in stopped.stderr
    looked = run("fleet", "status", folder.id, "--json")
    assert looked.exit_code == Exit.STOPPED
    assert json.loads(looked.stdout)["counts"]["held"] == 39
    resumed = run("fleet", "resume", "last", "--json")
    assert resumed.exit_code == Exit.STOPPED, "failures in the first wave hold the rest"
    assert "--retry-failed" in resumed.stderr
    assert world.log.count("update") == 0
    again = run("fleet", "resume", "last", "--retry-failed", "--json")
    assert again.exit_code == Exit.DONE
    report = json.loads(again.stdout.splitlines()[-1])["report"]
    assert (report["counts"]["applied"], report["earlier"]) == (40, 0)
    assert run("fleet", "status").exit_code == Exit.DONE
    assert world.log.count("update") == 40
    assert {row["state"] for row in rows_of(folder)} == {"applied"}


def test_a_run_is_found_by_id_prefix_path_or_last(run: Run, changes: str, runs: Path) -> None:
    for _ in range(2):
        assert run("fleet", "apply", changes).exit_code == Exit.DONE
    names = sorted(path.name for path in runs.iterdir())
    last = names[-1]
    for given in (last, last[:-1], "last", str(runs / last), str(runs / last / "journal.db")):
        looked = run("fleet", "status", given, "--json")
        assert json.loads(looked.stdout)["run"] == last
    ambiguous = run("fleet", "status", last[:4])
    assert ambiguous.exit_code == Exit.USAGE
    assert "may be any of 2 runs" in ambiguous.stderr
    assert run("fleet", "resume", "nothing").exit_code == Exit.USAGE
    listed = run("fleet", "runs").stdout.splitlines()
    assert [line.split()[0] for line in listed] == names


def test_only_the_owner_can_read_a_runs_folder(run: Run, changes: str, runs: Path) -> None:
    before = os.umask(0)
    try:
        run("fleet", "apply", changes)
    finally:
        os.umask(before)
    folder = the_run(runs)
    if sys.platform != "win32":
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert {stat.S_IMODE(each.stat().st_mode) for each in folder.path.iterdir()} == {0o600}
    assert {each.name for each in folder.path.iterdir()} == {
        "journal.db", "journal.db.lock", "results.csv", "results.jsonl",
    }  # fmt: skip


def test_a_run_with_truncated_input_is_not_complete(run: Run, changes: str, runs: Path) -> None:
    run("fleet", "apply", changes)
    folder = the_run(runs)
    with closing(sqlite3.connect(folder.journal)) as journal:
        # The journal of a process that was killed before the end of its input.
        journal.execute("DELETE FROM run WHERE key = 'count'")
        journal.commit()
    looked = run("fleet", "status", "--json")
    assert looked.exit_code == Exit.STOPPED
    assert json.loads(looked.stdout)["complete_input"] is False
    assert f"fleet resume {folder.id}" in run("fleet", "status").stdout
    assert "stopped" in run("fleet", "runs").stdout


def test_a_refused_run_leaves_no_folder(run: Run, runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("operation,device_id,name\nupdate,a,x\nupdate,a,y\n")
    result = run("fleet", "apply", str(path))
    assert result.exit_code == Exit.USAGE
    assert "contradict each other" in result.stderr
    assert list(runs.iterdir()) == []


def test_a_different_runner_server_or_token_exits_with_5(
    run: Run, emulator: Emulator, changes: str, runs: Path
) -> None:
    run("fleet", "apply", changes)
    before = emulator.world.log.count_arrivals()
    lock = RunLock.take(the_run(runs).journal)
    try:
        assert run("fleet", "resume", "last").exit_code == Exit.REFUSED
        assert json.loads(run("fleet", "status", "--json").stdout)["running"] is True
    finally:
        lock.release()
    elsewhere = run("fleet", "resume", "last", "--base-url", "http://127.0.0.1:9")
    assert elsewhere.exit_code == Exit.REFUSED
    token = runs.parent / "token"
    token.write_text("another")
    other = run("fleet", "resume", "last", "--token-file", str(token))
    assert other.exit_code == Exit.REFUSED
    assert "--accept-new-token" in other.stderr
    assert emulator.world.log.count_arrivals() == before


def test_unknown_outcomes_are_3_until_acknowledged(
    run: Run, emulator: Emulator, leaf: str, runs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mint.csv"
    path.write_text(f"operation,device_id,protocol\ngenerate_config,{leaf},MQTT\n")
    emulator.faults.add(Drop(after_effect=True))
    assert run("fleet", "apply", str(path), "--yes").exit_code == Exit.UNKNOWN
    assert run("fleet", "resume", "last").exit_code == Exit.UNKNOWN
    assert run("fleet", "resume", "last", "--ambiguous", "skip").exit_code == Exit.DONE
    looked = run("fleet", "status")
    assert looked.exit_code == Exit.DONE
    assert "1 unknown outcomes were acknowledged" in looked.stdout
    assert "0 configurations stored in" in looked.stdout
    (row,) = rows_of(the_run(runs))
    assert row["state"] == "unknown"
    assert row["acknowledged_at"] > row["at"]
    again = run("fleet", "resume", "last", "--ambiguous", "regenerate")
    assert again.exit_code == Exit.DONE
    assert "1 configuration stored in" in run("fleet", "status").stdout


def test_results_are_restored_unchanged(run: Run, world: World, runs: Path, tmp_path: Path) -> None:
    names = ["=1+1", "'=quoted", "'plain", "@x", "-5", "a,b", 'say "x"', "ü"]
    path = tmp_path / "names.jsonl"
    ids = [device.id for device in world][: len(names)]
    rows = [
        {"operation": "update", "device_id": each, "name": name}
        for each, name in zip(ids, names, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("fleet", "apply", str(path)).exit_code == Exit.DONE
    results = the_run(runs).path / "results.csv"
    with results.open(newline="") as lines:
        cells = [row["name"] for row in csv.DictReader(lines)]
    assert cells[:5] == ["'=1+1", "''=quoted", "'plain", "'@x", "'-5"]
    for each in ids:
        world.update(each, name="reset")
    assert run("fleet", "apply", str(results)).exit_code == Exit.DONE
    assert [world.device(each).name for each in ids] == names


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_an_interrupted_run_names_the_command_to_resume(
    run: Run, emulator: Emulator, environment: dict[str, str], changes: str, runs: Path
) -> None:
    arrivals = Arrivals(enough=4)
    emulator.faults.add(Latency(seconds=0.4), when=arrivals, times=None)
    arguments = ["fleet", "apply", changes, "--concurrency", "4", "--max-rate", "500"]
    with process(*arguments, environment=environment) as started:
        assert arrivals.came.wait(60)
        started.send_signal(signal.SIGTERM)
        _, said = started.communicate(timeout=60)
    assert started.returncode == Exit.TERMINATED
    folder = the_run(runs)
    assert f"to continue: enapter-async fleet resume {folder.id} --max-rate 500\n" in said
    emulator.faults.clear()
    assert run("fleet", "resume", folder.id).exit_code == Exit.DONE
    assert emulator.world.log.count("update") == 40


def test_where_runs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert runs_directory({"ENAPTER_STATE_DIR": "/x"}) == Path("/x/runs")
    assert runs_directory({"ENAPTER_STATE_DIR": "~/x"}) == Path("/home/ann/x/runs")
    if sys.platform == "linux":
        where = runs_directory({"XDG_STATE_HOME": "/y"})
        assert where == Path("/y/enapter-async/runs")
        at_home = Path("/home/ann/.local/state/enapter-async/runs")
        assert runs_directory({"XDG_STATE_HOME": "not/absolute"}) == at_home


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot store a run"):
        RunFolder.create(tmp_path / "runs", now=0.0)


def test_unwritable_results_leave_the_old_ones(run: Run, changes: str, runs: Path) -> None:
    run("fleet", "apply", changes)
    folder = find_run("last", runs)
    before = (folder.path / "results.csv").read_bytes()

    class BrokenJournal:
        def ends(self) -> Callable[[], None]:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_results(BrokenJournal(), folder.path / "results.csv", "csv")  # type: ignore[arg-type]  # it only fails
    assert (folder.path / "results.csv").read_bytes() == before
    assert not [each for each in folder.path.iterdir() if each.name.startswith(".")]


def test_a_resume_keeps_the_pace_of_the_run(
    run: Run, world: World, emulator: Emulator, changes: str, runs: Path
) -> None:
    emulator.faults.add(UNAUTHORIZED)
    run("fleet", "apply", changes, "--concurrency", "3", "--max-rate", "50")
    folder = the_run(runs)
    with closing(read_journal(folder.journal)) as journal:
        facts = journal.facts()
    assert (facts["concurrency"], facts["max_rate"]) == ("3", "50.0")
    before = world.log.count_arrivals()
    began = time.monotonic()
    assert run("fleet", "resume", folder.id, "--retry-failed").exit_code == Exit.DONE
    spaced = world.log.count_arrivals() - before - 1
    assert spaced > 3
    assert time.monotonic() - began > 0.95 * spaced / 50
    assert run("fleet", "status", folder.id).exit_code == Exit.DONE
