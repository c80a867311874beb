"""`fleet report` and `fleet rehearse`: a page about a run, and a run that touches nothing real."""

import json
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enapter_async import AssignBlueprint, DeleteDevice, GenerateConfig, UpdateDevice
from enapter_async.cli.rehearsal import lies
from enapter_async.cli.rehearse import world_of
from enapter_async.emulator import Emulator, World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import Outcome, PlanHeader, PlanItem, State, Verdict
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.fleet.planning.plan import Plan
from enapter_async.operation import Operation
from tests.cli.conftest import Run
from tests.cli.delivery import deliver
from tests.fleet.pages import data_of


@pytest.fixture
def renames(run: Run, tmp_path: Path) -> Path:
    """A plan that renames each device and changes its slug."""
    path = tmp_path / "plan.jsonl"
    arguments = ("--all", "--set-name", "{name} x", "--set-slug", "{slug}-x", "-o", str(path))
    assert run("fleet", "plan", *arguments).exit_code == 0
    return path


def only_run(tmp_path: Path) -> Path:
    return next((tmp_path / "state" / "runs").iterdir())


def test_the_report_of_the_last_run_is_in_its_folder_beside_the_results(
    run: Run, renames: Path, world: World, tmp_path: Path
) -> None:
    world.change(world.devices[0].id, name="By </script> hand")
    assert run("fleet", "apply", str(renames), "--waves", "none").exit_code == 4
    arrivals = world.log.count_arrivals()
    folder = only_run(tmp_path)
    (folder / "results.csv").unlink()
    result = run("fleet", "report")
    assert (result.exit_code, result.stdout.strip()) == (0, str(folder / "report.html"))
    assert world.log.count_arrivals() == arrivals
    page = folder / "report.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    data = data_of(page)
    assert (data["name"], data["run"]) == (folder.name, folder.name)
    assert data["counts"]["applied"] == 39
    assert "By </script> hand" in data["rows"][0][8]
    assert [link for _, link in data["results"]] == ["results.csv", "results.jsonl"]
    assert all((folder / link).is_file() for _, link in data["results"])
    assert run("fleet", "report", folder.name[:12]).exit_code == 0


def test_a_report_goes_to_a_new_file_only(run: Run, renames: Path, tmp_path: Path) -> None:
    run("fleet", "apply", str(renames))
    page = tmp_path / "page.html"
    result = run("fleet", "report", "last", "-o", str(page), "--json")
    assert json.loads(result.stdout) == {"report": str(page)}
    assert len(data_of(page)["waves"]) > 1
    again = run("fleet", "report", "last", "-o", str(page))
    assert (again.exit_code, "already exists" in again.stderr) == (2, True)
    assert run("fleet", "report", "last", "-o", str(tmp_path / "no" / "page")).exit_code == 2
    assert run("fleet", "report", "nobody").exit_code == 2


def test_a_running_job_has_a_page_without_results(run: Run, renames: Path, tmp_path: Path) -> None:
    run("fleet", "apply", str(renames))
    folder = only_run(tmp_path)
    lock = RunLock.take(folder / "journal.db")
    assert run("fleet", "report").exit_code == 0
    lock.release()
    data = data_of(folder / "report.html")
    assert (data["running"], data["results"]) == (True, [])


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are created."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def test_a_rehearsal_touches_nothing_real_and_leaves_nothing(
    run: Run, renames: Path, world: World, folders: Path, tmp_path: Path
) -> None:
    before, arrivals = world.to_json(), world.log.count_arrivals()
    result = run("fleet", "rehearse", str(renames), "--faults", "0.2")
    assert result.exit_code == 0, result.output
    assert "CHECKED" in result.stdout
    assert (world.to_json(), world.log.count_arrivals()) == (before, arrivals)
    assert not (tmp_path / "state").exists()
    assert list(folders.iterdir()) == []


def test_a_rehearsal_needs_no_token_and_no_server(
    run: Run, renames: Path, environment: dict[str, str]
) -> None:
    environment["ENAPTER_HTTP_API_TOKEN"] = ""
    environment["ENAPTER_HTTP_API_BASE_URL"] = "http://127.0.0.1:9"
    assert run("fleet", "rehearse", str(renames), "--faults", "0").exit_code == 0


def test_the_same_seed_gives_the_same_result(run: Run, renames: Path) -> None:
    arguments = ("fleet", "rehearse", str(renames), "--faults", "0.3", "--json")
    told = []
    for seed in ("5", "5", "6"):
        row = json.loads(run(*arguments, "--seed", seed).stdout)
        assert row["rehearsal"]["lies"] == []
        told.append((row["report"]["counts"], row["report"]["attempts"]))
    assert told[0] == told[1]
    assert told[0][0]["applied"] == 40


def test_configurations_and_deletions_are_rehearsed_without_being_confirmed(
    run: Run, world: World, tmp_path: Path
) -> None:
    rows, plan, page = (tmp_path / name for name in ("rows.csv", "plan", "page.html"))
    parent = next(e for e in world if (ids := world.below(e.id)) and not any(map(world.below, ids)))
    alone = [e for e in world if e.type == "STANDALONE" and not world.below(e.id)]
    asked = [f"generate_config,{each.id},MQTTS" for each in alone]
    asked += [f"delete,{each}," for each in (parent.id, *world.below(parent.id))]
    rows.write_text("\n".join(["operation,device_id,protocol", *asked]))
    planned = run("fleet", "plan", str(rows), "-o", str(plan))
    assert planned.exit_code == 0, planned.output
    result = run("fleet", "rehearse", str(plan), "--faults", "0", "--report", str(page))
    assert result.exit_code == 0, result.output
    assert parent.id in world
    data = data_of(page)
    assert data["counts"]["applied"] == len(asked)
    assert (data["name"], data["run"]) == ("rehearsal of plan", None)
    assert run("fleet", "rehearse", str(plan), "--report", str(page)).exit_code == 2


def test_lost_configurations_end_a_rehearsal_as_they_would_end_the_run(
    run: Run, world: World, tmp_path: Path
) -> None:
    rows, plan = tmp_path / "rows.csv", tmp_path / "plan"
    asked = [f"generate_config,{each.id},MQTT" for each in world if each.type == "STANDALONE"]
    rows.write_text("\n".join(["operation,device_id,protocol", *asked]))
    assert run("fleet", "plan", str(rows), "-o", str(plan)).exit_code == 0
    # Every request meets a fault, and seven of nine kinds lose an answer or refuse.
    result = run("fleet", "rehearse", str(plan), "--faults", "1", "--guard", "none")
    assert result.exit_code in (3, 4), result.output
    assert "NOT TRUE" not in result.stdout


def test_configurations_and_sites_are_rehearsed_from_the_values_in_the_plan(
    run: Run, world: World, leaf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW_TOKEN", "S3CRET")
    rows, plan = tmp_path / "rows.csv", tmp_path / "plan"
    others = [each.id for each in world if each.id != leaf][:2]
    rows.write_text(
        "operation,device_id,site_id,group,set,secrets,reset,name\n"
        f'configuration.update,{leaf},,network,"{{""port"": 8502}}",'
        '"{""token"": ""env:NEW_TOKEN""}","[""host""]",\n'
        f"update,{leaf},,,,,,New\n"
        f'configuration.update,{others[0]},,network,"{{""port"": 502}}",,,\n'
        f"configuration.reset,{others[1]},,network,,,,\n"
        f"site.update,,{world.sites[0].id},,,,,North\n"
    )
    run("configuration", "update", others[1], "network", "--set", "host=h")
    assert run("fleet", "plan", str(rows), "-o", str(plan)).exit_code == 0
    result = run("fleet", "rehearse", str(plan), "--faults", "0.3", "--seed", "2", "--json")
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout.splitlines()[-1])["report"]["counts"]
    assert (counts["applied"], counts["unchanged"]) == (4, 1)
    assert "S3CRET" not in result.output


def test_a_modified_plan_is_not_rehearsed(run: Run, renames: Path) -> None:
    renames.write_text(renames.read_text().replace(" x", " y"))
    assert run("fleet", "rehearse", str(renames)).exit_code == 5


def test_refused_items_are_left_out_and_reported(run: Run, leaf: str, tmp_path: Path) -> None:
    rows, plan = tmp_path / "rows.csv", tmp_path / "plan"
    rows.write_text(f"operation,device_id,name\nupdate,{leaf},New\nupdate,nobody,New\n")
    run("fleet", "plan", str(rows), "-o", str(plan))
    result = run("fleet", "rehearse", str(plan), "--faults", "0")
    assert result.exit_code == 0
    assert "1 refused operations are left out" in result.stderr


class ListedPlan(Plan):
    """A plan of these items."""

    def __init__(self, *items: PlanItem) -> None:
        self._listed = items
        super().__init__(PlanHeader(base_url="http://127.0.0.1/v3", created_at=""))

    def items(self) -> Iterator[PlanItem]:
        return iter(self._listed)

    def close(self) -> None:
        pass


def item(seq: int, operation: Any, before: dict[str, str | None] | None, **fields: Any) -> PlanItem:
    given = {"verdict": Verdict.CHANGE, "name": "Pump", "site": "site-1", **fields}
    device = operation.device_id
    return PlanItem(
        line=seq + 1, seq=seq, device=device, operation=operation, before=before, **given
    )


def test_the_world_is_as_before_the_first_change_of_each_field() -> None:
    world = world_of(
        ListedPlan(
            item(0, UpdateDevice(device_id="a", name="New"), {"name": "Pump"}),
            item(
                1,
                GenerateConfig(device_id="a", protocol="MQTT"),
                {"name": "New", "slug": "pump", "site_id": "site-1", "blueprint_id": "bp"},
            ),
            item(2, AssignBlueprint(device_id="b", blueprint_id="b2"), {"blueprint_id": "b1"}),
        )
    )
    first, second = world.devices
    assert (first.name, first.slug, first.site_id, first.blueprint_id) == (
        "Pump", "pump", "site-1", "bp",
    )  # fmt: skip
    assert second.blueprint_id == "b1"


def test_a_slug_missing_from_the_plan_is_hidden_until_it_is_set() -> None:
    before: dict[str, str | None] = {"slug": None}
    world = world_of(ListedPlan(item(0, UpdateDevice(device_id="a", slug="pump"), before)))
    assert world.device("a").to_json()["slug"] == ""
    assert world.update("a", slug="pump").to_json()["slug"] == "pump"


def test_unchanged_devices_exist_as_wanted_and_absent_ones_do_not() -> None:
    world = world_of(
        ListedPlan(
            item(0, UpdateDevice(device_id="a", slug="s"), None, verdict=Verdict.UNCHANGED),
            item(1, DeleteDevice(device_id="b"), None, verdict=Verdict.ABSENT, name="", site=""),
        )
    )
    assert [(each.id, each.slug) for each in world] == [("a", "s")]


def test_a_deletion_that_waits_for_another_is_of_the_parent_device() -> None:
    identity = {"name": "Pump", "slug": None, "site_id": "site-1", "blueprint_id": None}
    world = world_of(
        ListedPlan(
            item(0, DeleteDevice(device_id="child"), identity),
            item(1, DeleteDevice(device_id="parent"), identity, after=0),
        )
    )
    assert world.below("parent") == ("child",)


def test_an_impossible_world_is_refused() -> None:
    before = {"slug": "same"}
    items = [item(n, UpdateDevice(device_id=f"d{n}", slug=f"s{n}"), dict(before)) for n in (0, 1)]
    with pytest.raises(ConfigurationError, match="slug 'same' already"):
        world_of(ListedPlan(*items))


@pytest.mark.parametrize(
    ("operation", "done", "state", "lie"),
    [
        (UpdateDevice(device_id="a", name="N"), 1, State.APPLIED, ""),
        (UpdateDevice(device_id="a", name="N"), 3, State.APPLIED, ""),
        (UpdateDevice(device_id="a", name="N"), 0, State.APPLIED, "it was not done"),
        (UpdateDevice(device_id="a", name="N"), 1, State.FAILED, "it was done"),
        (UpdateDevice(device_id="a", name="N"), 1, State.HELD, "it was done"),
        (UpdateDevice(device_id="a", name="N"), 0, State.UNCHANGED, ""),
        (UpdateDevice(device_id="a", name="N"), 1, State.UNKNOWN, ""),
        (DeleteDevice(device_id="a"), 0, State.ABSENT, "it exists"),
        (GenerateConfig(device_id="a", protocol="MQTT"), 2, State.UNKNOWN, "it was done 2 times"),
    ],
)
def test_contradictions_to_the_log_are_reported(
    operation: Operation[Any], done: int, state: State, lie: str
) -> None:
    world = world_of(ListedPlan(item(0, UpdateDevice(device_id="a", name="X"), {"name": "Pump"})))
    emulator = Emulator(world=world)
    for _ in range(done):
        deliver(emulator, operation)
    outcome = Outcome(operation=operation, state=state)
    told = list(lies(emulator, [operation], [outcome], Path("none")))
    assert [lie in each for each in told] == ([True] if lie else [])
