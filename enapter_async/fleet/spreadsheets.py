"""CSV that passes through spreadsheets and other programs, and comes back as it was.

What is written begins with a byte order mark, without which a spreadsheet takes UTF-8 for
another code; no cell of it is a formula, also where a spreadsheet cuts at ';'; and white space
at the edges of a value stands between apostrophes, for around a bare cell it does not count.
"""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TextIO

from enapter_async.fleet.errors import Problem

BYTE_ORDER_MARK: Final = "\ufeff"

_DELIMITERS: Final = (",", ";", "\t")
# Where a cell can begin, for a program that cuts at another delimiter than ours.
_START: Final = r"(^|[;\t\r\n] *)"
_SIGN: Final = r"[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]"  # some programs know the wide ones, too
_FORMULA: Final = re.compile(_START + r"(?='*" + _SIGN + ")")
_QUOTED_FORMULA: Final = re.compile(_START + r"'(?='*" + _SIGN + ")")
_SEPARATOR_HINT: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_ADVICE: Final = "save it as UTF-8 (in Excel as 'CSV UTF-8')"
_FOREIGN: Final = (
    (b"\xff\xfe\0\0", "it is UTF-32"),
    (b"\0\0\xfe\xff", "it is UTF-32"),
    (b"\xff\xfe", "it is UTF-16"),
    (b"\xfe\xff", "it is UTF-16"),
    (b"PK\x03\x04", "it is a spreadsheet program's own file, such as .xlsx or .ods, and no CSV"),
    (b"\xd0\xcf\x11\xe0", "it is a spreadsheet program's own file, such as .xls, and no CSV"),
    (b"\x1f\x8b", "it is compressed"),
)


def decode(data: bytes) -> str | Problem:
    """Return the text of a file in UTF-8, with or without a byte order mark, or what it is."""
    for beginning, what in _FOREIGN:
        if data.startswith(beginning):
            return Problem(line=0, message=f"{what}; {_ADVICE}")
    if b"\0" in data.partition(b"\n")[0]:
        return Problem(line=0, message=f"it looks like UTF-16 without a byte order mark; {_ADVICE}")
    try:
        text = data.decode().lstrip(BYTE_ORDER_MARK)  # some programs add one to each that is there
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(line=line, message=f"it is not UTF-8; {_ADVICE}")
    return text.removesuffix("\x1a")  # what DOS ends a file with


def read_rows(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the cells of each row with the line it begins at, or what is wrong there.

    Spaces around a cell do not count. Before the header there may be empty lines, lines that
    begin with '#', and a line `sep=;`; else the header tells which of ',', ';' and tabs is the
    delimiter. Rows without content are left out.
    """
    lines = iter(io.StringIO(text, newline=""))
    delimiter = header = ""
    line = 0
    while not header.strip() or header.lstrip().startswith("#"):
        header = next(lines, "")
        line += 1
        if not header:
            return
        if hint := _SEPARATOR_HINT.fullmatch(header):
            delimiter, header = hint[1], ""
    above = line - 1
    reader = csv.reader(
        itertools.chain([header], lines),
        delimiter=delimiter or max(_DELIMITERS, key=header.count),
        skipinitialspace=True,
        strict=True,
    )
    try:
        for cells in reader:
            if any(cell[:1].isspace() and cell.lstrip().startswith('"') for cell in cells):
                yield line, "a quote stands after white space; a quoted cell begins with its quote"
            elif any(cell.strip() for cell in cells):
                yield line, [plain_cell(cell) for cell in cells]
            line = above + reader.line_num + 1
    except csv.Error as error:
        # It cannot be said where the next row begins, so this is the last problem told.
        yield line, f"it is no valid CSV: {error}"


def row_writer(file: TextIO, columns: Iterable[str]) -> Callable[[Mapping[str, Any]], None]:
    """Write the header of a CSV file, and return what writes a row; other keys are left out."""
    names = tuple(columns)
    file.write(BYTE_ORDER_MARK)
    writer = csv.writer(file)
    writer.writerow(names)
    return lambda row: writer.writerow([safe_cell(row.get(name)) for name in names])


def safe_cell(value: Any) -> Any:
    """Write a text so that no spreadsheet takes it for a formula; `plain_cell` undoes it."""
    if not isinstance(value, str):
        return value
    if _has_edges(value):
        value = f"'{value}'"
    return _FORMULA.sub(r"\1'", value)


def plain_cell(cell: str) -> str:
    """Read a cell that `safe_cell` wrote, and any other without the white space at its edges."""
    text = _QUOTED_FORMULA.sub(r"\1", cell.strip())
    return text[1:-1] if text[:1] == text[-1:] == "'" and _has_edges(text[1:-1]) else text


def _has_edges(text: str) -> bool:
    """Return whether white space begins or ends a text, or what is in its apostrophes."""
    while text[:1] == text[-1:] == "'":
        text = text[1:-1]
    return text != text.strip()
