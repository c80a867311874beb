"""Profiles on the command line: `--profile`, `ENAPTER_PROFILE`, and the list of profiles."""

import json
from pathlib import Path

import pytest

from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.profiles import EXAMPLE
from enapter_async.emulator import Emulator
from tests.cli.conftest import Run


@pytest.fixture
def config(emulator: Emulator, environment: dict[str, str], tmp_path: Path) -> Path:
    """A configuration file, without variables that override it."""
    path = tmp_path / "config.toml"
    path.write_text(
        f"""
        [profiles.here]
        base_url = "{emulator.base_url}"
        token = "{emulator.token}"
        [profiles.wrong]
        base_url = "{emulator.base_url}"
        token = "not-the-token"
        user = "ann"
        [profiles.cloud]
        token_command = ["show-token", "a secret argument"]
        """
    )
    path.chmod(0o600)
    environment["ENAPTER_HTTP_API_BASE_URL"] = ""
    environment["ENAPTER_HTTP_API_TOKEN"] = ""
    return path


@pytest.mark.usefixtures("config")
def test_a_profile_says_where_and_with_which_token(run: Run, environment: dict[str, str]) -> None:
    for arguments in (
        ["devices", "list", "--profile", "here"],
        ["--profile", "here", "devices", "list"],
    ):
        result = run(*arguments)
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) == 40
        assert result.stderr == ""
    environment["ENAPTER_PROFILE"] = "here"
    assert run("devices", "list").exit_code == 0
    assert run("devices", "list", "--profile", "wrong").exit_code == Exit.FAILED
    assert run("devices", "list").exit_code == 0


@pytest.mark.usefixtures("config")
def test_the_environment_takes_precedence_over_the_file(
    run: Run, environment: dict[str, str], emulator: Emulator
) -> None:
    environment["ENAPTER_HTTP_API_TOKEN"] = emulator.token
    assert run("devices", "list", "--profile", "wrong").exit_code == 0


@pytest.mark.usefixtures("config")
def test_a_profiles_token_for_another_server_is_reported(
    run: Run, environment: dict[str, str]
) -> None:
    environment["ENAPTER_HTTP_API_BASE_URL"] = "http://127.0.0.1:1"
    result = run("devices", "list", "--profile", "here", "--attempts", "1")
    assert "warning: the token of profile here is sent to http://127.0.0.1:1" in result.stderr


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("environment", "environment"),
        ("http://me:hunter2@proxy.example:3128", "http://proxy.example:3128"),
        ("http://me:hunter2@proxy.example:x", "not an address"),
    ],
)
def test_a_profiles_proxy_is_listed_without_its_password(
    run: Run, config: Path, proxy: str, shown: str
) -> None:
    config.write_text(f'[profiles.far]\nproxy = "{proxy}"\n')
    result = run("profiles")
    assert f"proxy: {shown}" in result.stdout
    assert json.loads(run("profiles", "--json").stdout)["proxy"] == shown
    assert "hunter2" not in result.output


@pytest.mark.usefixtures("config")
def test_without_a_profile_the_file_changes_nothing(run: Run) -> None:
    result = run("devices", "list")
    assert result.exit_code == Exit.USAGE
    assert "there is no token" in result.stderr


def test_a_missing_profile_is_a_usage_error(run: Run, config: Path) -> None:
    result = run("devices", "list", "--profile", "paris")
    assert result.exit_code == Exit.USAGE
    assert f"{config} has no profile 'paris'; it has here, wrong, cloud" in result.stderr


@pytest.mark.usefixtures("config")
def test_the_list_shows_no_secret(
    run: Run, environment: dict[str, str], emulator: Emulator
) -> None:
    environment["ENAPTER_PROFILE"] = "cloud"
    result = run("profiles")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"  here  {emulator.base_url}  token: in the profile",
        f"  wrong  {emulator.base_url}  token: in the profile  user: ann",
        "* cloud  https://api.enapter.com  token: command show-token",
    ]
    rows = [json.loads(line) for line in run("profiles", "--json").stdout.splitlines()]
    assert [(row["name"], row["default"]) for row in rows] == [
        ("here", False),
        ("wrong", False),
        ("cloud", True),
    ]
    assert rows[1]["user"] == "ann"
    for text in (result.output, json.dumps(rows)):
        assert emulator.token not in text
        assert "secret argument" not in text


def test_an_empty_list_names_the_file(run: Run, tmp_path: Path) -> None:
    result = run("profiles")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert str(tmp_path / "config.toml") in result.stderr


def test_an_error_in_a_file_names_its_place(run: Run, config: Path) -> None:
    config.write_text("[profiles.here]\ntokn = 1")
    for command in (["profiles"], ["devices", "list"]):
        result = run(*command)
        assert result.exit_code == Exit.USAGE
        assert f"{config}: 'profiles.here.tokn' is unknown" in result.stderr


def test_without_a_profile_a_valid_example_is_shown(run: Run, environment: dict[str, str]) -> None:
    assert "profiles --help" in run("profiles").stderr
    shown = run("profiles", "--help").stdout
    lines = iter(shown.splitlines())
    assert all(any(line.strip() == wanted for line in lines) for wanted in EXAMPLE.splitlines())
    Path(environment["ENAPTER_CONFIG"]).write_text(EXAMPLE, "utf-8")
    told = [json.loads(line) for line in run("profiles", "--json").stdout.splitlines()]
    assert [(each["name"], each["default"]) for each in told] == [
        ("cloud", True),
        ("gateway", False),
    ]
