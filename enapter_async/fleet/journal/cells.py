"""Cells of CSV files that people open in spreadsheets."""

import re
from typing import Any, Final

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_QUOTED_FORMULA: Final = re.compile(r"'+[=+\-@\t\r]")


def safe_cell(value: Any) -> Any:
    """Write a text so that no spreadsheet takes it for a formula; `plain_cell` undoes it."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def plain_cell(text: str) -> str:
    """Read a cell that `safe_cell` wrote, and any other as it is."""
    return text[1:] if _QUOTED_FORMULA.match(text) else text
