"""The contents of a report's page, as a browser's parser sees them."""

import base64
import hashlib
import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from enapter_async import UpdateDevice
from enapter_async.fleet.reporting.html import write_report
from tests.fleet.fleets import uuid
from tests.integrations.browser import CHROMIUM


class PageParser(HTMLParser):
    """Records a page's elements with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.texts.append((self._inside, data))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    @property
    def policy(self) -> str:
        return next(each["content"] or "" for _, each in self.elements if "http-equiv" in each)

    def hashes(self) -> dict[str, str]:
        """Return the hashes of the style and of the script that is not data."""
        return {
            tag: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            for tag, text in self.texts
            if text.startswith("\n")
        }


def data_of(path: Path) -> Any:
    """Return the data in a page."""
    parser = PageParser(path.read_text("utf-8"))
    scripts = [text for tag, text in parser.texts if tag == "script"]
    return json.loads(scripts[0])


def page_of(journal: Path, **options: Any) -> Any:
    """Write the report of a journal, and return its data."""
    page = journal.with_suffix(".html")
    write_report(journal, page, **options)
    return data_of(page)


def rename(number: int, name: str = "New") -> UpdateDevice:
    return UpdateDevice(device_id=uuid(number), name=name)


def drawn(page: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Draw a page in a browser; return its elements and what it logged."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={folder / 'browser'}",
        "--virtual-time-budget=2000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(  # noqa: S603 - nothing else runs on the loop; our own words
        command, capture_output=True, text=True, check=False, timeout=50
    )


PRESSING = """(() => {
const rows = () => document.querySelectorAll("section:has(.filters) tbody tr").length;
const press = (text) => [...document.querySelectorAll("button")]
  .find((each) => each.textContent.includes(text)).click();
const seen = [rows()];
press("HTTP 422"); seen.push(rows());
press("only one cause"); seen.push(rows());
press("item"); seen.push(document.querySelector("section:has(.filters) tbody td").textContent);
const find = document.querySelector("input");
find.value = "no such thing";
find.dispatchEvent(new Event("input"));
seen.push(document.querySelector("section:has(.filters) tbody").textContent.slice(0, 20));
return seen;
})()"""
OVERFLOW = """(() => {
const most = document.documentElement.clientWidth;
const right = (each) => each.checkVisibility() ? each.getBoundingClientRect().right : 0;
const wide = [...document.querySelectorAll("main *")].filter((each) => right(each) > most + 1);
return wide.map((each) => `${each.tagName}.${each.className} to ${right(each)}`);
})()"""
"""The elements of a page that end to the right of it."""
A4 = 718
"""The width of an A4 page between the margins of a browser, in CSS pixels."""
