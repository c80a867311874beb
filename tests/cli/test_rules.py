"""The `rules` commands: a script comes from a file or standard input, and goes out as it is."""

import json
from pathlib import Path

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.rules import Rules
from tests.cli.conftest import Run


def test_a_script_goes_in_and_out_unchanged(
    run: Run, world: World, emulator: Emulator, tmp_path: Path
) -> None:
    site = world.sites[0].id
    file = tmp_path / "night.lua"
    file.write_text("x = 'ā'\n\n", "utf-8")
    made = run("rules", "create", "night", "--script", str(file), "--site", site, "--json")
    assert made.exit_code == Exit.DONE, made.stderr
    assert emulator.noun(Rules).code(site, "night") == "x = 'ā'\n\n"
    assert run("rules", "get", "night", "--site", site, "--code").stdout == "x = 'ā'\n\n"
    told = json.loads(run("rules", "get", "night", "--site", site, "--code", "--json").stdout)
    assert told == "x = 'ā'\n\n"
    listed = run("rules", "list", "--site", site).stdout
    assert listed.split("\t")[1:] == ["night", "STARTED", "False", "V3\n"]
    taken = run("rules", "create", "night", "--script", str(file), "--site", site)
    assert taken.exit_code == Exit.FAILED
    assert "already_exists" in taken.stderr


def test_wrong_arguments_are_usage_errors(run: Run, world: World, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    for arguments, why in (
        (("create", "n", "--script", str(tmp_path / "none")), "No such file"),
        (("create", "n", "--script", str(binary)), "is not UTF-8"),
        (("create", "../n", "--script", __file__), "slug must be"),
        (("create", "n", "--script", __file__, "--interval", "1m"), "for V1 scripts only"),
        (("create", "n"), "--script"),
        (("delete", "n"), "a deletion then needs --yes"),
    ):
        ended = run("rules", *arguments)
        assert (ended.exit_code, why in ended.stderr) == (Exit.USAGE, True), ended.stderr
    assert world.log.count_arrivals() == 0
    for own, why in (
        (("rules", "engine"), "only on a gateway"),
        (("sites", "get"), "only a gateway"),
    ):
        ended = run(*own)
        assert ended.exit_code == Exit.FAILED
        assert why in ended.stderr
        assert "`sites list` shows" in ended.stderr
