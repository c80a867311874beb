"""Removal of the token from server texts that may echo it."""

from typing import Any, Final
from urllib.parse import quote

SHORTEST: Final = 4
"""A shorter token is not a secret, and would occur in ordinary words."""

_IN_HTML: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"))
_IN_JSON: Final = (("\\", "\\\\"), ('"', '\\"'), ("/", "\\/"))


class Mask:
    """Replaces a token with `***` in texts and in JSON values.

    A page may contain the token as escaped in HTML, a URL or JSON; a truncated page may end with
    the first part of it.
    """

    __slots__ = ("_forms", "_token")

    def __init__(self, token: str | None) -> None:
        self._token = token if token and len(token) >= SHORTEST else None
        self._forms: tuple[str, ...] = ()
        """The possible spellings of the token, longest first; created on first use."""

    def text(self, text: str) -> str:
        """Return a text with the token removed."""
        if self._token is None:
            return text
        self._forms = self._forms or _forms(self._token)
        for form in self._forms:
            text = text.replace(form, "***")
        return self._without_beginning(text)

    def value(self, value: Any) -> Any:
        """Return a JSON value with the token removed from both keys and strings."""
        if self._token is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, dict):
            return {self.value(key): self.value(each) for key, each in value.items()}
        return value

    def _without_beginning(self, text: str) -> str:
        """Return a text with any first part of the token removed from its end."""
        for form in self._forms:
            for length in range(min(len(form) - 1, len(text)), SHORTEST - 1, -1):
                if text.endswith(form[:length]):
                    return f"{text[:-length]}***"
        return text


def _forms(token: str) -> tuple[str, ...]:
    written = {token, quote(token), quote(token, safe="")}
    for escapes in (_IN_HTML, _IN_HTML[:3], _IN_JSON, _IN_JSON[:2]):
        escaped = token
        for letter, escape in escapes:
            escaped = escaped.replace(letter, escape)
        written.add(escaped)
    return tuple(sorted(written, key=len, reverse=True))
