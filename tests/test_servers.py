"""What `.ci/servers` does if a mirror fails: it waits, and gives up after a bounded time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.shown import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

TOOLS = ("bash", "cat", "chmod", "env", "ls", "mktemp", "rm", "tail", "touch")
APT = """#!/usr/bin/env bash
echo "$1 ${@: -1}" >>"$FOLDER/calls"
[ "$(wc -l <"$FOLDER/calls")" -gt "$FAILS" ] || { echo "the mirror is away" >&2; exit 100; }
[ "$1 ${@: -1}" != "install postgresql" ] || { touch "$FOLDER/initdb"; chmod +x "$FOLDER/initdb"; }
"""


@pytest.mark.parametrize(
    ("root", "ci", "fails", "expected"),
    [
        (True, "true", 6, (0, ["5", "20"], "the mirror is away; trying again in 5 s")),
        (True, "true", 99, (1, ["5", "20", "60"], "could not be installed in 4 attempts")),
        (True, "", 99, (0, ["5", "20", "60"], "tests are skipped: apt-get could not install it")),
        (
            False,
            "true",
            0,
            (0, [], "no postgresql, so its tests are skipped: only root can install"),
        ),
    ],
    ids=["unstable mirror", "no mirror in CI", "no mirror elsewhere", "not root"],
)
def test_postgresql_is_installed_or_its_absence_is_reported(
    tmp_path: Path, root: bool, ci: str, fails: int, expected: tuple[int, list[str], str]
) -> None:
    code, pauses, said = expected
    for name in (*TOOLS, "wc"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    programs = {
        "apt-get": APT,
        "id": f"#!/usr/bin/env bash\necho {0 if root else 1000}\n",
        "sleep": '#!/usr/bin/env bash\necho "$1" >>"$FOLDER/pauses"\n',
        "timeout": '#!/usr/bin/env bash\nshift\n"$@"\n',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "pauses").touch()
    ended = subprocess.run(  # noqa: S603 - our own program
        [str(ROOT / ".ci" / "servers")],
        env={
            "PATH": str(tmp_path),
            "FOLDER": str(tmp_path),
            "FAILS": str(fails),
            "CI": ci,
            "POSTGRES_FOLDER": str(tmp_path / "nowhere"),
            "TMPDIR": os.fspath(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert said in ended.stdout
    assert (tmp_path / "pauses").read_text().split() == pauses
