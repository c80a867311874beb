"""A base URL where another service answers everything with its own JSON."""

from pathlib import Path

import pytest

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator, Reply
from tests.cli.conftest import Run


@pytest.fixture
def other_service(emulator: Emulator) -> None:
    reply = Reply(body=b'{"hello": "world"}', content_type="application/json")
    emulator.faults.add(reply, times=None)


@pytest.mark.usefixtures("other_service")
@pytest.mark.parametrize(
    "command",
    [
        ("devices", "list"),
        ("fleet", "template"),
        ("fleet", "plan", "--all", "--set-name", "P", "-o", "plan.jsonl"),
        ("doctor",),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_it_is_not_mistaken_for_an_empty_fleet(
    run: Run, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*command)
    assert result.exit_code == Exit.FAILED
    assert "devices is missing (is base_url that of the Enapter API?)" in result.output
    assert not (tmp_path / "plan.jsonl").exists()
