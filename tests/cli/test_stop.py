"""`fleet stop`: a run of another process stops, and continues when it is resumed."""

import json

import pytest

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator, Hang, Latency, World
from tests.cli.conftest import Run
from tests.cli.processes import process
from tests.cli.test_interrupts import Arrivals


def applying(changes: str) -> list[str]:
    return ["fleet", "apply", changes, "--waves", "none", "--concurrency", "2", "--json"]


def test_a_run_of_another_process_can_be_stopped_and_resumed(
    run: Run, world: World, emulator: Emulator, environment: dict[str, str], changes: str
) -> None:
    arrivals = Arrivals(enough=4)
    emulator.faults.add(Latency(seconds=0.3), when=arrivals, times=None)
    with process(*applying(changes), environment=environment) as started:
        assert arrivals.came.wait(60)
        stopped = run("fleet", "stop", "last", "--json")
        output, said = started.communicate(timeout=60)
    assert (stopped.exit_code, started.returncode) == (Exit.DONE, Exit.STOPPED)
    told = json.loads(stopped.stdout)
    assert (told["was_running"], told["running"]) == (True, False)
    assert f"fleet resume {told['run']}" in stopped.stderr
    assert "because of `fleet stop`" in said
    rows = [json.loads(line) for line in output.splitlines()]
    states = [row.get("state") for row in rows]
    assert states.count("applied") == world.count("update") < 40
    assert states.count("applied") + states.count("held") == 40
    emulator.faults.clear()
    assert run("fleet", "resume", told["run"]).exit_code == Exit.DONE
    assert world.count("update") == 40


def test_a_run_that_does_not_end_in_time_is_reported_as_running(
    run: Run, emulator: Emulator, environment: dict[str, str], changes: str
) -> None:
    arrivals = Arrivals(enough=2)
    emulator.faults.add(Hang(), when=arrivals, times=None)
    with process(*applying(changes), environment=environment):
        assert arrivals.came.wait(60)
        stopped = run("fleet", "stop", "last", "--wait", "0.1")
    assert stopped.exit_code == Exit.STOPPED
    assert "still running after 0.1 s" in stopped.stderr


def test_a_run_that_is_over_is_not_running(run: Run, changes: str) -> None:
    assert run(*applying(changes)).exit_code == Exit.DONE
    stopped = run("fleet", "stop", "last")
    assert stopped.exit_code == Exit.DONE
    assert "is not running" in stopped.stderr


@pytest.mark.parametrize("name", ["nowhere", ""])
def test_a_nonexistent_run_cannot_be_stopped(run: Run, name: str) -> None:
    assert run("fleet", "stop", name).exit_code == Exit.USAGE
