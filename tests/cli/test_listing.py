"""Lists and files: formats, columns, filters, `--watch`, `--force`, `profiles use`, `--prune`."""

import csv
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from enapter_async.cli import prompts
from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import World
from enapter_async.profiles.file import read_config
from tests.cli.conftest import Run
from tests.cli.processes import process


def test_a_list_is_written_as_a_table_as_json_and_as_csv(run: Run, world: World) -> None:
    chosen = ("--columns", "id,connectivity.status")
    head, *rows = run("devices", "list", "--output", "table", *chosen).stdout.splitlines()
    assert head.split() == ["ID", "CONNECTIVITY.STATUS"]
    first = min(world, key=lambda each: each.id)
    assert rows[0].split() == [first.id, first.connectivity]
    assert len(rows) == 40
    assert {line.index("  ") for line in rows} == {len(first.id)}, "aligned"
    (_, *lines) = csv.reader(run("devices", "list", "--output", "csv", *chosen).stdout.splitlines())
    assert lines[0][0] == first.id
    mistyped = run("devices", "list", "--columns", "id,nme,slugs.x", "--limit", "2")
    assert "nothing in this list has nme, slugs.x: check the names" in mistyped.stderr
    assert "nothing in this list" not in run("devices", "list", *chosen).stderr
    objects = run("devices", "list", "--output", "json").stdout.splitlines()
    assert json.loads(objects[0])["id"] == first.id


def test_a_list_is_filtered_as_a_template_is(run: Run, world: World) -> None:
    wanted = {each.id for each in world if each.type == "LUA"}
    shown = run("devices", "list", "--type", "LUA", "--role", "OWNER", "--columns", "id").stdout
    assert set(shown.split()) == wanted
    assert wanted


def test_watching_shows_what_changes(
    environment: Mapping[str, str], world: World, leaf: str
) -> None:
    arguments = ("devices", "get", leaf, "--watch", "--every", "0.02")
    with process(*arguments, environment=environment) as watching:
        assert watching.stdout is not None
        lines = iter(watching.stdout.readline, "")
        assert any(line.startswith("updated_at") for line in lines), "all fields at first"
        world.change(leaf, name="Boiler")
        changed = next(line for line in lines if "  name  " in line)
        assert changed.endswith("-> Boiler\n")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == Exit.INTERRUPTED


def test_force_replaces_output_files(run: Run, leaf: str, tmp_path: Path) -> None:
    changes, file = tmp_path / "changes.csv", tmp_path / "file"
    changes.write_text(f"operation,device_id,name\nupdate,{leaf},New\n")
    for command in (
        ("fleet", "template", "-o", str(file)),
        ("fleet", "plan", str(changes), "-o", str(file)),
        ("fleet", "export", "--all", "-o", str(file)),
        ("fleet", "apply", str(changes), "--results", str(file)),
        ("fleet", "report", "last", "-o", str(file)),
    ):
        file.write_text("old")
        refused = run(*command)
        assert refused.exit_code == Exit.USAGE, command
        assert "--force" in refused.stderr
        assert file.read_text() == "old"
        assert run(*command, "--force").exit_code == 0, command
        assert file.read_text("utf-8") != "old"
        assert file.stat().st_mode & 0o777 == 0o600


def test_undoing_asks_for_y_and_keeps_the_plan_if_the_answer_is_no(
    run: Run, world: World, leaf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.device(leaf).name
    rows, plan = tmp_path / "rows.csv", tmp_path / "plan"
    rows.write_text(f"operation,device_id,name\nupdate,{leaf},New\n")
    assert run("fleet", "plan", str(rows), "-o", str(plan)).exit_code == 0
    assert run("fleet", "apply", str(plan)).exit_code == 0
    monkeypatch.setattr(prompts, "on_terminal", lambda: True)
    monkeypatch.chdir(tmp_path)
    assert run("fleet", "undo", "last", input="what\nn\n").exit_code == 1
    (kept,) = tmp_path.glob("undo-*.jsonl")
    assert world.device(leaf).name == "New"
    assert run("fleet", "apply", str(kept)).exit_code == 0
    assert world.device(leaf).name == before
    assert run("fleet", "undo", "last", input="y\n").exit_code == 0
    assert world.device(leaf).name == "New"


def test_profiles_use_changes_only_the_default(run: Run, environment: Mapping[str, str]) -> None:
    path = Path(environment["ENAPTER_CONFIG"])
    rest = '# mine\n[profiles.one]\nuser = "a"  # default = "x"\n\n[profiles.two]\n'
    path.write_text(rest)
    path.chmod(0o600)
    assert run("profiles", "use", "two").exit_code == 0
    assert path.read_text() == f'default = "two"\n{rest}'
    assert run("profiles", "use", "one").exit_code == 0
    assert path.read_text() == f'default = "one"\n{rest}'
    assert read_config(environment).default == "one"
    assert path.stat().st_mode & 0o777 == 0o600
    wrong = run("profiles", "use", "three")
    assert (wrong.exit_code, path.read_text()) == (Exit.USAGE, f'default = "one"\n{rest}')
    assert "has no profile 'three'; it has one, two" in wrong.stderr
    assert "* one" in run("profiles").stdout


def test_pruning_keeps_what_is_needed_and_removes_unreadable_journals(
    run: Run, world: World, leaf: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    runs = tmp_path / "state" / "runs"
    kept: list[str] = []
    gone: list[str] = []
    for text in (f"update,{leaf},New,", "update,nobody,New,", f"generate_config,{leaf},,MQTT"):
        rows.write_text(f"operation,device_id,name,protocol\n{text}\n")
        run("fleet", "apply", str(rows), "--yes", "--abort", "none", "--waves", "none")
        (made,) = {each.name for each in runs.iterdir()} - {*kept, *gone}
        (kept if "generate" in text else gone).append(made)
    damaged = runs / "20200101T000000Z-000099-abcd"
    damaged.mkdir()
    (damaged / "journal.db").write_text("no database")
    assert f"{damaged.name}  unreadable: " in run("fleet", "runs").stdout
    assert run("fleet", "runs", "--prune", "1", "--yes").stderr.endswith("can be removed\n")
    for each in runs.iterdir():
        os.utime(each / "journal.db", (1, 1))
    told = run("fleet", "runs", "--prune", "1", "--yes")
    assert told.exit_code == 0
    assert [each.name for each in runs.iterdir()] == kept
    assert f"{kept[0]} is kept: it holds generated configurations" in told.stderr
    assert world.log.count("generate_config") == 1
