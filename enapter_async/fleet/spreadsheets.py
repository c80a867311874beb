"""Reads and writes CSV that survives a round trip through spreadsheets and other programs.

Written files start with a byte order mark, without which a spreadsheet misreads UTF-8. No cell is
read as a formula, even by a spreadsheet that splits at ';'. A value with white space at its edges
is put between apostrophes, because white space around a bare cell is ignored.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TextIO

from enapter_async.fleet.errors import Problem

BYTE_ORDER_MARK: Final = "\ufeff"

_DELIMITERS: Final = (",", ";", "\t")
# Where a cell can start, for programs that split at another delimiter.
_START: Final = r"(^|[;\t\r\n] *)"
_SIGN: Final = r"[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]"  # some programs accept the wide ones, too
_FORMULA: Final = re.compile(_START + r"(?='*" + _SIGN + ")")
_QUOTED_FORMULA: Final = re.compile(_START + r"'(?='*" + _SIGN + ")")
_SEPARATOR_HINT: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_ADVICE: Final = "save it as UTF-8 (in Excel as 'CSV UTF-8')"
_FOREIGN: Final = (
    (b"\xff\xfe\0\0", "it is UTF-32"),
    (b"\0\0\xfe\xff", "it is UTF-32"),
    (b"\xff\xfe", "it is UTF-16"),
    (b"\xfe\xff", "it is UTF-16"),
    (b"PK\x03\x04", "it is a spreadsheet file, such as .xlsx or .ods, not CSV"),
    (b"\xd0\xcf\x11\xe0", "it is a spreadsheet file, such as .xls, not CSV"),
    (b"\x1f\x8b", "it is compressed"),
)


def decode(data: bytes) -> str | Problem:
    """Decode a UTF-8 file, with or without byte order mark; for any other, return a `Problem`."""
    for beginning, what in _FOREIGN:
        if data.startswith(beginning):
            return Problem(line=0, message=f"{what}; {_ADVICE}")
    if b"\0" in data.partition(b"\n")[0]:
        return Problem(line=0, message=f"it looks like UTF-16 without a byte order mark; {_ADVICE}")
    try:
        text = data.decode().lstrip(BYTE_ORDER_MARK)  # some programs add a second mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(line=line, message=f"it is not UTF-8; {_ADVICE}")
    return text.removesuffix("\x1a")  # the end-of-file mark of DOS


def read_rows(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the line number and the cells of each row, or a description of its problem.

    Spaces around a cell are ignored. Before the header there may be empty lines, lines that start
    with '#', and a line `sep=;`. Without that line, the delimiter is ',', ';' or a tab, whichever
    is most frequent in the header. Empty rows are skipped.
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
                yield line, "a quote follows white space; a quoted cell must start with its quote"
            elif any(cell.strip() for cell in cells):
                yield line, [plain_cell(cell) for cell in cells]
            line = above + reader.line_num + 1
    except csv.Error as error:
        # The start of the next row is unknown, so this is the last problem reported.
        unclosed = str(error) == "unexpected end of data"
        yield line, f"it is not valid CSV: {'a quote is not closed' if unclosed else error}"


def row_writer(file: TextIO, columns: Iterable[str]) -> Callable[[Mapping[str, Any]], None]:
    """Write the CSV header; return a function that writes rows and ignores other keys."""
    names = tuple(columns)
    file.write(BYTE_ORDER_MARK)
    writer = csv.writer(file)
    writer.writerow(names)
    return lambda row: writer.writerow([safe_cell(row.get(name)) for name in names])


def safe_cell(value: Any) -> Any:
    """Escape a string so that no spreadsheet reads it as a formula; `plain_cell` reverses it.

    An object or a list is written as JSON.
    """
    if isinstance(value, dict | list):
        return json.dumps(value)
    if not isinstance(value, str):
        return value
    if _has_edges(value):
        value = f"'{value}'"
    return _FORMULA.sub(r"\1'", value)


def plain_cell(cell: str) -> str:
    """Return the text of a cell: reverse `safe_cell`, and strip the white space of others."""
    text = _QUOTED_FORMULA.sub(r"\1", cell.strip())
    return text[1:-1] if text[:1] == text[-1:] == "'" and _has_edges(text[1:-1]) else text


def _has_edges(text: str) -> bool:
    """Return whether a string, or the text in its apostrophes, has white space at its edges."""
    while text[:1] == text[-1:] == "'":
        text = text[1:-1]
    return text != text.strip()
