"""What the command line says: nothing with `--quiet`, causes with rows, and what was meant."""

import json
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from enapter_async.cli.app import cli
from enapter_async.cli.causes import causes_of
from enapter_async.cli.connecting import Patience
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.groups import Nouns, SharedOption
from enapter_async.emulator import World
from enapter_async.errors import Attempt, Certainty, HostDownError
from enapter_async.fleet import Outcome, Report, State
from enapter_async.hooks import AttemptFailed, Waited, Waiting
from enapter_async.operations.devices import UpdateDevice
from tests.cli.commands import commands
from tests.cli.conftest import Run
from tests.cli.processes import process


def rows(*ids: str) -> str:
    return "operation,device_id,name\n" + "".join(f"update,{each},New\n" for each in ids)


def test_under_cron_success_is_silent_and_failure_is_one_line_with_what_to_do(
    environment: Mapping[str, str], tmp_path: Path, leaf: str
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(rows(leaf))
    bad.write_text(rows(leaf, "nobody"))
    with process("fleet", "apply", str(good), "-q", environment=environment) as silent:
        assert silent.communicate() == ("", "")
    with process("-q", "fleet", "apply", str(bad), environment=environment) as spoken:
        out, err = spoken.communicate()
    assert (silent.returncode, spoken.returncode, out) == (Exit.DONE, Exit.FAILED, "")
    run = max(each.name for each in (tmp_path / "state" / "runs").glob("*-*"))
    assert err == (
        f"enapter-async: run {run}: 1 applied, 1 failed; next: enapter-async fleet resume {run} "
        "--retry-failed\n"
    )


def test_results_and_errors_are_written_though_quiet(run: Run, leaf: str) -> None:
    assert "id " in run("devices", "get", leaf, "-q").stdout
    assert json.loads(run("devices", "update", leaf, "--name", "A", "-q", "--json").stdout)
    told = run("devices", "update", leaf, "--name", "B", "-q")
    assert (told.stdout, told.stderr) == ("", "")
    missing = run("devices", "update", "nobody", "--name", "A", "-q")
    assert missing.stderr.count("\n") == 1
    assert "there is no such device" in missing.stderr.lower()


def test_failures_are_grouped_by_cause_with_rows_and_the_counts_come_last(
    run: Run, world: World, tmp_path: Path
) -> None:
    ids = [each.id for each in world][:3]
    wrong = [f"nobody-{number}" for number in range(5)]
    path = tmp_path / "changes.csv"
    path.write_text(rows(*wrong[:2], *ids, *wrong[2:]))
    once = ("--waves", "none", "--abort", "none", "--concurrency", "1")
    shown = run("fleet", "apply", str(path), *once).stdout
    cause, counts = shown.index("Failed: 5\n  5  HTTP 404"), shown.index("Outcomes of the")
    assert cause < counts
    assert "nobody-0 (row 2), nobody-1 (row 3), nobody-2 (row 7), ..." in shown
    status = run("fleet", "status").stdout
    assert "Failed: 5\n  5  HTTP 404" in status, "the next morning, too"
    assert "nobody-0 (row 2)" in status
    planned = run("fleet", "plan", str(path)).stdout
    assert "Refused: 5\n  5  there is no such device" in planned
    assert "nobody-0 (row 2), nobody-1 (row 3), nobody-2 (row 7), ..." in planned
    assert planned.splitlines()[-1] == "8 operations: 3 unchanged, 5 refused"
    assert run("fleet", "plan", str(path), "-o", str(tmp_path / "plan")).exit_code == 1
    refused = run("fleet", "apply", str(tmp_path / "plan"))
    assert "5  there is no such device" in refused.stderr
    assert "nobody-0 (row 2), nobody-1 (row 3), nobody-2 (row 7), ..." in refused.stderr
    last = json.loads(run("fleet", "apply", str(path), *once, "--json").stdout.splitlines()[-1])
    newest = max(each.name for each in (tmp_path / "state" / "runs").glob("*-*"))
    assert last["report"]["run"] == newest
    resumed = run("fleet", "resume", newest, "--retry-failed", "--abort", "none").stdout
    assert "nobody-0 (row 2), nobody-1 (row 3), nobody-2 (row 7), ..." in resumed


def test_a_plan_keeps_the_rows_and_the_names_for_whatever_fails_later(
    run: Run, world: World, tmp_path: Path
) -> None:
    gone, kept = [each for each in world if not world.below(each.id)][:2]
    path, plan = tmp_path / "changes.csv", tmp_path / "changes.plan"
    path.write_text(rows("nobody", kept.id, gone.id))
    assert run("fleet", "plan", str(path), "-o", str(plan)).exit_code == Exit.FAILED
    world.delete(gone.id)
    shown = run("fleet", "apply", str(plan), "--skip-refused", "--guard", "none").stdout
    assert f"{gone.id} ({gone.name}, row 4)" in shown
    assert (
        f"{gone.id} ({gone.name}, row 4)" in run("fleet", "resume", "last", "--retry-failed").stdout
    )


def test_a_quiet_plan_or_undo_shows_only_what_is_wrong(run: Run, leaf: str, tmp_path: Path) -> None:
    good, bad, plan = (tmp_path / name for name in ("good.csv", "bad.csv", "plan"))
    good.write_text(rows(leaf))
    bad.write_text(rows(leaf, "nobody"))
    for more in ((), ("-o", str(plan)), ("-o", str(plan), "--force")):
        told = run("fleet", "plan", str(good), "-q", *more)
        assert (told.exit_code, told.stdout, told.stderr) == (Exit.DONE, "", "")
    assert run("fleet", "plan", str(good), "-q", "--check").exit_code == Exit.CHANGES
    told = run("fleet", "plan", str(bad), "-q")
    assert told.stdout.splitlines()[0] == "Refused: 1"
    assert "nobody (row 3)" in told.stdout
    assert "To be done" not in told.stdout
    assert run("fleet", "apply", str(plan), "-q").stdout == ""
    asked = run("fleet", "undo", "last", "-q")
    assert "1 operation: 1 change" in asked.stdout, "a plan is shown where it is to be confirmed"
    assert asked.stderr.startswith("enapter-async: this undoes 1 change of run ")
    assert (asked.exit_code, asked.stderr.count("\n")) == (Exit.USAGE, 1)
    undone = run("fleet", "undo", "last", "-q", "--yes")
    assert (undone.exit_code, undone.stdout, undone.stderr) == (Exit.DONE, "", "")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["devcies", "list"], "did you mean 'devices'?"),
        (["apply", "x.csv"], "did you mean 'fleet apply'?"),
        (["devices", "rm", "x"], "did you mean 'devices delete'?"),
        (["fleet", "aply", "x"], "did you mean 'fleet apply'?"),
        (["devices", "zzz"], "there is no command 'zzz'\n"),
    ],
)
def test_a_mistyped_noun_or_verb_is_answered_with_what_was_meant(
    run: Run, words: list[str], meant: str
) -> None:
    told = run(*words)
    assert told.exit_code == Exit.USAGE
    assert meant in told.stderr


def test_each_command_lists_its_own_options_before_the_shared_ones() -> None:
    groups = [cli, *(cli.get_command(click.Context(cli), each) for each in ("devices", "fleet"))]
    assert all(isinstance(each, Nouns) for each in groups)
    for name, command in commands():
        shared = [isinstance(each, SharedOption) for each in command.params]
        assert shared == sorted(shared), name


def test_verbose_logs_each_call(environment: Mapping[str, str], leaf: str) -> None:
    with process("devices", "get", leaf, "-v", environment=environment) as started:
        _, said = started.communicate(timeout=60)
    assert started.returncode == Exit.DONE
    assert f"GetDevice {leaf}: done" in said


def test_causes_are_shown_though_the_journal_is_gone() -> None:
    wrong = [UpdateDevice(device_id=f"dev-{number}", name="x") for number in range(4)]
    failures = tuple(
        Outcome(operation=each, state=State.FAILED, error=HostDownError("no connection"))
        for each in wrong
    )
    (cause,) = causes_of(Report(counts={State.FAILED: 4}, failures=failures))
    assert (cause.state, cause.number, cause.why) == ("failed", 4, "no connection")
    assert cause.examples == ("dev-0", "dev-1", "dev-2")


def test_mistakes_in_a_spreadsheet_are_named_in_its_own_words(
    run: Run, world: World, tmp_path: Path
) -> None:
    """Rows and not positions; a misspelled verb; nothing to do; an option without its plan."""
    device = next(each.id for each in world if each.permits("OWNER"))
    path = tmp_path / "changes.csv"
    path.write_text(f"operation;device_id;name\nupdate;{device};A\n;;\nUpdate;{device};B\n")
    refused = run("fleet", "plan", str(path)).stdout
    assert "2  rows 2 and 4 set different values for its name" in refused
    assert f"{device} ({world.device(device).name}, row 2)" in refused
    path.write_text(f"operation;device_id;name\nupdate;{device};Grün\n")
    assert run("fleet", "plan", str(path)).stdout.endswith("1 operation: 1 change\n")
    needless = run("fleet", "apply", str(path), "--skip-refused")
    assert needless.exit_code == Exit.USAGE
    assert "--skip-refused needs a plan" in needless.stderr
    nobody = run("fleet", "plan", "--site-name", "nowhere", "--set-name", "A")
    assert nobody.exit_code == Exit.DONE
    assert "there is nothing to plan: no device is selected" in nobody.stderr
    path.write_text("operation;device_id;name\n")
    assert "changes.csv has no operation" in run("fleet", "plan", str(path), "-q").stderr


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("Bearer secret", "token contains a space; pass it alone, without 'Bearer'"),
        ('"secret"', "token is in quotes; remove them"),
    ],
)
def test_a_wrongly_copied_token_is_refused_with_the_reason(
    run: Run, tmp_path: Path, token: str, said: str
) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(token)
    told = run("devices", "list", "--token-file", str(file)).stderr
    assert said in told
    assert "secret" not in told
    file.write_text("\ufeffmistyped\r\n")
    refused = run("devices", "list", "--token-file", str(file)).stderr
    assert "HTTP 403" in refused, "a byte order mark does not matter"
    assert "`enapter-async doctor` shows where the token comes from" in refused


def test_a_command_that_waits_long_prints_why() -> None:
    told: list[str] = []
    patience = Patience(told.append)
    operation = UpdateDevice(device_id="dev-1", name="A")
    refused = Attempt(
        number=1, certainty=Certainty.REFUSED, error_type="RateLimitedError", elapsed=0, status=429
    )
    patience(AttemptFailed(call=1, operation=operation, attempt=refused))
    for seconds in (3.0, 1.0, 8.0, 4.0):
        patience(Waiting(call=1, operation=operation, seconds=seconds, reason="retry-after"))
    patience(Waited(call=1, operation=operation, seconds=1.0, reason="gate"))
    assert told == [
        "waiting for the server, 12 s in all: HTTP 429",
        "waiting for the server, 17 s in all: HTTP 429",
    ]
