"""Which rows of a user's file numbered operations come from, as a string for a plan or a journal.

"0:2,57:60" means that number 0 is on row 2, number 1 on row 3, and so on, and number 57 on row 60.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

MOST: Final = 10_000
"""A file that needs more parts than this is in an unusual order; its rows are not kept."""

_TEXT: Final = re.compile(r"\d{1,12}:\d{1,12}(,\d{1,12}:\d{1,12})*", re.ASCII)


def rows_text(rows: Iterable[tuple[int, int]]) -> str:
    """Return pairs of a number and its row as a string; "" if that would be too long.

    The numbers ascend. A number that is left out counts as one row after the number before it.
    """
    parts: list[str] = []
    shift: int | None = None
    for number, row in rows:
        if row - number != shift:
            parts.append(f"{number}:{row}")
            shift = row - number
    return ",".join(parts) if len(parts) <= MOST else ""


class RowNumbers:
    """The rows in a string from `rows_text`; any other string has none."""

    def __init__(self, text: str) -> None:
        pairs = text.split(",") if _TEXT.fullmatch(text) else ()
        halves = (pair.split(":") for pair in pairs)
        self._parts = sorted((int(number), int(row)) for number, row in halves)

    def row(self, number: int) -> int | None:
        """Return the row of a number, if it is known."""
        place = bisect_right(self._parts, number, key=lambda part: part[0])
        if not place:
            return None
        first, row = self._parts[place - 1]
        return row + number - first
