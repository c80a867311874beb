"""Removal of tokens from server texts that may echo it."""

from typing import Any, Final
from urllib.parse import quote

SHORTEST: Final = 4
"""A shorter token is not a secret, and could occur in ordinary words."""
KEPT: Final = 8
"""How many of a client's latest tokens are masked: answers do not echo older ones."""

_IN_HTML: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"))
_IN_JSON: Final = (("\\", "\\\\"), ('"', '\\"'), ("/", "\\/"))


class Mask:
    """Replaces tokens with `***` in texts and in JSON values.

    A page may contain a token escaped for HTML, a URL or JSON, and a truncated page may end with
    the first part of a token.
    """

    __slots__ = ("_forms", "_tokens")

    def __init__(self, *tokens: str | None) -> None:
        self._tokens = tuple(each for each in tokens if each and len(each) >= SHORTEST)
        self._forms: tuple[str, ...] = ()
        """The possible spellings of the tokens, longest first; created on first use."""

    def extended(self, token: str) -> "Mask":
        """Return a mask of another token and the latest of this mask."""
        others = [each for each in self._tokens if each != token]
        return Mask(*others[1 - KEPT :], token)

    def text(self, text: str) -> str:
        """Return a string with the tokens removed."""
        if not self._tokens:
            return text
        self._forms = self._forms or _forms(self._tokens)
        for form in self._forms:
            text = text.replace(form, "***")
        return self._without_beginning(text)

    def value(self, value: Any) -> Any:
        """Return a JSON value with the tokens removed from both keys and strings."""
        if not self._tokens:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, dict):
            return {self.value(key): self.value(each) for key, each in value.items()}
        return value

    def _without_beginning(self, text: str) -> str:
        """Return a string with any first part of a token removed from its end."""
        for form in self._forms:
            for length in range(min(len(form) - 1, len(text)), SHORTEST - 1, -1):
                if text.endswith(form[:length]):
                    return f"{text[:-length]}***"
        return text


def _forms(tokens: tuple[str, ...]) -> tuple[str, ...]:
    written: set[str] = set()
    for token in tokens:
        written |= {token, quote(token), quote(token, safe="")}
        for escapes in (_IN_HTML, _IN_HTML[:3], _IN_JSON, _IN_JSON[:2]):
            escaped = token
            for letter, escape in escapes:
                escaped = escaped.replace(letter, escape)
            written.add(escaped)
    return tuple(sorted(written, key=len, reverse=True))
