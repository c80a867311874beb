"""The contents of a report's page, as a browser's parser sees them."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


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
