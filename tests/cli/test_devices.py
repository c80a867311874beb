"""`devices`: its output, and its exit codes."""

import json
import stat
from pathlib import Path

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Drop, Emulator, Reply, World
from tests.cli.conftest import Run


def test_list_writes_one_line_per_device(run: Run, world: World) -> None:
    result = run("devices", "list")
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == [device.id for device in world]
    assert rows[0][1:3] == [world.devices[0].name, world.devices[0].slug]


def test_list_as_json_of_one_site_with_expand_and_a_limit(run: Run, world: World) -> None:
    site = world.sites[0].id
    result = run(
        "devices", "list", "--json", "--site", site, "--limit", "3", "--expand", "connectivity"
    )
    assert result.exit_code == 0
    devices = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(devices) == 3
    assert all(device["site_id"] == site and "connectivity" in device for device in devices)


def test_get_shows_every_field(run: Run, world: World, leaf: str) -> None:
    result = run("devices", "get", leaf)
    assert result.exit_code == 0
    assert f"name                  {world.device(leaf).name}" in result.stdout
    assert json.loads(run("devices", "get", leaf, "--json").stdout)["id"] == leaf


def test_get_without_an_id_fails(run: Run) -> None:
    result = run("devices", "get", "none")
    assert result.exit_code == Exit.FAILED
    assert result.stdout == ""
    assert "404" in result.stderr


def test_wrong_arguments_are_usage_errors(run: Run, world: World, leaf: str) -> None:
    for arguments in (
        ("get", "../sites"),
        ("get", leaf, "--expand", "everything"),
        ("update", leaf),
        ("update", leaf, "--name", ""),
        ("generate-config", leaf),
        ("generate-config", leaf, "--show", "--protocol", "HTTP"),
        ("delete", leaf),  # without a terminal it needs --yes
    ):
        assert run("devices", *arguments).exit_code == Exit.USAGE
    assert world.log.count_arrivals() == 0


def test_update(run: Run, world: World, leaf: str) -> None:
    result = run("devices", "update", leaf, "--name", "Neu", "--slug", "neu")
    assert result.exit_code == 0
    assert "Neu" in result.stdout
    assert (world.device(leaf).name, world.device(leaf).slug) == ("Neu", "neu")


def test_a_refusal_exits_with_1_and_says_why(run: Run, world: World, leaf: str) -> None:
    other = next(device for device in world if device.id != leaf)
    result = run("devices", "update", leaf, "--slug", other.slug)
    assert result.exit_code == Exit.FAILED
    assert "409" in result.stderr
    assert "already_exists" in result.stderr


def test_assign_blueprint_as_json(run: Run, world: World, leaf: str) -> None:
    result = run("devices", "assign-blueprint", leaf, "bp-2", "--json")
    assert result.exit_code == 0
    row = json.loads(result.stdout)
    assert (row["state"], row["device"]["blueprint_id"]) == ("applied", "bp-2")
    assert world.device(leaf).blueprint_id == "bp-2"


def test_delete(run: Run, world: World, leaf: str) -> None:
    assert run("devices", "delete", leaf, "--yes").exit_code == 0
    assert leaf not in world
    result = run("devices", "delete", leaf, "--yes")
    assert result.exit_code == Exit.FAILED
    assert "there is no device" in result.stderr


def test_generate_config_into_a_file(run: Run, world: World, leaf: str, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    result = run("devices", "generate-config", leaf, "--protocol", "mqtt", "-o", str(path))
    assert result.exit_code == 0
    row = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    password = row["config"]["mqtt_credentials"]["password"]
    assert password not in result.output
    assert world.log.count("generate_config") == 1


def test_generate_config_is_shown_only_on_request(run: Run, leaf: str, tmp_path: Path) -> None:
    shown = run("devices", "generate-config", leaf, "--show")
    assert "private_key" in json.loads(shown.stdout)["mqtt_credentials"]
    path = tmp_path / "c.jsonl"
    quiet = run("devices", "generate-config", leaf, "-o", str(path), "--json")
    assert "private_key" not in quiet.output
    both = run("devices", "generate-config", leaf, "-o", str(path), "--json", "--show")
    assert "private_key" in json.loads(both.stdout)["config"]["mqtt_credentials"]


def test_a_lost_configuration_is_unknown(
    run: Run, world: World, emulator: Emulator, leaf: str
) -> None:
    emulator.faults.add(Drop(after_effect=True), method="POST")
    result = run("devices", "generate-config", leaf, "--show")
    assert result.exit_code == Exit.UNKNOWN
    assert "may or may not" in result.stderr
    assert result.stdout == ""
    assert world.log.count("generate_config") == 1


def test_an_unreadable_configuration_is_shown_as_received(
    run: Run, emulator: Emulator, leaf: str
) -> None:
    body = b'{"config": {"mqtt_credentials": {"username": "u", "password": "PASSWORD-SECRET"}}}'
    reply = Reply(body=body, content_type="application/json", after_effect=True)
    emulator.faults.add(reply, method="POST", times=2)
    shown = run("devices", "generate-config", leaf, "--show")
    assert shown.exit_code == Exit.UNKNOWN
    assert json.loads(shown.stdout) == {"raw": body.decode()}
    assert "config.mqtt_host is missing" in shown.stderr
    assert "PASSWORD-SECRET" not in shown.stderr
    as_json = run("devices", "generate-config", leaf, "--show", "--json")
    assert json.loads(as_json.stdout)["raw"] == body.decode()


def test_attempts_and_deadline_are_obeyed(run: Run, emulator: Emulator, leaf: str) -> None:
    emulator.faults.add(Reply(status=429), times=None)
    result = run("devices", "get", leaf, "--attempts", "1", "--deadline", "5")
    assert result.exit_code == Exit.FAILED
    assert "429" in result.stderr
    assert "wait longer with --deadline" in result.stderr
    assert emulator.world.log.count_arrivals() == 1


def test_text_from_a_server_cannot_control_the_terminal(
    run: Run, world: World, emulator: Emulator, leaf: str
) -> None:
    world.change(leaf, name="\x1b[31mred\x1b[0m\nsecond \u202eline")
    for arguments in (("get", leaf), ("list",), ("get", leaf, "--json")):
        shown = run("devices", *arguments).stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    emulator.faults.add(
        Reply(
            status=422,
            body=b'{"errors": [{"code": "\\u001b[2J", "message": "\\u001b]0;x\\u0007no"}]}',
        )
    )
    refused = run("devices", "update", leaf, "--name", "x")
    assert refused.exit_code == Exit.FAILED
    assert "\x1b" not in refused.stderr
    assert "\x07" not in refused.stderr
