"""`emulator`: the options that it refuses before it serves, and the fleets that it loads."""

import json
import socket
from pathlib import Path

from enapter_async.cli.exit_codes import Exit
from tests.cli.conftest import Run
from tests.cli.processes import process


def test_a_fleet_that_cannot_be_loaded_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    assert run("emulator", "--fleet", str(tmp_path / "none.json")).exit_code == Exit.USAGE
    path = tmp_path / "fleet.json"
    path.write_text('[{"name": "no id"}]')
    result = run("emulator", "--fleet", str(path))
    assert result.exit_code == Exit.USAGE
    assert "id" in result.stderr
    path.write_text('[{"id": "a", "slug": "s"}, {"id": "b", "slug": "s", "site_id": "x"}]')
    assert "slug" in run("emulator", "--fleet", str(path)).stderr


def test_a_port_in_use_is_a_usage_error(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = run("emulator", "--port", port)
    assert result.exit_code == Exit.USAGE
    assert port in result.stderr


def test_a_list_of_devices_with_new_types_and_slugs_per_site_is_a_fleet(
    run: Run, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet.json"
    devices = [
        {"id": "a", "slug": "boiler", "site_id": "s1", "type": "SUPER_NEW"},
        {"id": "b", "slug": "boiler", "site_id": "s2", "authorized_role": "GUEST"},
    ]
    fleet.write_text(json.dumps(devices), encoding="utf-8")
    listed = []
    for _ in range(2):
        command = ("emulator", "--fleet", str(fleet), "--unique-slugs", "site", "--json")
        with process(*command, environment={}) as served:
            assert served.stdout is not None
            row = json.loads(served.stdout.readline())
            env = {"ENAPTER_HTTP_API_BASE_URL": row["base_url"]}
            env |= {"ENAPTER_HTTP_API_TOKEN": row["token"]}
            shown = run("devices", "list", "--json", env=env)
            fleet.write_text(shown.stdout, encoding="utf-8")
            listed.append(shown.stdout)
    assert '"SUPER_NEW"' in listed[0]
    assert listed[1] == listed[0]
