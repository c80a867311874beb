"""Completion: the suggestions for each shell, by click's protocol and in a real bash."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from enapter_async.cli.app import cli
from tests.support.forks.starting import programs

BASH = shutil.which("bash")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with two profiles, three runs, and the program on the path."""
    config = tmp_path / "config.toml"
    config.write_text('[profiles.cloud]\n[profiles.chile]\nbase_url = "https://gw.test"\n')
    for name in ("20260101T000000Z-aaaa", "20260102T000000Z-bbbb", "20260103T000000Z-cccc"):
        folder = tmp_path / "state" / "runs" / name
        folder.mkdir(parents=True)
        (folder / "journal.db").touch()
    return {
        **os.environ,
        "ENAPTER_CONFIG": str(config),
        "ENAPTER_STATE_DIR": str(tmp_path / "state"),
        "PATH": f"{programs(os.environ)}{os.pathsep}{os.environ['PATH']}",
    }


def offered(home: dict[str, str], words: str) -> list[str]:
    """Complete as bash does: return the kinds and values suggested for the last word."""
    parts = words.split(" ")
    asked = {
        "_ENAPTER_ASYNC_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(parts) - 1),
    }
    done = CliRunner(env={**home, **asked}).invoke(cli, [], prog_name="enapter-async")
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_suggestions(home: dict[str, str]) -> None:
    assert offered(home, "enapter-async d") == ["plain,demo", "plain,devices", "plain,doctor"]
    assert offered(home, "enapter-async fleet re") == [
        "plain,rehearse",
        "plain,report",
        "plain,resume",
    ]
    assert offered(home, "enapter-async devices get --prof") == ["plain,--profile"]
    assert offered(home, "enapter-async --profile c") == ["plain,cloud", "plain,chile"]
    assert offered(home, "enapter-async fleet status 202601") == [
        "plain,20260103T000000Z-cccc",
        "plain,20260102T000000Z-bbbb",
        "plain,20260101T000000Z-aaaa",
    ]
    assert offered(home, "enapter-async fleet resume l") == ["plain,last"]
    assert offered(home, "enapter-async fleet resume ./j") == ["file,./j"]
    assert offered(home, "enapter-async fleet apply op") == ["file,op"]
    assert offered(home, "enapter-async devices list --token-file to") == ["file,to"]
    assert offered(home, "enapter-async completion z") == ["plain,zsh"]


def test_a_shell_receives_no_error_messages(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[profiles")
    assert offered(home, "enapter-async --profile c") in ([], [""])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert f"_ENAPTER_ASYNC_COMPLETE={shell}_complete" in result.stdout
    assert result.stderr == ""


def test_another_shell_is_refused() -> None:
    assert CliRunner().invoke(cli, ["completion", "cmd"]).exit_code == 2


SESSION = """
set -eu
source <(enapter-async completion bash)
complete -p enapter-async >/dev/null
COMP_WORDS=(enapter-async devices list --profile c)
COMP_CWORD=4
_enapter_async_completion enapter-async c --profile
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
def test_a_real_bash_completes(home: dict[str, str]) -> None:
    assert BASH is not None
    done = subprocess.run(  # noqa: S603 - bash, and our own text
        [BASH, "--norc", "-c", SESSION],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=home,
    )
    assert (done.stdout.splitlines(), done.stderr) == (["cloud", "chile"], "")
