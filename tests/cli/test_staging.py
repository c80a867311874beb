"""`fleet apply` in waves, with its own criteria, and the messages about them."""

import json
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.progress import Watch, event_text, tracker
from enapter_async.emulator import Emulator, Reply, TooManyRequests, World
from enapter_async.errors import AuthenticationError
from enapter_async.fleet import (
    RunGoesOn,
    RunStopped,
    RunWaiting,
    Wait,
    WaveBegan,
    WavePassed,
)
from enapter_async.fleet.waits import Reason
from tests.cli.conftest import Run

LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ .+")
REFUSED = Reply(
    status=409, content_type="application/json", body=b'{"errors": [{"code": "conflict"}]}'
)


@pytest.fixture
def changes(world: World, tmp_path: Path) -> str:
    path = tmp_path / "changes.jsonl"
    rows = [{"operation": "update", "device_id": each.id, "name": "new"} for each in world]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_file_is_applied_in_waves(run: Run, world: World, changes: str) -> None:
    result = run("fleet", "apply", changes)
    assert result.exit_code == Exit.DONE
    events = [line.partition(" ")[2] for line in result.stderr.splitlines()]
    lines = [line for line in events if line.startswith("wave")]
    # of 40: one, ten, one percent rounded up, ten percent, and the rest
    assert lines == [
        "wave 1 of 5: 1 operation",
        "wave 1 passed, 1 operation read back",
        "wave 2 of 5: 10 operations",
        "wave 2 passed, 10 operations read back",
        "wave 3 of 5: 1 operation",
        "wave 3 passed",
        "wave 4 of 5: 4 operations",
        "wave 4 passed",
        "wave 5 of 5: 24 operations",
        "wave 5 passed",
    ]
    assert world.log.count_arrivals("GET") == 11


def test_a_failure_in_the_first_wave_exits_with_4_and_costs_one_device(
    run: Run, world: World, emulator: Emulator, changes: str
) -> None:
    emulator.faults.add(REFUSED, method="PATCH")
    result = run("fleet", "apply", changes)
    assert result.exit_code == Exit.STOPPED
    assert "stopped: wave 1 did not pass" in result.stderr
    assert "Stopped: wave 1 did not pass" in result.stdout
    assert "fleet resume" in result.stderr
    assert world.log.count_arrivals() == 1
    result = run("fleet", "resume", "last", "--retry-failed")
    assert result.exit_code == Exit.DONE
    assert world.log.count("update") == 40


def test_waves_none_sends_all_at_once(run: Run, world: World, changes: str) -> None:
    result = run("fleet", "apply", changes, "--waves", "none")
    assert result.exit_code == Exit.DONE
    assert "wave 1" not in result.stderr
    assert world.log.count_arrivals("GET") == 0


def test_custom_criteria_stop_a_run(
    run: Run, world: World, emulator: Emulator, changes: str
) -> None:
    emulator.faults.add(REFUSED, method="PATCH", times=None)
    arguments = ["--waves", "none", "--concurrency", "1", "--abort", "failed:10%:5"]
    result = run("fleet", "apply", changes, *arguments)
    assert result.exit_code == Exit.STOPPED
    assert "5 of 5 operations ended as failed" in result.stdout
    assert world.log.count_arrivals() == 5
    result = run("fleet", "apply", changes, "--waves", "none", "--abort", "none")
    assert result.exit_code == Exit.FAILED
    assert world.log.count_arrivals() == 45


def test_a_pause_beyond_the_cap_exits_with_4(run: Run, emulator: Emulator, changes: str) -> None:
    emulator.faults.add(TooManyRequests(retry_after=3600), times=None)
    result = run("fleet", "apply", changes)
    assert result.exit_code == Exit.STOPPED
    assert "the server requests a pause of 1:00:00; the limit is 15:00" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--waves", "1,x"], "'x' is not a wave size"),
        (["--waves", ""], "'' is not a wave size"),
        (["--waves", "rest,1"], "must be the last wave"),
        (["--waves", "none", "--hold", "5"], "need waves"),
        (["--waves", "none", "--health", "0"], "need waves"),
        (["--waves", "none", "--gate", "alerts"], "need waves"),
        (["--gate", "alerts(fatal)"], "severities of alerts are info, warning, error"),
        (["--gate", "power>0 for ever"], "must be a duration of at most 24h"),
        (["--gate", "fine"], "is not a gate; write alerts, alerts(error)"),
        (["--gate", "power>low for 5m"], "is never met: > compares numbers"),
        (["--gate", "alerts", "--gate", "alerts"], "two gates have the same condition"),
        (["--abort", "all"], "is not a criterion"),
        (["--abort", "all:0%:1"], "above 0"),
        (["--max-pause", "0"], "range"),
        (["--per-site", "0"], "range"),
    ],
)
def test_wrong_wave_options_are_2_and_nothing_is_sent(
    run: Run, world: World, changes: str, arguments: list[str], said: str
) -> None:
    result = run("fleet", "apply", changes, *arguments)
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr
    assert world.log.count_arrivals() == 0


def test_a_wave_names_the_gates_whose_condition_no_device_met_before(
    run: Run, changes: str
) -> None:
    gates = ("--gate", "alerts", "--gate", "nowhere=1")
    result = run("fleet", "apply", changes, "--waves", "2,rest", *gates)
    assert result.exit_code == Exit.DONE
    said = "wave 1 passed, 2 operations read back; not checked, as no device met it before: "
    assert f"{said}'nowhere=1'\n" in result.stderr


def test_events_are_described_in_words() -> None:
    now = time.monotonic()
    wait = Wait(
        reason=Reason.HOST_DOWN, since=now - 42, until=now + 18, detail="no connection to the host"
    )
    assert (
        event_text(RunWaiting(wait=wait))
        == "paused 0:42, no connection to the host, next probe in 0:18"
    )
    assert event_text(RunGoesOn()) == "continues"
    assert event_text(WaveBegan(number=3)) == "wave 3"
    assert event_text(WaveBegan(number=3, size=9, waves=4)) == "wave 3 of 4: 9 operations"
    assert event_text(WavePassed(number=1, read_back=2)) == "wave 1 passed, 2 operations read back"
    assert "HTTP 401" in event_text(RunStopped(error=AuthenticationError("HTTP 401", status=401)))


def test_off_a_terminal_waits_are_printed_as_lines(capsys: pytest.CaptureFixture[str]) -> None:
    now = time.monotonic()
    wait = Wait(reason=Reason.HOLD, since=now, until=now + 60, detail="the hold between two waves")
    with tracker(10, Watch()) as tracking:
        tracking.tell(RunWaiting(wait=wait))
        tracking.tell(RunGoesOn())
    lines = capsys.readouterr().err.splitlines()
    assert all(LOGGED.fullmatch(line) for line in lines)
    assert [line.partition(" ")[2] for line in lines] == [
        "paused 0:00, the hold between two waves, on again in 1:00",
        "continues",
    ]


def test_a_bar_shows_the_reason_for_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enapter_async.cli.progress.fancy", lambda _: True)
    now = time.monotonic()
    wait = Wait(reason=Reason.HOST_DOWN, since=now - 5, until=now + 60, detail="no connection")
    console = Console(force_terminal=True, width=200, record=True)
    monkeypatch.setattr("enapter_async.cli.progress.Console", lambda **_: console)
    with tracker(10, Watch()) as tracking:
        tracking.tell(WaveBegan(number=1, size=1, waves=5))
        tracking.tell(RunWaiting(wait=wait))
    shown = console.export_text()
    assert "wave 1 of 5: 1 operation" in shown
    assert "paused 0:05, no connection, next probe in 1:00" in shown


def test_a_wave_says_what_it_reads_before_and_after(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "plan")
    assert run("fleet", "plan", "--all", "--set-name", "new {name}", "-o", path).exit_code == 0
    told = run("fleet", "apply", path, "--waves", "1,2,rest").stderr
    lines = [line.partition(" ")[2] for line in told.splitlines()]
    assert "reading 37 devices" in lines, "the first two waves read each device by itself"
    assert "reading back 2 devices of wave 2" in lines
    assert "continues" not in lines
