"""`emulator`: what it refuses before it serves."""

import socket
from pathlib import Path

from enapter_async.cli.exits import Exit
from tests.cli.conftest import Run


def test_a_fleet_that_cannot_be_loaded_is_usage(run: Run, tmp_path: Path) -> None:
    assert run("emulator", "--fleet", str(tmp_path / "none.json")).exit_code == Exit.USAGE
    path = tmp_path / "fleet.json"
    path.write_text('[{"name": "no id"}]')
    result = run("emulator", "--fleet", str(path))
    assert result.exit_code == Exit.USAGE
    assert "id" in result.stderr


def test_a_port_in_use_is_usage(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = run("emulator", "--port", port)
    assert result.exit_code == Exit.USAGE
    assert port in result.stderr
