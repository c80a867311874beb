"""`fleet template`: whatever the devices are called, an unedited file changes nothing."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.emulator import Emulator, Reply, World
from enapter_async.text import plain
from tests.cli.conftest import Run
from tests.cli.test_terminal import POSIX, on_a_terminal
from tests.support.budget import examples

NAMES = [
    "Kühlung",
    "温泉",
    " Boiler ",
    "\u200btwo\u200b",
    "'",
    "' x '",
    "=1+1",
    "a;=cmd|' /C calc'!A0",
    "\r\n\t",
    '"quoted"',
    "#TYPE",
    "\ufeff",
    "a\x00b",
    "x" * 1025,
    "\x1b[31mred\x1b]0;title\x07\u202e\U000e0041",
    "",
    "0",
]

names = st.one_of(
    st.text(max_size=12),
    st.text(st.sampled_from(";\t\r\n '=+-@ab,\"\xa0\u2028\x1c\x85\ufeff#"), max_size=9),
)
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
WINDOWS = {"PYTHONIOENCODING": "cp1252"}


def name_anew(world: World, names: list[str]) -> None:
    """Name the devices without the API, which would refuse some of these names."""
    for device, name in zip(world, names, strict=False):
        world.change(device.id, name=name)


@given(names=st.lists(names, min_size=40, max_size=40))
@examples(25)
def test_an_unedited_template_changes_nothing_whatever_the_names(
    run: Run, world: World, tmp_path: Path, names: list[str]
) -> None:
    name_anew(world, names)
    path = tmp_path / "fleet.csv"
    path.unlink(missing_ok=True)
    assert run("fleet", "template", "-o", str(path)).exit_code == 0
    planned = run("fleet", "plan", str(path), "--check")
    assert planned.exit_code == 0, planned.output
    assert "40 operations: 40 unchanged" in planned.stdout
    assert run("fleet", "template").stdout_bytes == path.read_bytes()


@pytest.mark.parametrize("told", [ASCII, WINDOWS], ids=["C", "cp1252"])
def test_through_standard_output_it_is_utf_8_whatever_the_locale(
    run: Run,
    world: World,
    environment: Mapping[str, str],
    tmp_path: Path,
    told: Mapping[str, str],
) -> None:
    name_anew(world, NAMES)
    path = tmp_path / "fleet.csv"
    command = [sys.executable, "-m", "enapter_async", "fleet", "template"]
    with path.open("wb") as file:
        subprocess.run(  # noqa: S603 - our own program
            command,
            stdout=file,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment, **told},
            check=True,
        )
    text = path.read_bytes().decode("utf-8")
    assert text.startswith("\ufeffoperation,device_id,site_id,name,")
    assert "Kühlung" in text
    assert "温泉" in text
    # What Excel does with a file that is opened by a double click and saved as CSV UTF-8.
    path.write_bytes(text.removeprefix("\ufeff").encode("utf-8-sig"))
    planned = run("fleet", "plan", str(path), "--check")
    assert planned.exit_code == 0, planned.output
    assert "40 operations: 40 unchanged" in planned.stdout


@pytest.mark.parametrize("output", [(), ("-o", "fleet.csv")], ids=["stdout", "file"])
def test_a_partial_template_is_not_written(
    run: Run,
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = emulator.world.devices[0].site_id, "site-2"
    emulator.faults.add(Reply(status=401), path=f"*/sites/{second}/devices", times=None)
    before = sorted(tmp_path.iterdir())
    failed = run("fleet", "template", "--site", first, "--site", second, *output)
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@POSIX
def test_no_name_controls_the_terminal(world: World, environment: Mapping[str, str]) -> None:
    name_anew(world, NAMES)
    code, shown = on_a_terminal("fleet", "template", environment=environment)
    assert code == 0
    assert "Kühlung" in shown
    assert not [each for each in shown if each not in "\r\n" and each != plain(each)]


def test_an_invisible_difference_is_shown(run: Run, world: World, tmp_path: Path) -> None:
    one, *_ = world
    world.change(one.id, name="two\u200b")
    path = tmp_path / "rows.csv"
    path.write_text(f"operation,device_id,name\nupdate,{one.id},two\n")
    assert r"name 'two\u200b' -> 'two'" in run("fleet", "plan", str(path)).stdout


def test_ignored_columns_are_named_except_our_own(run: Run, world: World, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    header = "operation,device_id,name,owner,present_role,state,error\n"
    path.write_text(f"{header}update,{world.devices[0].id},A,x,,,\n")
    for command in ("plan", "apply"):
        assert "ignored columns: owner\n" in run("fleet", command, str(path)).stderr
    path.write_text(path.read_text().replace("name", "nmae"))
    told = run("fleet", "apply", str(path))
    assert told.exit_code == 2
    assert "unknown column 'nmae'; rename it to name, or remove it" in told.stderr
