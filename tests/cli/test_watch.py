"""`fleet watch`: a run of another process is shown until it ends, and is never touched."""

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator, Latency, Reply, World
from tests.cli.conftest import Run
from tests.cli.processes import process
from tests.cli.test_interrupts import Arrivals
from tests.cli.test_terminal import on_a_terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

REFUSED = Reply(
    status=403, body=b'{"errors":[{"code":"permission_denied","message":"You are not its OWNER."}]}'
)
MOST_REQUESTS = 16
"""As the help says: 13 devices, and the logs of 3."""
CHECKS = 10
"""Devices of the first wave, which the run itself reads back."""


def test_a_run_is_watched_until_it_ends(
    run: Run, emulator: Emulator, world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    refused = [each for each in world.devices if each.type == "STANDALONE"][:4]
    others = [each for each in world.devices if each not in refused]
    for device in refused:
        emulator.streams.log(device.id, f"{device.id} is hot", severity="warning")
    rows = [f"update,{each.id},New name\n" for each in (*others, *refused)]
    path = tmp_path / "changes.csv"
    path.write_text("operation,device_id,name\n" + "".join(rows))
    arrivals = Arrivals(enough=4)
    emulator.faults.add(Latency(seconds=0.4), method="PATCH", when=arrivals, times=None)
    applying = ("fleet", "apply", str(path), "--waves", "10,rest", "--concurrency", "1")
    watching = ("fleet", "watch", "--json", "--every", "0.2", "--devices-every", "0.2")
    with process(*applying, environment=environment) as started:
        assert arrivals.came.wait(60)
        began = time.monotonic()
        with process(*watching, environment=environment) as watched:
            assert watched.stdout is not None
            first = json.loads(watched.stdout.readline())
            emulator.faults.clear()
            for each in refused:
                emulator.faults.add(REFUSED, device=each.id, method="PATCH", times=None)
            output, said = watched.communicate(timeout=60)
            watched_s = time.monotonic() - began
        started.communicate(timeout=60)
    ended = run("fleet", "status", "last", "--json")
    assert watched.returncode == ended.exit_code == Exit.FAILED, said
    looks = [json.loads(line) for line in output.splitlines()]
    last = looks[-1]
    assert (first["running"], last["running"]) == (True, False)
    assert {name: last[name] for name in ("counts", "run", "wave", "waves")} == {
        name: json.loads(ended.stdout)[name] for name in ("counts", "run", "wave", "waves")
    }
    assert (last["wave"], last["waves"], last["counts"]["applied"]) == (2, 2, len(others))
    assert max(look["rate"] or 0 for look in looks) > 0
    names = [each.id for each in refused]
    assert sorted(each["device_id"] for each in last["not_done"]) == sorted(names)
    assert "OWNER" in last["not_done"][0]["error"]
    assert [each["name"] for each in last["devices"]][:4] == [
        each["device_id"] for each in last["not_done"]
    ]
    assert len(last["devices"]) <= 13
    assert {each["state"] for each in last["devices"]} <= {"online", "offline", "unknown"}
    assert all(each["alerts"] is not None for each in last["devices"])
    assert {each["message"] for each in last["logs"]} <= {f"{name} is hot" for name in names}
    assert len(last["logs"]) == 3
    requests = sum(each.method == "GET" for each in world.log.arrivals())
    assert 0 < requests <= MOST_REQUESTS * (watched_s / 0.2 + 2) + CHECKS


def test_ctrl_c_ends_the_view_of_a_job_and_not_the_job(
    *,
    run: Run,
    emulator: Emulator,
    world: World,
    environment: dict[str, str],
    changes: str,
    tmp_path: Path,
) -> None:
    place = str(tmp_path / "job")
    arrivals = Arrivals(enough=4)
    emulator.faults.add(Latency(seconds=0.4), when=arrivals, times=None)
    apart = ("--waves", "none", "--by", "10", "--concurrency", "1")
    applying = ("fleet", "apply", changes, "--journal", place, *apart)
    with process(*applying, environment=environment) as started:
        assert arrivals.came.wait(60)
        tokenless = {**environment, "ENAPTER_HTTP_API_TOKEN": ""}
        with process("fleet", "watch", place, "--every", "0.1", environment=tokenless) as watched:
            assert watched.stdout is not None
            assert "there is no token" in watched.stdout.readline()
            assert " of 40: " in watched.stdout.readline()
            watched.send_signal(signal.SIGINT)
            _, said = watched.communicate(timeout=60)
            emulator.faults.clear()
        assert (watched.returncode, said) == (Exit.INTERRUPTED, "")
        started.communicate(timeout=60)
    assert started.returncode == Exit.DONE
    assert world.count("update") == 40
    seen = run("fleet", "watch", place, "--no-devices")
    assert seen.exit_code == Exit.DONE
    assert "40 of 40: 40 applied" in seen.stdout
    assert run("fleet", "watch", place, "--quiet").stdout == ""


def test_a_terminal_of_40_columns_shows_everything_in_its_width(
    run: Run, environment: dict[str, str], leaf: str, tmp_path: Path
) -> None:
    path = tmp_path / "changes.csv"
    long = "nobody00-0000-4000-8000-000000000000"
    path.write_text(f"operation,device_id,name\nupdate,{leaf},New\nupdate,{long},New\n")
    assert run("fleet", "apply", str(path), "--waves", "none").exit_code == Exit.FAILED
    narrow = {**environment, "COLUMNS": "40"}
    code, shown = on_a_terminal("fleet", "watch", environment=narrow)
    lines = [line.rstrip() for line in shown.splitlines()]
    assert code == Exit.FAILED
    assert max(map(len, lines)) <= 40
    assert "1 applied, 1 failed" in lines
    assert "--retry-failed" in shown
    assert any("2/2 not running" in line for line in lines)
    assert lines.count(f"  {long}") >= 2  # whole, as what was not done, and as a device
    assert "  not found" in lines
    assert any(line.startswith("    HTTP 404") and line.endswith("…") for line in lines)


def test_a_job_in_postgresql_is_watched_by_its_address(
    run: Run, database: str, changes: str
) -> None:
    address = f"{database.replace('fleet@', 'fleet:s3cr3t@')}#renames"
    apart = ("--waves", "none", "--by", "20", "--workers", "0", "--yes")
    assert run("fleet", "apply", changes, "--journal", address, *apart).exit_code == Exit.DONE
    worked = run("fleet", "worker", "--journal", address, "--until-done")
    assert worked.exit_code == Exit.DONE, worked.output
    seen = run("fleet", "watch", address, "--json")
    assert seen.exit_code == Exit.DONE, seen.output
    (look,) = map(json.loads, seen.stdout.splitlines())
    assert (look["counts"]["applied"], look["running"], look["partitions"]) == (40, False, 2)
    assert len(look["devices"]) == 8
    assert "s3cr3t" not in seen.output


def test_devices_are_shown_in_place_with_what_they_sent_last(
    emulator: Emulator, environment: dict[str, str], leaf: str, world: World
) -> None:
    other = next(each.id for each in world if each.id != leaf)

    def send(_kind: str, _ids: frozenset[str]) -> None:
        streams = emulator.streams
        streams.telemetry(leaf, {"rpm": 1, "status": "ok"})
        streams.telemetry(leaf, {"rpm": 900})
        streams.properties(leaf, {"fw": "1.2"})
        streams.log(leaf, "Bearing hot", severity="warning")

    emulator.streams.when_opened = send
    watching = ("devices", "watch", leaf, other, "--live", "--limit", "4")
    code, shown = on_a_terminal(*watching, environment={**environment, "COLUMNS": "60"})
    assert code == Exit.DONE
    last = [line.rstrip() for line in shown.splitlines()][-6:]
    assert "  rpm=900  status=ok  fw=1.2" in last
    assert "  WARNING Bearing hot" in last
    assert f"{other}  nothing has arrived" in " ".join(last)
