"""Text that a server sent, made safe for a terminal."""

import re
from typing import Any, Final

# Whole escape sequences first, so that no "[31m" is left standing; then every control
# character (C0, DEL, C1), the marks that turn the reading direction, line and paragraph
# separators, and halves of surrogate pairs, which no terminal can be given. They are compiled
# once they are used, for most programs print nothing.
_SEQUENCES: Final = (
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_BREAKS: Final = r"[\t\n\v\f\r\x85\u2028\u2029]+"
_UNSAFE: Final = (
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def plain(value: Any) -> str:
    """Write a value as one line that changes nothing on a terminal but the letters it shows."""
    text = re.sub(_BREAKS, " ", str(value))
    return re.sub(_UNSAFE, "", re.sub(_SEQUENCES, "", text))


def plain_lines(value: Any) -> str:
    """Do the same, and keep line ends."""
    return "\n".join(plain(line) for line in str(value).split("\n"))
