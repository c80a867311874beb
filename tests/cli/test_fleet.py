"""`fleet apply`: results, files, exit codes."""

import csv
import json
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enapter_async.cli.endings import exit_of_report
from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Drop, Emulator, Reply, World
from enapter_async.errors import AuthenticationError
from enapter_async.fleet import Report, State
from tests.cli.conftest import Run

UNAUTHORIZED = Reply(status=401, body=b'{"errors": [{"code": "invalid_header"}]}')

MakeFile = Callable[..., str]


@pytest.fixture
def file(tmp_path: Path) -> MakeFile:
    """Write a file of JSON Lines, and return its path."""

    def write(*rows: dict[str, Any]) -> str:
        path = tmp_path / "changes.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def rename(device_id: str, name: str = "new") -> dict[str, Any]:
    return {"operation": "update", "device_id": device_id, "name": name}


def counts_of(**counts: int) -> dict[State, int]:
    return {state: counts.get(state.value, 0) for state in State}


@pytest.mark.parametrize(
    ("report", "ending"),
    [
        (Report(counts=counts_of(applied=3, unchanged=1, absent=1), complete=True), Exit.DONE),
        (Report(counts=counts_of(applied=3, failed=1, held=2), complete=True), Exit.FAILED),
        (Report(counts=counts_of(failed=1, unknown=1), complete=True), Exit.UNKNOWN),
        (
            Report(
                counts=counts_of(failed=1, held=4),
                complete=True,
                stopped=AuthenticationError("no", status=401),
            ),
            Exit.STOPPED,
        ),
        (
            Report(
                counts=counts_of(unknown=1, held=4),
                complete=False,
                stopped=AuthenticationError("no", status=401),
            ),
            Exit.UNKNOWN,
        ),
        (Report(counts=counts_of(applied=1), complete=False), Exit.STOPPED),
        (Report(counts=counts_of(), complete=True), Exit.DONE),
    ],
)
def test_the_exit_code_of_a_report(report: Report, ending: Exit) -> None:
    assert exit_of_report(report) == ending


def test_all_done_exits_with_0(run: Run, world: World, file: MakeFile) -> None:
    result = run("fleet", "apply", file(*(rename(device.id) for device in world)))
    assert result.exit_code == Exit.DONE
    assert "applied" in result.stdout
    assert "40 operations" in result.stderr
    assert "40 of 40" in result.stderr
    assert world.log.count("update") == 40
    assert {device.name for device in world} == {"new"}


def test_failures_exit_with_1_and_are_listed(
    run: Run, world: World, file: MakeFile, leaf: str
) -> None:
    result = run("fleet", "apply", file(rename(leaf), rename("none"), rename("none-either")))
    assert result.exit_code == Exit.FAILED
    assert "Failed: 2\n  2  HTTP 404 Not Found" in result.stdout
    assert "none (row 2), none-either (row 3)" in result.stdout
    assert "none-either" in result.stdout
    assert world.device(leaf).name == "new"


def test_wrong_input_exits_with_2_and_sends_nothing(run: Run, world: World, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("operation,device_id,name\nupdate,d1,ok\nexplode,d1,x\nupdate,..,x\n")
    result = run("fleet", "apply", str(path))
    assert result.exit_code == Exit.USAGE
    assert "2 problems; nothing was sent" in result.stderr
    assert "line 3: " in result.stderr
    assert "line 4: " in result.stderr
    assert world.log.count_arrivals() == 0


def test_unknown_outcomes_exit_with_3_which_takes_precedence_over_1(
    run: Run, emulator: Emulator, file: MakeFile, leaf: str, tmp_path: Path
) -> None:
    emulator.faults.add(Drop(), path="*/generate_config")
    mint = {"operation": "generate_config", "device_id": leaf, "protocol": "MQTT"}
    credentials = tmp_path / "c.jsonl"
    result = run(
        "fleet", "apply", "--yes", file(mint, rename("none")), "--credentials", str(credentials)
    )
    assert result.exit_code == Exit.UNKNOWN
    assert "may or may not have been done" in result.stdout
    assert credentials.read_text() == ""


def test_a_401_exits_with_4_and_the_rest_is_held(
    run: Run, world: World, emulator: Emulator, file: MakeFile
) -> None:
    emulator.faults.add(UNAUTHORIZED, times=None)
    rows = [rename(device.id) for device in world]
    result = run("fleet", "apply", file(*rows), "--concurrency", "1")
    assert result.exit_code == Exit.STOPPED
    assert "Stopped: HTTP 401" in result.stdout
    assert world.log.count_arrivals() == 1
    assert world.log.count() == 0


def test_json_is_one_outcome_per_line_and_the_report_last(
    run: Run, world: World, file: MakeFile, leaf: str
) -> None:
    result = run("fleet", "apply", file(rename(leaf), rename("none")), "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["state"] for row in sorted(rows[:2], key=lambda row: row["state"])] == [
        "applied",
        "failed",
    ]
    failed = next(row for row in rows[:2] if row["state"] == "failed")
    assert (failed["error_type"], failed["status"]) == ("NotFoundError", 404)
    assert failed["device_id"] == "none"
    assert rows[2]["report"]["counts"] == {
        str(state): number for state, number in counts_of(applied=1, failed=1).items()
    }
    assert rows[2]["report"]["complete"] is True
    assert world.device(leaf).name == "new"


def test_results_as_csv_can_be_applied_again(
    run: Run, world: World, file: MakeFile, leaf: str, tmp_path: Path
) -> None:
    results = tmp_path / "results.csv"
    rows = file(rename(leaf, "=1+1"), rename("none"))
    assert run("fleet", "apply", rows, "--results", str(results)).exit_code == Exit.FAILED
    assert stat.S_IMODE(results.stat().st_mode) == 0o600
    with results.open(newline="") as lines:
        told = {row["device_id"]: row for row in csv.DictReader(lines)}
    assert told[leaf]["state"] == "applied"
    assert told["none"]["state"] == "failed"
    assert told["none"]["status"] == "404"
    before = world.log.count("update")
    assert run("fleet", "apply", str(results)).exit_code == Exit.FAILED
    assert world.log.count("update") == before + 1
    assert world.device(leaf).name == "=1+1"


def test_results_never_hold_a_secret_and_are_never_overwritten(
    run: Run, world: World, file: MakeFile, leaf: str, tmp_path: Path
) -> None:
    results, credentials = tmp_path / "results.jsonl", tmp_path / "c.jsonl"
    rows = file({"operation": "generate_config", "device_id": leaf, "protocol": "MQTT"})
    arguments = [
        "fleet",
        "apply",
        "--yes",
        rows,
        "--results",
        str(results),
        "--credentials",
        str(credentials),
    ]
    result = run(*arguments, "--json")
    assert result.exit_code == Exit.DONE
    password = json.loads(credentials.read_text())["config"]["mqtt_credentials"]["password"]
    for text in (results.read_text(), result.output):
        assert password not in text
    assert json.loads(results.read_text())["state"] == "applied"
    again = run(*arguments)
    assert again.exit_code == Exit.USAGE
    assert "already exists" in again.stderr
    assert world.log.count("generate_config") == 1


def test_generated_configurations_go_into_the_runs_folder(
    run: Run, world: World, file: MakeFile, leaf: str, tmp_path: Path
) -> None:
    rows = file({"operation": "generate_config", "device_id": leaf, "protocol": "MQTT"})
    assert run("fleet", "apply", "--yes", rows).exit_code == Exit.DONE
    (kept,) = (tmp_path / "state" / "runs").glob("*/credentials.jsonl")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text())["device_id"] == leaf
    assert world.log.count("generate_config") == 1


def test_check_writes_only_what_differs(run: Run, world: World, file: MakeFile, leaf: str) -> None:
    rows = file(rename(leaf, world.device(leaf).name))
    result = run("fleet", "apply", rows, "--check", "--json")
    assert result.exit_code == Exit.DONE
    assert json.loads(result.stdout.splitlines()[0])["state"] == "unchanged"
    assert world.log.count() == 0


def test_standard_input_may_hold_the_operations(run: Run, world: World, leaf: str) -> None:
    result = run("fleet", "apply", "-", input=f"operation;device_id;name\nupdate;{leaf};Ü\n")
    assert result.exit_code == Exit.DONE
    assert world.device(leaf).name == "Ü"
    wrong = run("fleet", "apply", "-", input="nothing\n")
    assert wrong.exit_code == Exit.USAGE
    assert "standard input" in wrong.stderr


def test_a_concurrency_of_one_keeps_the_order_of_the_file(
    run: Run, world: World, file: MakeFile
) -> None:
    ids = [device.id for device in world][::-1]
    run("fleet", "apply", file(*(rename(each) for each in ids)), "--concurrency", "1")
    assert [effect.device_id for effect in world.log.effects()] == ids


def test_results_that_cannot_be_written_stop_the_run(
    run: Run, world: World, file: MakeFile
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    # A device that is always full cannot be created as a new file, so it is refused at once.
    rows = file(*(rename(device.id) for device in world))
    assert run("fleet", "apply", rows, "--results", "/dev/full").exit_code == Exit.USAGE
    assert world.log.count_arrivals() == 0


def test_the_summary_counts_every_state(run: Run, file: MakeFile, leaf: str) -> None:
    rows = file(rename(leaf), {"operation": "delete", "device_id": "none"}, rename("none-2"))
    result = run("fleet", "apply", "--yes", rows, "--json")
    states = Counter(
        row["state"] for row in map(json.loads, result.stdout.splitlines()) if "state" in row
    )
    assert states == {"applied": 1, "absent": 1, "failed": 1}
