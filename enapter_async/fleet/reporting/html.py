"""A run as one page of HTML that opens from disk: everything in it, nothing from elsewhere."""

import base64
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from enapter_async.clock import Clock
from enapter_async.fleet.journal.run_folders import is_held
from enapter_async.fleet.journal.store import Journal
from enapter_async.fleet.private_files import written_whole
from enapter_async.fleet.reporting.status import RunStatus
from enapter_async.fleet.reporting.summary import summarize

_DATA: Final = "@data@"
_RULES: Final = "@rules@"
_INLINE: Final = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)
# What could end the element that the data stands in, or what no file of UTF-8 can hold;
# JSON has the first only inside strings, where an escape means the same.
_UNSAFE: Final = re.compile("[<>&\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def write_report(
    journal: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    run: str | None = None,
    name: str | None = None,
    results: Iterable[Path] = (),
    clock: Clock = Clock(),
) -> None:
    """Write a page about the run of a journal to a file of mode 0600, over an older one.

    It tells what was asked and what became of it, over time and in waves, the causes of
    what was not done, and up to 5,000 items one by one. `run` is the name by which the
    command line finds the run, where it does; `name` what the page calls it, by default
    `run` or the journal's own name; `results` are files to link to. The journal is only
    read, also while the run goes on. Safe to repeat.

    Raises:
        RunRefusedError: it is no journal, or one of another version.
        ConfigurationError: the page's file cannot be made.
        OSError: it cannot be written; an older file is as it was.
    """
    where = Path(path)
    with contextlib.closing(Journal.read(journal)) as opened:
        told = summarize(opened, running=is_held(opened.path))
        title = name or run or opened.path.name
    data = {
        **told,
        "name": title,
        "run": run,
        "at_ms": int(clock.wall() * 1000),
        "next": [] if run is None else _commands(RunStatus.read(journal), run),
        "results": [[each.name, _link(each, where.parent)] for each in results],
    }
    page = render(data)
    with written_whole(where) as file:
        file.write(page)


def _commands(status: RunStatus, run: str) -> list[list[str]]:
    resume = f"enapter-async fleet resume {run}"
    return [[words, f"{resume} {options}".rstrip()] for words, options in status.ways_on()]


def render(data: Any) -> str:
    """Put data into the page, as escaped JSON and in no other way.

    The page lets no script run but its own, and loads nothing: its policy names the hashes
    of its style and its script.
    """
    page = resources.files("enapter_async.fleet.reporting").joinpath("page.html").read_text("utf-8")
    hashes = {kind: _hash(text) for kind, text in _INLINE.findall(page)}
    rules = (
        f"default-src 'none'; style-src '{hashes['style']}'; script-src '{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head, tail = page.replace(_RULES, rules).split(_DATA)
    return head + json_for_page(data) + tail


def json_for_page(data: Any) -> str:
    """Write JSON that means the same inside a script element, whatever texts are in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _link(target: Path, folder: Path) -> str:
    """Return a link that still leads there when the folder of both is moved."""
    try:
        return quote(os.fsencode(Path(os.path.relpath(target, folder)).as_posix()))
    except ValueError:  # on another drive
        return target.absolute().as_uri()
