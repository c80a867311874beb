"""The ZIP archive of a blueprint's directory: the same directory always gives the same bytes."""

import contextlib
import io
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from enapter_async.errors import ConfigurationError
from enapter_async.operations.blueprints import LARGEST_ARCHIVE

IGNORE_FILE: Final = ".blueprintignore"
_MADE: Final = (1980, 1, 1, 0, 0, 0)
"""The time of each entry: the earliest that a ZIP archive can hold."""
_MODE: Final = 0o100644 << 16
_NOT_UTF8: Final = re.compile("[\ud800-\udfff]")
"""What Python reads in place of a file name's bytes that are not UTF-8."""


def pack_blueprint(directory: str | os.PathLike[str]) -> bytes:
    """Return the ZIP archive of a blueprint's directory.

    Hidden files and folders are left out, and what `.blueprintignore` excludes: one pattern a line,
    as in `.gitignore` (`*`, `?`, `**`, a `/` at the end for folders only, `!` to include again).
    Entries are sorted, without folders, and without the times and modes of the files.

    Raises:
        ConfigurationError: It is not a directory, or holds no file, a symbolic link, or too much;
            or something in it cannot be read, or has a name that is not UTF-8.
    """
    root = Path(directory)
    if not root.is_dir():
        raise ConfigurationError(f"{root} is not a directory")
    try:
        return _packed(root)
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}") from None


def _packed(root: Path) -> bytes:
    buffer = io.BytesIO()
    size = 0
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(_files(root, "", _rules(root))):
            with (root / name).open("rb") as file:
                data = file.read(LARGEST_ARCHIVE - size + 1)
            size += len(data)
            if size > LARGEST_ARCHIVE:
                raise ConfigurationError(
                    f"{root} holds more than {LARGEST_ARCHIVE} bytes; exclude files that are not "
                    f"part of the blueprint by {IGNORE_FILE}"
                )
            entry = zipfile.ZipInfo(name, _MADE)
            entry.create_system = 3  # the mode is that of Unix, on whatever system
            entry.external_attr = _MODE
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
        if not archive.namelist():
            raise ConfigurationError(f"{root} holds no file that belongs to a blueprint")
    return buffer.getvalue()


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name, and replaces another, only once it is complete.

    Raises:
        ConfigurationError: It cannot be written there.
    """
    where = Path(path)
    part: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=where.parent, delete=False) as file:
            part = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(where)
    except OSError as error:
        raise ConfigurationError(f"{where} cannot be written: {error.strerror}") from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


class _Rule(NamedTuple):
    """One line of an ignore file."""

    pattern: re.Pattern[str]
    only_folders: bool
    excludes: bool


def _files(root: Path, below: str, rules: tuple[_Rule, ...]) -> Iterator[str]:
    """Yield the names of the files that belong to a blueprint, with `/` between folders."""
    with os.scandir(root / below) as scanned:
        entries = list(scanned)
    for entry in entries:
        name = f"{below}{entry.name}"
        folder = entry.is_dir(follow_symlinks=False)
        if entry.name.startswith(".") or _is_excluded(name, rules, folder=folder):
            continue
        if folder:
            yield from _files(root, f"{name}/", rules)
        elif _NOT_UTF8.search(name):
            raise ConfigurationError(f"the name {entry.path!r} is not UTF-8; rename the file")
        elif entry.is_file(follow_symlinks=False):
            yield name
        else:
            raise ConfigurationError(
                f"{entry.path} is not a plain file; copy what it points to, or exclude it "
                f"by {IGNORE_FILE}"
            )


def _is_excluded(name: str, rules: tuple[_Rule, ...], *, folder: bool) -> bool:
    excluded = False
    for rule in rules:  # the last one that matches decides
        if (folder or not rule.only_folders) and rule.pattern.fullmatch(name):
            excluded = rule.excludes
    return excluded


def _rules(root: Path) -> tuple[_Rule, ...]:
    path = root / IGNORE_FILE
    if not path.is_file():
        return ()
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8; save it as UTF-8") from None
    lines = (line.strip() for line in text.splitlines())
    return tuple(_rule(line) for line in lines if line and not line.startswith("#"))


def _rule(line: str) -> _Rule:
    excludes = not line.startswith("!")
    line = line.removeprefix("!")
    only_folders = line.endswith("/")
    line = line.rstrip("/")
    anywhere = "" if "/" in line else "(?:.*/)?"
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", line.removeprefix("/"))
    spelled = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pattern = anywhere + "".join(spelled.get(part) or re.escape(part) for part in parts)
    return _Rule(re.compile(pattern, re.DOTALL), only_folders, excludes)
