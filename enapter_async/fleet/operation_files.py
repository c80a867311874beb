"""Reads operations from a file, CSV or JSON Lines, all of it before anything is sent."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from enapter_async.converter import operation_from_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import InputError, Problem
from enapter_async.operation import Operation, Repeat
from enapter_async.operations.devices import BY_NAME

COLUMNS: Final = ("operation", "device_id", "name", "slug", "blueprint_id", "protocol")


_NEEDED_COLUMNS: Final = ("operation", "device_id")
_DELIMITERS: Final = (",", ";", "\t")
_WRITES: Final = tuple(name for name, kind in BY_NAME.items() if kind.repeat is not Repeat.READ)
_LINE_END: Final = re.compile(r"[\r\n]")
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


def read_operations(path: str | os.PathLike[str]) -> list[Operation[Any]]:
    """Read a file of operations and check all of it; nothing is sent.

    A CSV file has a header with the columns operation and device_id, and as needed name,
    slug, blueprint_id, protocol; others are ignored. Operations are update, delete,
    generate_config and assign_blueprint ('-' will do for '_'). An empty cell leaves alone;
    spaces around a cell do not count, nor does a ' before = + - or @, which keeps a results
    file's names from being formulas; delimiters are ',', ';' or tabs. JSON Lines hold one
    object a line with the same keys and no others. Text is UTF-8, with or without a byte
    order mark.

    Raises:
        InputError: with the line number of each problem.
        ConfigurationError: the file cannot be read.
    """
    source = Path(path)
    try:
        data = source.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}") from None
    return parse_operations(data, source=str(source))


def parse_operations(data: bytes, *, source: str) -> list[Operation[Any]]:
    """Read operations from the bytes of a file; `source` names it in errors.

    Raises:
        InputError: with the line number of each problem.
    """
    text = _decode(data, source)
    is_json = text.lstrip().startswith(("{", "["))
    operations: list[Operation[Any]] = []
    problems: list[Problem] = []
    for line, found in _rows_of_json(text) if is_json else _rows_of_csv(text):
        if isinstance(found, str):
            problems.append(Problem(line=line, message=found))
            continue
        try:
            operations.append(_operation(found))
        except ConfigurationError as error:
            problems.append(Problem(line=line, message=str(error)))
    if problems:
        raise InputError(source, tuple(problems))
    return operations


def _decode(data: bytes, source: str) -> str:
    if data.startswith(_UTF16_MARKS):
        problem = Problem(line=0, message="it is UTF-16; save it as UTF-8")
        raise InputError(source, (problem,))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(source, (Problem(line=line, message="it is not UTF-8"),)) from None


def _operation(row: dict[str, Any]) -> Operation[Any]:
    name = row.get("operation")
    if isinstance(name, str) and name.replace("-", "_") not in _WRITES:
        raise ConfigurationError(f"operation must be one of {', '.join(_WRITES)}")
    for key, value in row.items():
        if value is None or value == "":
            raise ConfigurationError(f"{key} is empty; leave the key out to leave it alone")
    return operation_from_json(row)


def _rows_of_csv(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each row with the line it begins at, or what is wrong there."""
    first = _LINE_END.split(text.lstrip(), maxsplit=1)[0]
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=max(_DELIMITERS, key=first.count),
        strict=True,
    )
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                pass
            elif header is None:
                header = [cell.strip().lower() for cell in cells]
                wrong = _wrong_header(header)
                if wrong:
                    yield line, wrong
                    return
            elif len(cells) != len(header):
                yield line, f"it has {len(cells)} cells, and the header has {len(header)}"
            else:
                row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
                yield line, {key: plain_cell(row[key]) for key in COLUMNS if row.get(key)}
            line = reader.line_num + 1
    except csv.Error as error:
        # It cannot be said where the next row begins, so this is the last problem told.
        yield line, f"it is no valid CSV: {error}"
        return
    if header is None:
        yield 0, "it is empty; a CSV file begins with a header"


def _wrong_header(header: list[str]) -> str:
    missing = [column for column in _NEEDED_COLUMNS if column not in header]
    if missing:
        return f"the header lacks {' and '.join(missing)}"
    twice = [column for column in COLUMNS if header.count(column) > 1]
    return f"the header has {twice[0]} twice" if twice else ""


def _rows_of_json(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each line's object, or what is wrong with it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_object)
        except _TwiceError as error:
            yield number, f"the key {error} stands there twice"
        except (ValueError, RecursionError):
            yield number, "it is no JSON object on one line"
        else:
            yield number, value if isinstance(value, dict) else "it is no JSON object"


class _TwiceError(Exception):
    """A key stands twice in a JSON object, and nobody can say which one counts."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(ascii(next(key for key in keys if keys.count(key) > 1))[:60])
    return found


_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_QUOTED_FORMULA: Final = re.compile(r"'+[=+\-@\t\r]")


def safe_cell(value: Any) -> Any:
    """Write a text so that no spreadsheet takes it for a formula; `plain_cell` undoes it."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def plain_cell(text: str) -> str:
    """Read a cell that `safe_cell` wrote, and any other as it is."""
    return text[1:] if _QUOTED_FORMULA.match(text) else text
