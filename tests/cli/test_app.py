"""The root command: help, options, errors, and the cost of a start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from enapter_async import __version__
from enapter_async.cli import main
from enapter_async.cli.app import cli
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.groups import Directory
from enapter_async.emulator import Emulator
from tests.cli.conftest import Run


def test_help_lists_commands_and_every_exit_code() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for word in ("demo", "devices", "emulator", "fleet"):
        assert f"  {word} " in result.stdout
    for code in Exit:
        assert f" {code.value}  " in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["devices"],
        *(
            ["devices", each]
            for each in ("list", "get", "update", "delete", "generate-config", "assign-blueprint")
        ),
        ["fleet"],
        ["fleet", "apply"],
        ["emulator"],
        ["demo"],
    ],
)
def test_every_command_has_help_and_needs_no_token_for_it(command: list[str]) -> None:
    result = CliRunner().invoke(cli, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert re.findall(r"\{[A-Z_]+\}", result.stdout) == [], "a constant that was not filled in"


def test_main_returns_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
    assert main(["explode"]) == Exit.USAGE
    assert main(["devices", "explode"]) == Exit.USAGE


STARTS = """
import os, runpy, sys

def ran(*words, **completing):
    sys.argv[1:] = words
    os.environ.update(completing)
    try:
        runpy.run_module("enapter_async", run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        print(ending.code)
    for name in completing:
        del os.environ[name]
    print("loaded", *sys.modules)

import enapter_async
print("loaded", *sys.modules)
ran("--version")
ran("fleet", "--help")
ran(_ENAPTER_ASYNC_COMPLETE="bash_complete", COMP_WORDS="enapter-async fleet ap", COMP_CWORD="2")
ran(_ENAPTER_ASYNC_COMPLETE="bash_complete", COMP_WORDS="enapter-async devices l", COMP_CWORD="2")
ran("devices", "list", "--limit", "1")
"""
UNUSED = {
    "enapter_async.emulator",
    "enapter_async.fleet.outcomes",
    "enapter_async.fleet.run",
    "enapter_async.integrations",
    "enapter_async.api.rules",
    "enapter_async.operations.kinds",
    "enapter_async.operations.telemetry",
    "rich.console",
    "sqlite3",
    "zipfile",
}
"""What a command that reads devices does not use."""
OF_A_CALL = {"aiohttp", "asyncio", "cattrs", "enapter_async.client", "enapter_async.cli.objects"}


def test_a_start_imports_only_what_it_uses(environment: dict[str, str]) -> None:
    # Measured coverage would import more.
    unmeasured = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
    }
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", STARTS],
        env={**unmeasured, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    shown, stages = [], []
    for line in done.stdout.splitlines():
        if line.startswith("loaded "):
            stages.append(set(line.split()))
        else:
            shown.append(line)
    assert __version__ in shown[0]
    assert {"plain,apply", "plain,list"} < set(shown)
    package, *light, listing = stages
    assert {each for each in package if each.startswith("enapter_async")} == {
        "enapter_async",
        "enapter_async._door",
    }
    assert len(light) == 4
    for loaded in light:
        assert not loaded & (UNUSED | OF_A_CALL)
    assert shown[-1] == "0"
    assert listing >= OF_A_CALL
    assert not listing & UNUSED


def test_the_help_of_commands_is_known_before_they_are_imported() -> None:
    context = click.Context(cli, info_name="enapter-async")
    fleet = cli.get_command(context, "fleet")
    assert isinstance(fleet, Directory)
    for name, (_, described) in fleet.entries.items():
        command = fleet.get_command(context, name)
        assert command is not None
        for limit in (20, 45, 200):
            assert described.get_short_help_str(limit) == command.get_short_help_str(limit)


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_is_reported(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from enapter_async.cli import main; sys.exit(main(['demo', '--help']))"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == Exit.USAGE
    assert "pip install 'enapter-async[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_token_nothing_is_done() -> None:
    result = CliRunner().invoke(cli, ["devices", "list"], env={"ENAPTER_HTTP_API_TOKEN": ""})
    assert result.exit_code == Exit.USAGE
    assert "--token-file" in result.stderr
    assert result.stdout == ""


def test_the_token_may_come_from_a_file_and_options_may_come_first(
    emulator: Emulator, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(f"{emulator.token}\n")
    token.chmod(0o600)
    options = ["--base-url", emulator.base_url, "--token-file", str(token)]
    for arguments in (["devices", "list", *options], [*options, "devices", "list"]):
        result = CliRunner(env={"ENAPTER_HTTP_API_TOKEN": ""}).invoke(cli, arguments)
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) == 40
        assert result.stderr == ""
    token.chmod(0o644)
    result = CliRunner().invoke(cli, ["devices", "list", *options])
    assert "can be read by others" in result.stderr


@pytest.mark.parametrize("text", ["", "two words", "line\nline"])
def test_a_wrong_token_is_refused_and_not_shown(run: Run, tmp_path: Path, text: str) -> None:
    token = tmp_path / "token"
    token.write_text(text)
    token.chmod(0o600)
    result = run("devices", "list", "--token-file", str(token))
    assert result.exit_code == Exit.USAGE
    assert not text or text not in result.stderr


def test_a_token_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    result = run("devices", "list", "--token-file", str(tmp_path / "none"))
    assert result.exit_code == Exit.USAGE
    assert "cannot be read" in result.stderr


def test_http_to_another_machine_needs_an_option(run: Run) -> None:
    result = run("devices", "list", "--base-url", "http://gateway.test/api")
    assert result.exit_code == Exit.USAGE
    assert "http" in result.stderr


@pytest.mark.parametrize("command", [("fleet", "apply"), ("fleet", "plan")])
def test_examples_in_a_help_page_keep_their_lines(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*command, "--help"]).output
    assert "\\b" not in shown
    assert any(
        line.startswith(("  update,dev-1,", "  enapter-async fleet plan"))
        for line in shown.splitlines()
    )
