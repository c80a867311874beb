"""Text that a server sent, made safe for a terminal; and times as text."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any, Final

# Whole escape sequences first, so no "[31m" remains; then every control character (C0, DEL, C1) and
# every invisible one: marks that change the reading direction, joiners, fillers, variation
# selectors, tags (which can hold a whole text), and lone surrogates, which cannot be
# written to a terminal. They are compiled on first use, because most programs print nothing.
_SEQUENCES: Final = (
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_BREAKS: Final = r"[\t\n\v\f\r\x85\u2028\u2029]+"
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
# Source: Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt, and the
# annotation marks U+FFF9 to U+FFFB.
_INVISIBLE: Final = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
UNSAFE: Final = f"[{_CONTROLS}{_INVISIBLE}]"
"""A pattern of one character that could control a terminal, or that a terminal does not show."""

# Letters of Cyrillic and Greek that look like Latin ones.
_LOOK: Final = "АВЕКМНОРСТУХаеорсухіјѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"  # noqa: RUF001 - that is the point
_LIKE: Final = "ABEKMHOPCTYXaeopcyxijsABEZHIKMNOPTYXo"


def plain(value: Any) -> str:
    """Return a value as one line of text that cannot control a terminal."""
    text = re.sub(_BREAKS, " ", str(value))
    return re.sub(UNSAFE, "", re.sub(_SEQUENCES, "", text))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 device" or "2 devices"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shortened(text: str, length: int) -> str:
    """Return a string of at most `length` characters; an ellipsis replaces the omitted part."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def rfc3339(time: datetime | float, timespec: str = "auto") -> str:
    """Return an aware time, or seconds since 1970, as RFC 3339 text in UTC, ending in Z."""
    moment = (
        time.astimezone(UTC) if isinstance(time, datetime) else datetime.fromtimestamp(time, UTC)
    )
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def plain_lines(value: Any) -> str:
    """Return a value as `plain` does, but keep line ends."""
    return "\n".join(plain(line) for line in str(value).split("\n"))


def quoted(text: str) -> str:
    r"""Return the whole text in quotes, invisible characters as escapes such as `\u200b`."""
    return "'" + re.sub(UNSAFE, lambda found: ascii(found.group())[1:-1], text) + "'"


def quoted_apart(one: str, other: str) -> tuple[str, str]:
    """Return two different texts in quotes, both in ASCII if they would otherwise look alike."""
    pair = quoted(one), quoted(other)
    return (ascii(one), ascii(other)) if look_alike(*pair) else pair


def look_alike(one: str, other: str) -> bool:
    """Return whether people would take two texts for the same one."""
    return _look(one) == _look(other)


def _look(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(str.maketrans(_LOOK, _LIKE))
