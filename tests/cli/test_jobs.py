"""Jobs of several workers on the command line: submitted, watched, stopped, resumed, undone."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator, Latency, World
from tests.cli.conftest import Run
from tests.cli.processes import process
from tests.cli.test_interrupts import Arrivals

pytestmark = pytest.mark.timeout(180)  # several processes start one after the other

AT_ONCE = ("--waves", "none", "--by", "10", "--concurrency", "4")


def test_a_job_goes_from_its_submission_to_its_report(
    run: Run, world: World, changes: str, tmp_path: Path
) -> None:
    place = str(tmp_path / "job")
    planned = tmp_path / "plan"
    assert run("fleet", "plan", changes, "-o", str(planned)).exit_code == Exit.DONE
    submitted = run(
        "fleet", "apply", str(planned), "--journal", place, *AT_ONCE, "--workers", "0", "--yes"
    )
    assert submitted.exit_code == Exit.DONE
    assert f"fleet worker --journal {place}" in submitted.stderr
    status = json.loads(run("fleet", "status", place, "--json").stdout)
    assert (status["total"], status["partitions"], status["running"]) == (40, 4, True)
    assert status["counts"]["held"] == 40
    assert status["unserved"] == ["default"]
    waiting = run("fleet", "status", place).stdout
    assert "no running worker takes from default\n" in waiting
    assert f"to start one: enapter-async fleet worker --journal {place} --queue default" in waiting

    worked = run("fleet", "worker", "--journal", place, "--until-done")
    assert worked.exit_code == Exit.DONE
    assert world.count("update") == 40
    shown = run("fleet", "status", place)
    assert shown.exit_code == Exit.DONE
    assert "40 of 40 done, 4 of 4 partitions finished" in shown.stdout
    assert "no running worker" not in shown.stdout
    assert "has already ended" in run("fleet", "stop", place).stderr

    page = run("fleet", "report", place)
    assert "<html" in Path(page.stdout.strip()).read_text("utf-8")
    undoing = ("fleet", "undo", place, "--yes")
    for alone in (("--by", "5"), ("--workers", "0"), ("--allow-overlap",)):
        assert "need --journal" in run(*undoing, *alone).stderr
    assert run(*undoing, "--items", "0-4").exit_code == Exit.DONE
    assert world.count("update") == 45
    back = run(*undoing, "--journal", f"{place}-undo", "--waves", "1,rest", "--items", "0-29")
    assert back.exit_code == Exit.DONE
    assert "refused" in back.stdout, "five are undone already"
    undone = json.loads(run("fleet", "status", f"{place}-undo", "--json").stdout)
    assert undone["counts"]["applied"] == 25
    assert undone["partitions"] == 4, "one of one device, and the rest by 10, as the job was"
    assert world.count("update") == 70


def test_a_quiet_job_says_in_one_line_what_failed_and_what_to_do(
    environment: dict[str, str], leaf: str, tmp_path: Path
) -> None:
    rows, place = tmp_path / "rows.csv", tmp_path / "job"
    rows.write_text(f"operation,device_id,name\nupdate,{leaf},New\nupdate,nobody,New\n")
    applying = ("fleet", "apply", str(rows), "--journal", str(place), *AT_ONCE, "-q")
    with process(*applying, environment=environment) as started:
        out, said = started.communicate(timeout=90)
    assert (started.returncode, out) == (Exit.FAILED, "")
    assert said == (
        "enapter-async: job job: 1 applied, 1 failed; next: enapter-async fleet resume "
        f"{place} --retry-failed\n"
    )


def test_a_job_is_carried_out_by_processes_of_this_machine_and_one_is_killed(
    world: World,
    emulator: Emulator,
    environment: dict[str, str],
    changes: str,
    tmp_path: Path,
) -> None:
    place = tmp_path / "job"
    arrivals = Arrivals(enough=12)
    emulator.faults.add(Latency(seconds=0.3), when=arrivals, times=None)
    applying = ("fleet", "apply", changes, "--journal", str(place), *AT_ONCE, "--workers", "2")
    with process(*applying, environment=environment, forked=False) as started:
        assert arrivals.came.wait(60)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        workers = [int(pid) for pid in children if b"spawn_main" in cmdline(int(pid))]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        killed = time.monotonic()
        _, said = started.communicate(timeout=90)
    assert started.returncode == Exit.DONE, said
    assert time.monotonic() - killed < 60
    assert {device.name for device in world} == {"new"}
    assert 40 <= world.count("update") <= 44, "at most the operations in flight are sent again"
    assert (place / "results.csv").read_text("utf-8").count("\n") == 41


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_ctrl_c_stops_a_job_which_is_then_resumed(
    run: Run, emulator: Emulator, environment: dict[str, str], changes: str, tmp_path: Path
) -> None:
    world = emulator.world
    place = str(tmp_path / "job")
    arrivals = Arrivals(enough=6)
    emulator.faults.add(Latency(seconds=0.3), when=arrivals, times=None)
    # So slow that it does not end by itself before Ctrl-C reaches it.
    applying = ("fleet", "apply", changes, "--journal", place, *AT_ONCE, "--concurrency", "1")
    with process(*applying, environment=environment) as started:
        assert arrivals.came.wait(60)
        (worker,) = json.loads(run("fleet", "status", place, "--json").stdout)["workers"]
        assert f" in progress by {worker}" in run("fleet", "status", place).stdout
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=90)
    assert started.returncode == Exit.INTERRUPTED, said
    stopped = run("fleet", "status", place)
    assert stopped.exit_code == Exit.STOPPED
    assert "stopped: it was interrupted" in stopped.stdout
    assert f"to continue: enapter-async fleet resume {place}\n" in stopped.stdout
    sent = world.count("update")
    assert sent < 40
    emulator.faults.clear()
    faster = run("fleet", "resume", place, "--max-rate", "9", "--concurrency", "8")
    assert faster.exit_code == Exit.USAGE
    assert "keeps its options, so --concurrency and --max-rate cannot be given" in faster.stderr
    assert world.count("update") == sent, "an option that would be ignored is refused"
    assert run("fleet", "resume", place).exit_code == Exit.DONE
    assert world.count("update") == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--by", "5"), "need --journal"),
        (("--journal", "{}/j", "--by", "none"), "--by is 'none'"),
        (("--journal", "{}/j", "--power"), "--power cannot be combined with --journal"),
        (("--journal", "postgresql://localhost/x"), "contains no job name"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run: Run, changes: str, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    given = [each.format(tmp_path) for each in options]
    refused = run("fleet", "apply", changes, *given)
    assert message in refused.stderr + str(refused.exception)
