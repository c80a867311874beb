"""The unit and the compose file of a worker: their grammar, and the command that they start."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.docs.shown import ROOT, blocks

PAGE: Final = (ROOT / "docs/howto/many-machines.md").read_text("utf-8")
FILES: Final = {block.caption: block.text for block in blocks(PAGE) if block.caption}
UNIT: Final = FILES["enapter-worker.service"]
HOST: Final = re.compile(r"postgresql://ops@[a-z.]+/ops")

SERVICE: Final[dict[str, type]] = {
    "image": str,
    "command": str,
    "environment": dict,
    "env_file": str,
    "volumes": list,
    "secrets": list,
    "depends_on": list,
    "deploy": dict,
    "restart": str,
    "stop_grace_period": str,
}
"""The keys of a service, and the forms of their values, as far as they are used; from the Compose
Specification, which has no others of these names."""


def settings_of(unit: str) -> dict[str, str]:
    lines = (line.partition("=") for line in unit.splitlines() if "=" in line)
    return {key: value for key, _, value in lines}


@pytest.fixture(scope="module")
def compose() -> Any:
    return pytest.importorskip("yaml").safe_load(FILES["compose.yaml"])


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "enapter-worker.service"
    unit.write_text(UNIT.replace("/opt/enapter/bin/enapter-async", sys.executable), "utf-8")
    found = subprocess.run(  # noqa: S603 - a program of this machine
        [verify, "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_the_compose_file_has_only_keys_of_its_specification(compose: Any) -> None:
    assert set(compose) <= {"services", "volumes", "secrets"}
    for service in compose["services"].values():
        assert "image" in service
        for key, value in service.items():
            assert isinstance(value, SERVICE[key]), key
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        named = {each.partition(":")[0] for each in service.get("volumes", ())}
        assert named <= set(compose["volumes"])
        assert all(isinstance(each, str) for each in service.get("environment", {}).values())
        assert service.get("restart", "no") in ("no", "always", "on-failure", "unless-stopped")
        assert re.fullmatch(r"\d+s", service.get("stop_grace_period", "0s"))
        assert set(service.get("deploy", {})) <= {"replicas"}
    assert all(set(each) == {"file"} for each in compose["secrets"].values())
    assert set(compose["volumes"].values()) == {None}


@pytest.fixture
def started(
    database: str, compose: Any, tmp_path: Path
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Start both commands with the variables that the page puts into their files, and no others."""
    assert "`ENAPTER_HTTP_API_TOKEN` and `PGPASSWORD`" in PAGE
    environment = {
        "PATH": str(Path(sys.executable).parent),
        "HOME": str(tmp_path),
        "ENAPTER_HTTP_API_TOKEN": "secret",
        "PGPASSWORD": "secret",
    }
    unit = settings_of(UNIT)["ExecStart"].removeprefix("/opt/enapter/bin/")
    lines = {"unit": unit, "compose": compose["services"]["worker"]["command"]}
    processes = {
        name: subprocess.Popen(  # noqa: S603 - a command of the page
            shlex.split(HOST.sub(database, line)), env=environment, cwd=tmp_path,
            stderr=subprocess.PIPE, text=True,
        )
        for name, line in lines.items()
    }  # fmt: skip
    yield processes
    for process in processes.values():
        process.kill()
        process.communicate()


def test_both_start_a_worker_that_the_stop_signal_ends(
    started: dict[str, subprocess.Popen[str]], compose: Any
) -> None:
    unit = settings_of(UNIT)
    assert compose["services"]["worker"]["stop_grace_period"] == f"{unit['TimeoutStopSec']}s"
    for process in started.values():
        assert process.stderr is not None
        assert process.stderr.readline().endswith(" is running\n")
        process.send_signal(getattr(signal, unit["KillSignal"]))
    for process in started.values():
        _, said = process.communicate(timeout=int(unit["TimeoutStopSec"]))
        assert process.returncode == 0, said
        assert "exits: operations in flight finish" in said
