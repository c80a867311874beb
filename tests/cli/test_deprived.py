"""Every command without something that a process usually has: the exit code still shows the result.

The commands come from click, so that a new one must be tried here, too.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import click
import pytest

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import World
from tests.cli import deprived
from tests.cli.commands import COMMANDS, NEW_FILES, commands, prepared
from tests.cli.conftest import Run

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to take these things away"),
    pytest.mark.timeout(300),
]

Try = Callable[..., dict[str, Any]]

READING = {
    "completion",
    "blueprints get",
    "blueprints validate",
    "commands follow",
    "commands get",
    "commands list",
    "configuration get",
    "devices list",
    "devices get",
    "devices manifest",
    "devices watch",
    "doctor",
    "demo",
    "emulator",
    "fleet drift",
    "fleet plan",
    "fleet rehearse",
    "fleet runs",
    "fleet status",
    "fleet template",
    "fleet watch",
    "logs follow",
    "logs list",
    "profiles",
    "rules engine",
    "rules get",
    "rules list",
    "rules logs",
    "sites get",
    "sites list",
    "telemetry follow",
    "telemetry get",
    "telemetry latest",
    "telemetry timeseries",
}
"""Commands that only print: if they cannot print, they have failed."""
STREAMS = {each for each in deprived.TAKEN if each.startswith("std") or each == "all closed"}
REFUSALS = ("home and user", "descriptors", "disk", "folder")
WITH_EACH = {"devices get", "devices generate-config", "fleet apply", "fleet export"}
USUAL = {
    "blueprints get-by-name": Exit.FAILED,
    "devices delete": Exit.FAILED,
    "fleet drift": Exit.CHANGES,
    "fleet journal check": Exit.FAILED,
    "fleet journal prepare": Exit.FAILED,
    "rules delete": Exit.FAILED,
    "sites delete": Exit.FAILED,
}
"""How commands end with their arguments here, unless it is well."""
NOT_TWICE = {
    "blueprints upload",
    "provisioning lua-device",
    "provisioning standalone",
    "provisioning ucm",
    "rules create",
    "rules delete",
}
"""Commands that end differently the second time, or that need standard output for a secret."""


def test_every_command_is_tried_here() -> None:
    assert {name for name, _ in commands()} == set(COMMANDS)


@pytest.fixture
def attempt(
    run: Run, world: World, environment: Mapping[str, str], tmp_path: Path
) -> Iterator[Try]:
    """Runs a command deprived of something, in a folder that has files and a run for it."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    Path(environment["ENAPTER_CONFIG"]).write_text('[profiles.one]\nuser = "ann"\n')
    places = prepared(run, world, tmp_path)
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, deprived.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        text=True,
    ) as server:
        asking, answers = server.stdin, server.stdout
        assert asking is not None
        assert answers is not None

        def ask(command: str, taken: str, arguments: tuple[str, ...] | None = None) -> Any:
            for old in tmp_path.glob(NEW_FILES.get(command, "")) if command in NEW_FILES else ():
                old.unlink()
            given = COMMANDS[command] if arguments is None else arguments
            job = {
                "arguments": [*command.split(), *(each.format_map(places) for each in given)],
                "taken": taken,
                "folder": str(tmp_path),
                "environment": dict(environment),
                "port": int(places["port"]) if command == "emulator" else None,
            }
            asking.write(json.dumps(job) + "\n")
            asking.flush()
            return json.loads(answers.readline())

        yield ask
        asking.close()


def test_missing_streams_do_not_change_the_exit_code(attempt: Try) -> None:
    """Every command with a full standard output, and with one of the other ways in turn."""
    others = cycle(sorted(STREAMS - {"stdout full"}))
    wrong = []
    for command in COMMANDS:
        for taken in ("stdout full", next(others)):
            ended = attempt(command, taken)
            unheard = taken in ("stdout full", "stdout broken")
            usual = USUAL.get(command, Exit.DONE)
            expected = Exit.FAILED if unheard and command in READING else usual
            same = ended["code"] == expected or command in NOT_TWICE
            if not same or "Traceback" in ended["messages"]:
                wrong.append((command, taken, expected, ended))
    assert not wrong, "\n".join(map(str, wrong))


def test_a_refusal_by_the_system_ends_in_one_line(attempt: Try) -> None:
    """Every command with one refusal in turn; a read, a change, an export and a run with each."""
    wrong = []
    turn = cycle(REFUSALS)
    for command in COMMANDS:
        for taken in REFUSALS if command in WITH_EACH else (next(turn),):
            ended = attempt(command, taken)
            silent = ended["code"] and not ended["messages"].strip()
            if ended["code"] not in set(Exit) or silent or "Traceback" in ended["messages"]:
                wrong.append((command, taken, ended))
    assert not wrong, "\n".join(map(str, wrong))


def test_credentials_that_cannot_be_shown_are_kept(attempt: Try, tmp_path: Path) -> None:
    show = ("{device}", "--show")
    for taken in ("stdout full", "stdout broken"):
        ended = attempt("devices generate-config", taken, show)
        assert ended["code"] == Exit.DONE, ended
        (kept,) = tmp_path.glob("credentials-*.jsonl")
        assert kept.name in ended["messages"]
        assert "mqtt_credentials" in json.loads(kept.read_text())["config"]
        kept.unlink()
    ended = attempt("devices generate-config", "stdout closed", show)
    assert ended["code"] == Exit.USAGE
    assert "standard output is closed or discarded" in ended["messages"]


def test_a_failing_output_stream_stops_the_run_at_once(
    attempt: Try,
) -> None:
    ended = attempt("fleet apply", "stdout full", ("{folder}/rows.csv", "--yes", "--json"))
    assert ended["code"] == Exit.STOPPED, ended
    assert "results: " in ended["messages"]


def test_a_run_with_few_descriptors_and_no_standard_input_ends_normally(
    run: Run, world: World, environment: Mapping[str, str], tmp_path: Path
) -> None:
    rows = Path(prepared(run, world, tmp_path)["folder"], "rows.csv")
    rows.write_text(
        rows.read_text() + "".join(f"update,{each.id},{each.slug},\n" for each in list(world)[20:])
    )
    command = 'ulimit -n 20; exec "$0" -m enapter_async fleet apply "$1" --yes --waves none <&-'
    ended = subprocess.run(  # noqa: S603 - our own program
        ["/bin/sh", "-c", command, sys.executable, str(rows)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == Exit.DONE, ended.stderr
    assert "at most 1 connections at once" in ended.stderr
    *_, made = sorted((tmp_path / "state" / "runs").glob("*-*"))
    assert (made / "results.csv").exists()
    assert "mqtt_credentials" in (made / "credentials.jsonl").read_text()


ODD = "\udce4"
"""How Python represents an argument's byte 0xE4, which is not valid UTF-8."""


def test_arguments_that_are_not_utf_8_are_accepted_or_refused_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, found in commands():
        texts = [each for each in found.params if each.type.name == "text"]
        needed = [ODD for each in texts if isinstance(each, click.Argument) and each.required]
        given = [[each.opts[-1], ODD] for each in texts if isinstance(each, click.Option)]
        for options in ([], *given) if needed else given:
            ended = run(*command.split(), *needed, *options)
            assert isinstance(ended.exception, SystemExit | None), (command, options, ended)


def test_too_low_a_limit_of_open_files_is_reported_with_advice(attempt: Try) -> None:
    ended = attempt("devices list", "descriptors")
    assert ended["code"] == 1
    assert "only 2 more files can be opened, and a command needs at least 8" in ended["messages"]
    assert "`ulimit -n`" in ended["messages"]
