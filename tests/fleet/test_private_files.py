"""Private files are complete or absent, whichever process was killed and whatever is mounted."""

import asyncio
import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.fleet import CredentialsFile
from enapter_async.fleet.private_files import (
    check_private,
    open_private,
    write_durably,
    written_whole,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")

KILLED = """
import os, signal, sys
from enapter_async.fleet.private_files import written_whole
with written_whole(sys.argv[1]) as file:
    file.write("half of it")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_is_private_and_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("older")
    with written_whole(path) as file:
        file.write("newer\ud800")
        assert path.read_text() == "older"
    assert path.read_text() == "newer\\ud800"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ZeroDivisionError), written_whole(path) as file:
        file.write(f"half {1 // 0}")
    assert path.read_text() == "newer\\ud800"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_takes_no_other_s_place(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    with pytest.raises(ConfigurationError, match="already exists"), written_whole(path, new=True):
        path.write_text("somebody else's, meanwhile")
    assert path.read_text() == "somebody else's, meanwhile"
    with pytest.raises(ConfigurationError, match="already exists"), written_whole(path, new=True):
        pytest.fail("it was there before")
    path.unlink()
    with written_whole(path, new=True) as file:
        file.write("ours")
    assert path.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_are_removed_and_open_files_are_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "results.csv"
    ended = subprocess.run([sys.executable, "-c", KILLED, path], check=False)  # noqa: S603 - ours
    assert ended.returncode == -9
    (left,) = tmp_path.iterdir()
    with written_whole(tmp_path / "other") as file:
        assert not left.exists()
        with written_whole(path) as second:
            second.write("second")
        file.write("first")
    assert (tmp_path / "other").read_text() == "first"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "results.csv"]


def test_only_a_plain_file_of_one_name_for_its_owner_alone_is_private(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    with pytest.raises(FileNotFoundError):
        check_private(path)
    os.close(open_private(path))
    check_private(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="has mode 0640, but must have 0600"):
        check_private(path)
    path.chmod(0o600)
    (tmp_path / "second").hardlink_to(path)
    with pytest.raises(ConfigurationError, match="has another name too"):
        check_private(path)
    with pytest.raises(ConfigurationError, match="is not a plain file"):
        check_private(tmp_path)


def refuse(_: int, __: int) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def ignore(_: int, __: int) -> None:
    """Act like vfat, where every file has the mode of the mount."""


@pytest.mark.parametrize("without_modes", [refuse, ignore])
def test_a_file_system_without_modes_is_refused_and_nothing_is_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_modes: Callable[[int, int], None]
) -> None:
    monkeypatch.setattr(os, "fchmod", without_modes)
    before = os.umask(0o200)  # so that the system creates it with a wrong mode
    try:
        for append in (True, False):
            with pytest.raises(ConfigurationError, match="file system that supports file modes"):
                open_private(tmp_path / "t.csv", append=append)
        with (
            pytest.raises(ConfigurationError, match=r"t\.csv cannot be restricted to your user"),
            written_whole(tmp_path / "t.csv"),
        ):
            pytest.fail("it is not private")
    finally:
        os.umask(before)
    assert not list(tmp_path.iterdir())


async def test_an_outliving_child_does_not_keep_the_credentials_file(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    async with CredentialsFile(path) as file:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", "input()"),
            stdin=subprocess.PIPE,
            pass_fds=[file._descriptor],  # as in a forked worker
        )
        with pytest.raises(ConfigurationError, match="in use by another run"):
            async with CredentialsFile(path):
                pass
    async with CredentialsFile(path):
        pass
    assert child.returncode is None
    child.kill()
    await child.wait()


@pytest.mark.parametrize("umask", [0, 0o777])
def test_a_private_file_has_its_mode_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        os.close(open_private(tmp_path / "new"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    check_private(tmp_path / "new")


def test_a_file_that_others_may_read_is_refused_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.touch(0o644)
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(ConfigurationError, match="has mode 0644, but must have 0600"):
        check_private(path)
    with pytest.raises(ConfigurationError, match="has mode 0644, but must have 0600"):
        open_private(path, append=True)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    with pytest.raises(FileNotFoundError):
        check_private(tmp_path / "nothing")


def test_an_incomplete_write_is_truncated_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    descriptor = open_private(path)
    os.write(descriptor, b"whole\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_durably(descriptor, b"x" * 40)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        os.close(descriptor)
    assert path.read_bytes() == b"whole\n"
