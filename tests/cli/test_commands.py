"""`commands`: where its output goes, and how it ends."""

import json
from pathlib import Path

import pytest

from enapter_async.cli import prompts
from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Behaviour, Commands, Drop, Emulator, World
from tests.cli.conftest import Run


def test_each_ending_has_its_exit_code_and_the_device_runs_once(
    run: Run, world: World, emulator: Emulator, leaf: str
) -> None:
    commands = emulator.noun(Commands)

    def behave(behaviour: Behaviour) -> None:
        commands.behave("reboot", behaviour, device_id=leaf)

    behave(Behaviour())
    done = run("commands", "execute", leaf, "reboot", "--json")
    assert done.exit_code == Exit.DONE
    row = json.loads(done.stdout)
    assert (row["operation"], row["state"]) == ("command.execute", "applied")
    assert row["execution"]["state"] == "SUCCESS"
    assert "state " in run("commands", "get", leaf, row["execution"]["id"]).stdout

    behave(Behaviour(ending="error", payload={"reason": "busy"}))
    failed = run("commands", "execute", leaf, "reboot")
    assert failed.exit_code == Exit.FAILED
    assert "ended in ERROR: busy" in failed.stderr
    commands.timeout = 0.0
    behave(Behaviour(ending="time out"))
    assert run("commands", "execute", leaf, "reboot").exit_code == Exit.UNKNOWN
    behave(Behaviour(ending="never answer"))
    pending = run("commands", "execute", leaf, "reboot", "--wait", "0.1")
    assert pending.exit_code == Exit.STOPPED
    assert "did not end in the given time" in pending.stderr
    assert world.count("create_execution", device_id=leaf) == 4
    assert world.count("ran", device_id=leaf) == 2

    emulator.faults.add(Drop(after_effect=True), method="POST")
    behave(Behaviour())
    lost = run("commands", "execute", leaf, "reboot")
    assert lost.exit_code == Exit.UNKNOWN, lost.stderr
    assert "a search found" in lost.stderr
    assert world.count("ran", device_id=leaf) == 3

    listed = run("commands", "list", leaf).stdout.splitlines()
    assert [line.split("\t")[2:] for line in listed] == [
        [leaf, "reboot", state] for state in ("SUCCESS", "ERROR", "TIMEOUT", "NEW", "SUCCESS")
    ]


def test_the_manifest_is_checked_before_anything_is_sent(
    run: Run, world: World, emulator: Emulator, leaf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.noun(Commands).behave("reboot", Behaviour())
    world.change(leaf, connectivity="ONLINE")
    manifest = world.device(leaf).manifest
    asked = {"severity": "warning", "title": "Restart?", "description": "It stops for a minute."}
    confirmed = {**manifest["commands"], "reboot": {"confirmation": asked}}
    world.change(leaf, manifest={**manifest, "commands": confirmed})
    for arguments, why in (
        (("fly",), "was not sent: its manifest has no command 'fly'"),
        (("set_interval", "--args", '{"seconds": 0}'), "seconds must be at least 1"),
        (("set_interval", "--blocking"), "set_interval needs the argument 'seconds'"),
        (("reboot",), "Restart? It stops for a minute: there is no terminal to confirm on"),
    ):
        refused = run("commands", "execute", leaf, *arguments)
        assert (refused.exit_code, why in refused.stderr) == (Exit.USAGE, True), refused.stderr
    monkeypatch.setattr(prompts, "on_terminal", lambda: True)
    declined = run("commands", "execute", leaf, "reboot", "--blocking", input="n\n")
    assert declined.exit_code == Exit.FAILED
    assert "Restart? It stops for a minute; continue (y/n)?" in declined.stderr
    assert world.count("create_execution") == 0
    assert run("commands", "execute", leaf, "reboot", input="y\n").exit_code == Exit.DONE
    assert run("commands", "execute", leaf, "reboot", "--yes").exit_code == Exit.DONE
    assert world.count("ran", device_id=leaf) == 2


def test_an_execution_that_has_not_ended_is_followed_later(
    run: Run, world: World, emulator: Emulator, leaf: str
) -> None:
    commands = emulator.noun(Commands)
    commands.behave("reboot", Behaviour(latency=0.4), device_id=leaf)
    assert run("commands", "execute", leaf, "reboot", "--wait", "0").exit_code == Exit.STOPPED
    (execution,) = commands.executions(leaf)
    early = run("commands", "follow", leaf, execution["id"], "--wait", "0")
    assert early.exit_code == Exit.STOPPED
    assert "did not end in the given time" in early.stderr
    late = run("commands", "follow", leaf, execution["id"])
    assert (late.exit_code, "SUCCESS" in late.stdout) == (Exit.DONE, True)
    assert world.count("create_execution") == 1


def test_wrong_arguments_are_usage_errors(run: Run, world: World, leaf: str) -> None:
    for arguments in (
        ("execute", leaf, "reboot", "--args", "[1]"),
        ("execute", leaf, "a,b"),
        ("list",),
        ("list", leaf, "--since", "yesterday"),
        ("list", leaf, "--since", "2026-01-01T00:00:00"),
        ("list", leaf, "--state", "DONE"),
        ("get", leaf, "../x"),
    ):
        assert run("commands", *arguments).exit_code == Exit.USAGE, arguments
    assert world.log.count_arrivals() == 0


def test_a_fleet_reboots_and_says_who_did_not_answer(
    run: Run, world: World, emulator: Emulator, tmp_path: Path
) -> None:
    """One plan, carried out once: silent devices are unknown or pending, and never sent again."""
    commands = emulator.noun(Commands)
    commands.timeout = 0.0
    site = world.sites[0].id
    devices = [device.id for device in world if device.site_id == site]
    for device_id in devices:
        commands.behave("reboot", Behaviour(), device_id=device_id)
    silent, slow, broken = devices[:3]
    commands.behave("reboot", Behaviour(ending="time out"), device_id=silent)
    commands.behave("reboot", Behaviour(ending="never answer"), device_id=slow)
    commands.behave("reboot", Behaviour(ending="error"), device_id=broken)
    plan, results = str(tmp_path / "plan"), tmp_path / "results.jsonl"
    made = run("fleet", "plan", "--site", site, "--execute", "reboot", "-o", plan)
    assert made.exit_code == Exit.DONE, made.stderr
    assert "execute, name 'reboot'" in made.stdout
    asked = run("fleet", "apply", plan)
    assert asked.exit_code == Exit.USAGE
    assert f"{len(devices)} once-only operations cannot be undone" in asked.stderr
    given = ("--yes", "--waves", "none", "--abort", "none", "--wait", "0.1")
    applied = run("fleet", "apply", plan, *given, "--results", str(results))
    assert applied.exit_code == Exit.UNKNOWN, applied.stderr
    rows = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    states = {row["device_id"]: row["state"] for row in rows}
    assert {each: states.pop(each) for each in (silent, slow, broken)} == {
        silent: "unknown",
        slow: "pending",
        broken: "differs",
    }
    assert set(states.values()) == {"applied"}
    assert run("fleet", "apply", plan, *given).exit_code == Exit.REFUSED

    commands.behave("reboot", Behaviour(), device_id=slow)
    run("fleet", "resume", "last", "--wait", "0.1", "--retry-failed")
    counts = json.loads(run("fleet", "status", "--json").stdout)["counts"]
    assert (counts["unknown"], counts["pending"], counts["differs"]) == (1, 1, 1)
    assert world.count("create_execution") == len(devices), "nothing is sent again"
    refused = run("fleet", "rehearse", plan)
    assert refused.exit_code == Exit.USAGE
    assert "cannot be rehearsed" in refused.stderr
