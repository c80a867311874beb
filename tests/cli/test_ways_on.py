"""However a run ended, typing the printed command continues it."""

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.progress import Watch, tracker
from enapter_async.emulator import Drop, Emulator, Latency, Reply, World
from enapter_async.fleet.errors import NotStartedError
from enapter_async.fleet.journal.records import INTENT, Event
from enapter_async.fleet.outcomes import Outcome, State
from enapter_async.fleet.reporting.timeline import Timeline
from enapter_async.operations.devices import UpdateDevice
from tests.cli.conftest import Run
from tests.cli.processes import process
from tests.cli.test_interrupts import Arrivals

_COMMAND = re.compile(r": enapter-async (fleet resume .+)$", re.MULTILINE)
_REFUSED = Reply(status=422, body=b'{"errors": [{"code": "invalid"}]}')
_NO_WAVES = ("--waves", "none")


def updates(world: World) -> str:
    return "operation,device_id,name\n" + "".join(f"update,{each.id},new\n" for each in world)


def configurations(world: World) -> str:
    ids = [each.id for each in world if each.type == "STANDALONE"][:6]
    rows = "".join(f"generate_config,{each},MQTT\n" for each in ids)
    return "operation,device_id,protocol\n" + rows


def unauthorized(emulator: Emulator) -> None:
    emulator.faults.add(Reply(status=401, body=b'{"errors": [{"code": "invalid_header"}]}'))


def refused_once(emulator: Emulator) -> None:
    emulator.faults.add(_REFUSED, method="PATCH")


def refused_often(emulator: Emulator) -> None:
    emulator.faults.add(_REFUSED, method="PATCH", times=8)


def lost_for_a_while(emulator: Emulator) -> None:
    device = next(iter(emulator.world))
    emulator.faults.add(Drop(after_effect=True), device=device.id, times=9)


def configuration_lost(emulator: Emulator) -> None:
    emulator.faults.add(Drop(after_effect=True), path="*/generate_config")


@pytest.mark.parametrize("asked", [(), _NO_WAVES], ids=["waves", "all at once"])
@pytest.mark.parametrize(
    "case",
    [
        (updates, unauthorized),
        (updates, refused_once),
        (updates, refused_often),
        (updates, lost_for_a_while),
        (configurations, configuration_lost),
        (configurations, unauthorized),
    ],
    ids=lambda case: f"{case[0].__name__}, {case[1].__name__}",
)
def test_the_first_printed_command_continues_until_all_is_done(
    run: Run,
    emulator: Emulator,
    tmp_path: Any,
    case: tuple[Callable[[World], str], Callable[[Emulator], None]],
    asked: tuple[str, ...],
) -> None:
    content, fault = case

    def stands() -> Any:
        told = json.loads(run("fleet", "status", "--json").stdout)
        return told["counts"], told["acknowledged"], told["next"]

    path = tmp_path / "input.csv"
    path.write_text(content(emulator.world))
    fault(emulator)
    ended: Result = run(
        *("fleet", "apply", str(path), "--yes", "--concurrency", "1"),
        *("--abort", "failed:5%:5", *asked),
    )
    assert ended.exit_code not in (Exit.DONE, Exit.USAGE)
    emulator.faults.clear()
    for _ in range(5):
        commands = _COMMAND.findall(ended.stderr)
        if not commands:
            break
        before = stands()
        assert before[2] == [f"enapter-async {each}" for each in commands]
        ended = run(*shlex.split(commands[0]), "--concurrency", "1")
        assert stands() != before, f"{commands[0]} repeats itself"
    assert ended.exit_code == Exit.DONE, ended.output
    counts, acknowledged, ways = stands()
    assert counts["held"] == counts["failed"] == 0
    assert counts["unknown"] == acknowledged == (fault is configuration_lost)
    assert ways == []


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("update", "DEVICE", "--name", "x"), "or send it again"),
        (("generate-config", "DEVICE", "--show"), "before you send it again"),
    ],
    ids=["update", "generate"],
)
def test_advice_is_never_in_python_and_never_contradictory(
    run: Run, emulator: Emulator, world: World, arguments: tuple[str, ...], advice: str
) -> None:
    device = next(each.id for each in world if each.type == "STANDALONE")
    emulator.faults.add(Drop(after_effect=True), times=None)
    given = [device if each == "DEVICE" else each for each in arguments]
    said = run("devices", *given, "--attempts", "1")
    assert said.exit_code == Exit.UNKNOWN, said.output
    assert not re.search(r"\w+\(\w+=", said.stderr), "a call in Python's notation"
    assert advice in said.stderr
    assert "Do not repeat" not in said.stderr


def test_a_healthy_running_job_has_nothing_unknown_and_nothing_held(
    run: Run, emulator: Emulator, world: World, environment: dict[str, str], tmp_path: Any
) -> None:
    path = tmp_path / "input.csv"
    path.write_text(updates(world))
    arrivals = Arrivals(enough=4)
    emulator.faults.add(Latency(seconds=0.5), when=arrivals, times=None)
    arguments = ["fleet", "apply", str(path), "--concurrency", "4", *_NO_WAVES]
    with process(*arguments, environment=environment, forked=False) as started:
        assert arrivals.came.wait(60)
        looked = run("fleet", "status", "--json")
        shown = run("fleet", "status")
        started.kill()
        started.wait(60)
    told = json.loads(looked.stdout)
    assert (looked.exit_code, shown.exit_code) == (Exit.DONE, Exit.DONE)
    assert told["running"] is True
    assert (told["counts"]["unknown"], told["counts"]["held"]) == (0, 0)
    assert told["in_flight"] >= 4
    assert told["in_flight"] + told["waiting"] + sum(told["counts"].values()) == 40
    assert told["next"] == []
    assert "in flight" in shown.stdout
    assert "is running" in shown.stdout
    killed = json.loads(run("fleet", "status", "--json").stdout)
    assert killed["running"] is False
    assert killed["counts"]["unknown"] >= 1
    assert (
        killed["counts"]["held"] + killed["counts"]["unknown"] + killed["counts"]["applied"] == 40
    )


def test_held_operations_are_not_progress(capsys: pytest.CaptureFixture[str]) -> None:
    operation = UpdateDevice(device_id="d", name="x")
    held = Outcome(operation=operation, state=State.HELD, error=NotStartedError("stopped"))
    with tracker(20, Watch()) as tracking:
        for _ in range(18):
            tracking.advance(held)
        assert capsys.readouterr().err == ""
        for _ in range(2):
            tracking.advance(Outcome(operation=operation, state=State.APPLIED))
    assert "Z 2 of 20: " in capsys.readouterr().err


def test_held_operations_neither_start_nor_end_a_wave() -> None:
    timeline = Timeline(3)
    timeline.begin(1000)
    for seq, kind, at_ms, wave in (
        (0, INTENT, 1000, 0),
        (0, "applied", 1010, 0),
        (1, "held", 1500, 0),
        (2, "held", 1600, 1),
    ):
        event = Event(
            id=seq, seq=seq, step=0, kind=kind, attempt=1, at_ms=at_ms, elapsed_ms=None,
            status=None, code=None, request_id=None, detail=None,
        )  # fmt: skip
        timeline.take(event, wave)
    assert timeline.spans == {0: (0, 10)}
    assert timeline.tell()["rate"][-1] == 0
