"""`fleet template`, `plan`, `apply PLAN` and `undo`: one job to its end, and the exit codes."""

import csv
import json
import stat
from pathlib import Path

import pytest

from enapter_async.cli import prompts as asking
from enapter_async.emulator import World
from tests.cli.conftest import Run


@pytest.fixture
def leaf(world: World) -> str:
    return next(each.id for each in world if not world.below(each.id))


@pytest.fixture
def state(world: World) -> dict[str, tuple[str, str]]:
    return {each.id: (each.name, each.slug) for each in world}


def names(world: World) -> dict[str, tuple[str, str]]:
    return {each.id: (each.name, each.slug) for each in world}


def planned(run: Run, path: Path, *arguments: str) -> Path:
    result = run("fleet", "plan", *arguments, "-o", str(path))
    assert result.exit_code == 0, result.output
    return path


def test_an_unedited_template_changes_nothing(run: Run, world: World, tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    result = run("fleet", "template", "-o", str(path))
    assert result.exit_code == 0
    assert "40 devices" in result.stderr
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert [row["device_id"] for row in rows] == [each.id for each in world]
    assert rows[0]["present_site_id"] == world.devices[0].site_id
    result = run("fleet", "plan", str(path), "--check")
    assert result.exit_code == 0
    assert "40 operations: 40 unchanged" in result.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_template_of_a_selection_goes_to_standard_output(run: Run, world: World) -> None:
    result = run("fleet", "template", "--type", "lua", "--status", "online")
    listed = [row["device_id"] for row in csv.DictReader(result.stdout.splitlines())]
    assert listed == [e.id for e in world if e.type == "LUA" and e.connectivity == "ONLINE"]
    assert listed


def test_names_that_look_like_formulas_survive_the_spreadsheet(
    run: Run, world: World, leaf: str, tmp_path: Path
) -> None:
    world.change(leaf, name="=1+1")
    path = tmp_path / "fleet.csv"
    run("fleet", "template", "-o", str(path))
    assert "'=1+1" in path.read_text()
    assert "40 unchanged" in run("fleet", "plan", str(path)).stdout


def test_plan_apply_and_undo_restore_the_fleet(
    run: Run, world: World, state: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    plan = planned(
        run,
        tmp_path / "plan.jsonl",
        *("--name-matches", r"(?P<what>\w+) (\d+)$"),
        *("--set-name", "{2} {what}", "--set-slug", "{slug}-x"),
    )
    assert names(world) == state
    applied = run("fleet", "apply", str(plan))
    assert applied.exit_code == 0, applied.output
    assert names(world) != state
    folder = next((tmp_path / "state" / "runs").iterdir())
    assert (folder / "plan.jsonl").read_bytes() == plan.read_bytes()
    undone = run("fleet", "undo", "last", "--yes")
    assert undone.exit_code == 0, undone.output
    assert names(world) == state


def test_a_plan_too_long_to_show_says_where_the_rest_is(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    change = ("fleet", "plan", "--all", "--set-name", "{name}!")
    assert "and 20 more; -o PLAN and --json show all of them" in run(*change).stdout
    assert f"and 20 more; {path} holds all of them" in run(*change, "-o", str(path)).stdout


def test_a_plan_shows_changes_and_refusals_and_ends_with_1(
    run: Run, world: World, leaf: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(f"operation,device_id,name\nupdate,{leaf},New\nupdate,nobody,New\n")
    result = run("fleet", "plan", str(rows))
    name = world.device(leaf).name
    assert result.exit_code == 1
    assert "2 operations: 1 change, 1 refused" in result.stdout
    assert f"{leaf} ({name}): name '{name}' -> 'New'" in result.stdout
    assert "Refused: 1\n  1  there is no such device" in result.stdout
    assert "nobody (row 3)\n" in result.stdout


def test_a_plan_as_input_and_the_input_as_output_are_refused(
    run: Run, world: World, leaf: str, tmp_path: Path
) -> None:
    changes, made = tmp_path / "changes.csv", tmp_path / "changes.plan"
    changes.write_text(f"operation,device_id,name\nupdate,{leaf},New\n")
    assert run("fleet", "plan", str(changes), "-o", str(made)).exit_code == 0
    arrivals = world.log.count_arrivals()
    for arguments, said in (
        ([made], f"`enapter-async fleet apply {made}` shows it"),
        ([changes, "-o", changes, "--force"], "is the input; write to another file"),
        ([changes, "-o", made], "already exists; choose a new file"),
        ([changes, "-o", tmp_path / "none" / "x.plan"], "its folder does not exist"),
        ([], "give a FILE of operations, or select devices and a change"),
    ):
        result = run("fleet", "plan", *map(str, arguments))
        assert (result.exit_code, said in result.stderr) == (2, True)
    piped = run("fleet", "apply", "-", input=made.read_text())
    assert (piped.exit_code, "pass the name of its file" in piped.stderr) == (2, True)
    assert changes.read_text().startswith("operation,")
    assert world.log.count_arrivals() == arrivals


def test_check_ends_with_6_if_something_would_change(run: Run, leaf: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(f"operation,device_id,name\nupdate,{leaf},New\n")
    assert run("fleet", "plan", str(rows), "--check").exit_code == 6


def test_json_shows_the_whole_plan(run: Run, leaf: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(f"operation,device_id,name\nupdate,{leaf},Nü\n")
    result = run("fleet", "plan", str(rows), "--json")
    header, item, seal = map(json.loads, result.stdout.splitlines())
    assert header["format"] == "enapter-async plan"
    assert item["operation"]["name"] == "Nü"
    assert seal["items"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set-name", "x"),
        ("--all",),
        ("rows.csv", "--type", "LUA"),
        ("rows.csv", "--delete"),
        ("--all", "--delete", "--set-name", "x"),
        ("--all", "--set-name", "{name.real}"),
        ("--name-matches", "(", "--delete"),
    ],
)
def test_nonsensical_options_are_a_usage_error(
    run: Run, world: World, arguments: tuple[str, ...]
) -> None:
    assert run("fleet", "plan", *arguments).exit_code == 2
    assert world.log.count_arrivals() == 0


def test_a_plan_with_refused_operations_is_applied_only_without_them(
    run: Run, world: World, leaf: str, tmp_path: Path
) -> None:
    rows, plan = tmp_path / "rows.csv", tmp_path / "plan"
    rows.write_text(f"operation,device_id,name\nupdate,{leaf},New\nupdate,nobody,New\n")
    run("fleet", "plan", str(rows), "-o", str(plan))
    refused = run("fleet", "apply", str(plan))
    assert refused.exit_code == 2
    assert "--skip-refused" in refused.stderr
    assert run("fleet", "apply", str(plan), "--skip-refused").exit_code == 0
    assert world.device(leaf).name == "New"


def test_a_modified_plan_or_one_for_another_server_is_refused_with_5(
    run: Run, leaf: str, world: World, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(f"operation,device_id,name\nupdate,{leaf},New\n")
    plan = planned(run, tmp_path / "plan", str(rows))
    elsewhere = run("fleet", "apply", str(plan), "--base-url", "http://127.0.0.1:9")
    assert elsewhere.exit_code == 5
    plan.write_text(plan.read_text().replace('"New"', '"Old"'))
    changed = run("fleet", "apply", str(plan))
    assert changed.exit_code == 5
    assert "changed after it was planned" in changed.stderr
    assert not list((tmp_path / "state").glob("runs/*"))
    assert world.count() == 0


def test_deletions_and_configurations_need_yes_off_a_terminal(
    run: Run, world: World, leaf: str, tmp_path: Path
) -> None:
    plan = planned(
        run, tmp_path / "plan", "--name-matches", world.device(leaf).name + "$", "--delete"
    )
    refused = run("fleet", "apply", str(plan))
    assert refused.exit_code == 2
    assert "1 deletion cannot be undone" in refused.stderr
    assert leaf in world
    assert run("fleet", "apply", str(plan), "--yes").exit_code == 0
    assert leaf not in world
    undone = run("fleet", "undo", "last", "--yes")
    assert undone.exit_code == 0
    assert "cannot be undone: 1 deleted devices stay deleted" in undone.stderr


def test_a_plan_of_configurations_is_applied_only_once_even_with_yes(
    run: Run, world: World, tmp_path: Path
) -> None:
    device = next(each.id for each in world if each.type == "STANDALONE")
    changes = tmp_path / "changes.csv"
    changes.write_text(f"operation,device_id,protocol\ngenerate_config,{device},MQTT\n")
    plan = planned(run, tmp_path / "plan.jsonl", str(changes))
    assert run("fleet", "apply", str(plan), "--yes").exit_code == 0
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(plan.read_bytes())
    for again in (plan, copy):
        refused = run("fleet", "apply", str(again), "--yes")
        assert refused.exit_code == 5
        assert "--again" in refused.stderr
    assert len([*(tmp_path / "state" / "runs").iterdir()]) == 1
    assert run("fleet", "rehearse", str(plan), "--faults", "0").exit_code == 0
    assert run("fleet", "apply", str(plan), "--yes", "--again").exit_code == 0
    assert world.log.count("generate_config") == 2


def test_on_a_terminal_the_user_types_the_number(
    run: Run, world: World, leaf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "on_terminal", lambda: True)
    rows = tmp_path / "rows.csv"
    rows.write_text(f"operation,device_id\ndelete,{leaf}\n")
    for typed in ("2\n", "\n", "yes\n", ""):
        assert run("fleet", "apply", str(rows), input=typed).exit_code != 0
        assert leaf in world
    result = run("fleet", "apply", str(rows), input="1\n")
    assert "1 deletion cannot be undone; type 1 to continue" in result.stderr
    assert result.exit_code == 0
    assert leaf not in world


def test_the_number_to_type_counts_all_irreversible_operations(
    run: Run, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "on_terminal", lambda: True)
    singles = [each.id for each in world if each.type == "STANDALONE"][:4]
    first, second, *others = singles
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "operation,device_id,name,protocol\n"
        + "".join(f"delete,{each},,\n" for each in (first, second))
        + "".join(f"generate_config,{each},,MQTT\n" for each in others)
        + f"update,{others[0]},A,\n"
    )
    plan = planned(run, tmp_path / "plan", str(rows))
    for file in (rows, plan):
        for typed in ("2\n", "5\n"):
            asked = run("fleet", "apply", str(file), input=typed)
            assert asked.exit_code == 1
            question = "2 deletions and 2 new configurations cannot be undone; type 4 to continue"
            assert question in asked.stderr
    assert world.count() == 0
    assert run("fleet", "apply", str(plan), input="4\n").exit_code == 0
    assert world.count("generate_config") == 2
    monkeypatch.chdir(tmp_path)
    undoing = run("fleet", "undo", "last", input="4\n")
    assert "undoes 1 change of run" in undoing.stderr
    assert undoing.exit_code == 1


def test_undo_may_only_write_the_plan(run: Run, world: World, leaf: str, tmp_path: Path) -> None:
    plan = planned(
        run, tmp_path / "plan", "--name-matches", world.device(leaf).name + "$", "--set-name", "X"
    )
    run("fleet", "apply", str(plan))
    back = tmp_path / "back"
    assert run("fleet", "undo", "last", "-o", str(back)).exit_code == 0
    assert world.device(leaf).name == "X"
    assert run("fleet", "apply", str(back)).exit_code == 0
    assert world.device(leaf).name != "X"


def test_undo_last_rolls_back_the_run_that_was_started_last(
    run: Run, world: World, tmp_path: Path
) -> None:
    kept, regretted = list(world)[:2]
    before = regretted.name
    for round_ in range(3):
        for device, name in ((kept, f"kept {round_}"), (regretted, f"regretted {round_}")):
            changes = tmp_path / f"{name}.csv"
            changes.write_text(f"operation,device_id,name\nupdate,{device.id},{name}\n")
            plan = planned(run, tmp_path / f"{name}.jsonl", str(changes))
            assert run("fleet", "apply", str(plan)).exit_code == 0
        assert run("fleet", "undo", "last", "--yes").exit_code == 0
        shown = [names(world)[device.id][0] for device in (kept, regretted)]
        assert shown == [f"kept {round_}", before]


def test_undo_leaves_later_changes_alone(run: Run, world: World, leaf: str, tmp_path: Path) -> None:
    plan = planned(
        run, tmp_path / "plan", "--name-matches", world.device(leaf).name + "$", "--set-name", "X"
    )
    run("fleet", "apply", str(plan))
    world.change(leaf, name="By hand")
    result = run("fleet", "undo", "last", "--yes")
    assert "there is nothing to undo" in result.stderr
    assert "'By hand', no longer 'X'" in result.stdout
    assert world.device(leaf).name == "By hand"


def test_a_stale_device_is_held_and_a_resume_reads_it_again(
    run: Run, world: World, leaf: str, tmp_path: Path
) -> None:
    name = world.device(leaf).name
    plan = planned(run, tmp_path / "plan", "--name-matches", name + "$", "--set-name", "X")
    world.change(leaf, name="By hand")
    held = run("fleet", "apply", str(plan))
    assert held.exit_code == 4
    world.change(leaf, name=name)
    assert run("fleet", "resume", "last").exit_code == 0
    assert world.device(leaf).name == "X"
