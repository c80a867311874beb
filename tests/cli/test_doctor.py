"""`enapter-async doctor`: its lines, its JSON, its exit codes."""

import json
from pathlib import Path

import pytest

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator
from tests.cli.conftest import Run


def test_all_is_well(run: Run, emulator: Emulator) -> None:
    result = run("doctor")
    assert result.exit_code == Exit.DONE
    checks = [line.split()[:2] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert checks == [
        ["ok", "versions"],
        ["ok", "configuration"],
        ["ok", "name"],
        ["ok", "connection"],
        ["skipped", "tls"],
        ["ok", "token"],
        ["ok", "role"],
        ["ok", "clock"],
    ]
    assert "base_url: " + emulator.base_url in result.stdout
    assert "(environment ENAPTER_HTTP_API_BASE_URL)" in result.stdout
    assert emulator.token not in result.output
    assert result.stderr == "nothing failed\n"
    assert {each.method for each in emulator.world.log.arrivals()} == {"GET", "HEAD"}


def test_json_is_one_object_per_check(run: Run) -> None:
    result = run("doctor", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["check"] for row in rows][-3:] == ["token", "role", "clock"]
    assert all({"check", "health", "said", "advice", "facts"} == set(row) for row in rows)
    assert result.stderr == ""


def test_a_failed_check_says_what_to_do(run: Run, environment: dict[str, str]) -> None:
    environment["ENAPTER_HTTP_API_TOKEN"] = "not-the-token"
    result = run("doctor")
    assert result.exit_code == Exit.FAILED
    assert "failed   token" in result.stdout
    assert "(from environment ENAPTER_HTTP_API_TOKEN)" in result.stdout
    assert "not-the-token" not in result.output
    assert result.stderr.startswith("failed: token; ")


@pytest.mark.parametrize(
    ("text", "word"), [("[profiles", "is not TOML"), ("", "has no profile 'paris'")]
)
def test_a_wrong_configuration_has_a_code_of_its_own(
    run: Run, tmp_path: Path, environment: dict[str, str], text: str, word: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    environment["ENAPTER_CONFIG"] = str(path)
    result = run("doctor", "--profile", "paris")
    assert result.exit_code == Exit.USAGE
    assert word in result.stdout


def test_a_server_out_of_reach(run: Run) -> None:
    result = run("doctor", "--base-url", "http://127.0.0.1:1", "--deadline", "2")
    assert result.exit_code == Exit.FAILED
    assert "failed   connection" in result.stdout
