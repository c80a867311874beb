"""The archive of a blueprint's directory: which files are in it, and that it is always the same."""

import os
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from enapter_async.api.packing import new_file, pack_blueprint
from enapter_async.errors import ConfigurationError
from enapter_async.operations.blueprints import LARGEST_ARCHIVE

FILES = (
    "manifest.yml",
    "lua/main.lua",
    "lua/test/main_test.lua",
    "lua/test/keep.lua",
    "docs/a.md",
    "docs/deep/b.md",
    "build/out.txt",
    "src/build",
    ".git/config",
    "lua/.hidden",
)


def written(root: Path, ignored: str = "") -> Path:
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    if ignored:
        (root / ".blueprintignore").write_text(ignored)
    return root


def names_in(archive: bytes) -> list[str]:
    return zipfile.ZipFile(BytesIO(archive)).namelist()


def test_an_archive_holds_the_plain_files_and_no_folders(tmp_path: Path) -> None:
    archive = pack_blueprint(written(tmp_path))
    assert names_in(archive) == sorted(name for name in FILES if "/." not in f"/{name}")
    assert zipfile.ZipFile(BytesIO(archive)).read("lua/main.lua") == b"content of lua/main.lua"


def test_the_same_directory_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a"), tmp_path / "b"
    for name in reversed(FILES):  # another order, other times and other modes
        path = second / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
        path.chmod(0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert pack_blueprint(first) == pack_blueprint(second)


@pytest.mark.parametrize(
    ("ignored", "left_out"),
    [
        ("*.md\n", {"docs/a.md", "docs/deep/b.md"}),
        ("docs/*.md", {"docs/a.md"}),
        ("docs/**/b.md", {"docs/deep/b.md"}),
        ("# a comment\n\nbuild/\n", {"build/out.txt"}),
        ("/build", {"build/out.txt"}),
        ("build", {"build/out.txt", "src/build"}),
        ("*_test.lua\n!keep.lua", {"lua/test/main_test.lua"}),
        ("lua/test/*\n!lua/test/keep.lua", {"lua/test/main_test.lua"}),
        ("doc?/a.md", {"docs/a.md"}),
        ("a.m", set()),
    ],
)
def test_an_ignore_file_excludes_by_the_rules_of_git(
    tmp_path: Path, ignored: str, left_out: set[str]
) -> None:
    plain = {name for name in FILES if "/." not in f"/{name}"}
    assert set(names_in(pack_blueprint(written(tmp_path, ignored)))) == plain - left_out


def test_what_is_not_a_blueprint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a directory"):
        pack_blueprint(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="holds no file"):
        pack_blueprint(tmp_path)
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(
        ConfigurationError, match=r"link is not a plain file; copy what it points to"
    ):
        pack_blueprint(tmp_path)


def test_what_cannot_be_packed_is_refused_and_named(tmp_path: Path) -> None:
    root = written(tmp_path)
    ignore = root / ".blueprintignore"
    ignore.write_bytes(b"\xff\xfe*.md")
    with pytest.raises(ConfigurationError, match=r"\.blueprintignore is not UTF-8"):
        pack_blueprint(root)
    ignore.write_bytes(b"\xef\xbb\xbf*.md")  # the byte order mark that Windows writes
    assert not any(name.endswith(".md") for name in names_in(pack_blueprint(root)))
    (root / "large").touch()
    os.truncate(root / "large", LARGEST_ARCHIVE + 1)  # holds nothing on disk
    with pytest.raises(ConfigurationError, match="holds more than"):
        pack_blueprint(root)
    if sys.platform != "linux":
        return  # where every name is UTF-8
    (root / "large").rename(root / os.fsdecode(b"Ger\xe4t.lua"))
    with pytest.raises(ConfigurationError, match=r"the name .*Ger.udce4t\.lua' is not UTF-8"):
        pack_blueprint(root)


def test_an_archive_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with new_file(tmp_path / "a.zip") as file:
        file.write(b"archive")
    assert (tmp_path / "a.zip").read_bytes() == b"archive"
    (tmp_path / "folder" / "in").mkdir(parents=True)
    with (
        pytest.raises(ConfigurationError, match="folder cannot be written"),
        new_file(tmp_path / "folder") as file,
    ):
        file.write(b"archive")
    assert {each.name for each in tmp_path.iterdir()} == {"a.zip", "folder"}
