"""Writes a report about a run as a single, self-contained HTML page that opens from disk."""

import base64
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from enapter_async.clock import Clock
from enapter_async.fleet.journal.names import store_of
from enapter_async.fleet.private_files import written_whole
from enapter_async.fleet.reporting.status import RunStatus
from enapter_async.fleet.reporting.summary import summarize
from enapter_async.text import plain

_DATA: Final = "@data@"
_RULES: Final = "@rules@"
_STATIC: Final = "@static@"
_INLINE: Final = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)
# Characters that could close the element around the data, or that UTF-8 cannot encode;
# in JSON they occur only inside strings, where an escape means the same.
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
    """Write a page about a journal's run to a file of mode 0600, replacing an existing one.

    The page shows what was requested and the outcomes, over time and by wave, why operations were
    not done, and up to 5,000 such items in detail. `run` is the name by which the command line
    finds the run, if any; `name` is the page's title, by default `run` or the journal's name;
    `results` are files to link to. The journal is only read, even while the run is in progress.
    Safe to repeat.

    Raises:
        RunRefusedError: the file is not a journal, or has a different version.
        ConfigurationError: the page's file cannot be created.
        OSError: the page cannot be written; an existing file stays unchanged.
    """
    where = Path(path)
    links = [(each.name, _link(each, where.parent)) for each in results]
    page = report_page(journal, run=run, name=name, results=links, clock=clock)
    with written_whole(where) as file:
        file.write(page)


def report_page(
    journal: str | os.PathLike[str],
    *,
    run: str | None = None,
    name: str | None = None,
    results: Iterable[tuple[str, str]] = (),
    clock: Clock = Clock(),
) -> str:
    """Return the page of `write_report`; `results` are the name and the link of each file.

    Raises:
        RunRefusedError: the file is not a journal, or has a different version.
    """
    store = store_of(journal)
    with contextlib.closing(store.read()) as opened:
        told = summarize(opened, running=store.is_held())
        title = name or run or Path(store.name).name
    return render(
        {
            **told,
            "name": title,
            "run": run,
            "at_ms": int(clock.wall() * 1000),
            "next": [] if run is None else _commands(RunStatus.read(journal), run),
            "results": [[each, link] for each, link in results],
        }
    )


def _commands(status: RunStatus, run: str) -> list[list[str]]:
    resume = f"enapter-async fleet resume {run}"
    return [[words, f"{resume} {options}".rstrip()] for words, options in status.ways_on()]


def render(data: Any) -> str:
    """Return the page with the data inserted, as escaped JSON only.

    The page's security policy lists the hashes of its style and script, so no other script can
    run, and nothing is loaded.
    """
    page = resources.files("enapter_async.fleet.reporting").joinpath("page.html").read_text("utf-8")
    hashes = {kind: _hash(text) for kind, text in _INLINE.findall(page)}
    rules = (
        f"default-src 'none'; style-src '{hashes['style']}'; script-src '{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head, tail = page.replace(_RULES, rules).split(_DATA)
    before, after = head.split(_STATIC)
    return before + _static(data) + after + json_for_page(data) + tail


def _static(data: Mapping[str, Any]) -> str:
    """Return the counts and the causes as HTML, for a browser without JavaScript."""
    counts = "".join(
        f"<li>{number:,} {_text(state)}</li>" for state, number in data["counts"].items() if number
    )
    causes = "".join(
        f"<li>{cause['number']:,} {_text(cause['state'])}: "
        f"{_text(cause['message'] or cause['error'] or 'no details are known')}"
        f" ({', '.join(map(_example, cause['examples'], cause['names']))})</li>"
        for cause in sorted(data["causes"], key=lambda each: -each["number"])
    )
    return (
        f"<h1>Fleet run {_text(data['name'])}</h1><ul>{counts}</ul>"
        + (f"<h2>Causes</h2><ul>{causes}</ul>" if causes else "")
        + "<noscript><p>The plots and the table of operations need JavaScript. This page loads "
        "nothing and sends nothing.</p></noscript>"
    )


def _example(address: str, name: str) -> str:
    return _text(f"{name} {address}" if name else address)


def _text(value: Any) -> str:
    return escape(plain(value))


def json_for_page(data: Any) -> str:
    """Return JSON that is safe inside a script element, whatever texts it contains."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _link(target: Path, folder: Path) -> str:
    """Return a link that still works after the folder containing both files is moved."""
    try:
        return quote(os.fsencode(Path(os.path.relpath(target, folder)).as_posix()))
    except ValueError:  # on another drive
        return target.absolute().as_uri()
