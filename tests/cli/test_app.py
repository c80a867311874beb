"""The root command: help, options, errors, and the cost of a start."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from enapter_async import __version__
from enapter_async.cli import main
from enapter_async.cli.app import cli
from enapter_async.cli.exit_codes import Exit
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


def test_the_module_is_the_command_line() -> None:
    command = [sys.executable, "-m", "enapter_async", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - our own program
    assert done.returncode == 0
    assert __version__ in done.stdout


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
