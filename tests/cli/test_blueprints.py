"""`blueprints` on the command line: what it writes, and its exit codes."""

import json
from pathlib import Path

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Drop, Emulator, World
from tests.cli.conftest import Run


def test_a_blueprint_is_checked_uploaded_and_downloaded(
    run: Run, world: World, tmp_path: Path
) -> None:
    source = tmp_path / "pump"
    source.mkdir()
    (source / "other.yml").write_text("")
    invalid = run("blueprints", "validate", str(source))
    assert (invalid.exit_code, invalid.stdout) == (Exit.FAILED, "manifest.yml is not there.\n")
    told = run("blueprints", "validate", str(source), "--json")
    assert json.loads(told.stdout) == {"validation_errors": ["manifest.yml is not there."]}
    assert run("blueprints", "upload", str(source)).exit_code == Exit.FAILED
    (source / "manifest.yml").write_text("blueprint_spec: device/3.0\n")
    unpacked = run("blueprints", "upload", str(source / "manifest.yml"))
    assert unpacked.exit_code == Exit.USAGE
    assert "manifest.yml is neither a directory nor a ZIP archive" in unpacked.stderr
    valid = run("blueprints", "validate", str(source))
    assert (valid.exit_code, valid.stdout) == (Exit.DONE, "valid\n")
    made = json.loads(run("blueprints", "upload", str(source), "--json").stdout)
    assert world.log.count("blueprint.upload", device_id=made["id"]) == 1
    output = str(tmp_path / "pump.zip")
    download = ("blueprints", "download", made["id"], "-o", output)
    assert run(*download, "--json").stdout == (
        f'{{"file": {json.dumps(output)}, "bytes": {Path(output).stat().st_size}}}\n'
    )
    again = run(*download)
    assert again.exit_code == Exit.USAGE
    assert "already exists; choose a new file" in again.stderr
    world.blueprints = frozenset({made["id"]})
    assert run("blueprints", "get", "none").exit_code == Exit.FAILED


def test_a_lost_upload_is_unknown(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").write_text("")
    emulator.faults.add(Drop(after_effect=True), method="POST")
    lost = run("blueprints", "upload", str(tmp_path))
    assert lost.exit_code == Exit.UNKNOWN
    assert "may or may not have been done" in lost.stderr
