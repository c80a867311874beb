"""Reads all operations from a CSV or JSON Lines file before anything is sent."""

import difflib
import json
import os
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import attrs

from enapter_async.converter.operations import operation_from_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import InputError, Problem
from enapter_async.fleet.spreadsheets import decode, read_rows
from enapter_async.operation import Operation, Repeat
from enapter_async.operations.arguments import shown
from enapter_async.operations.kinds import (
    OLD_NAMES,
    UNITS,
    fields_of,
    is_text,
    named,
    needs,
    refusal_of,
    writes,
)
from enapter_async.text import shortened

COLUMNS: Final = ("operation", *fields_of(writes("enapter_async.")))
"""The columns of the operations in this package."""

_NO_OBJECT: Final = (
    "it is not a JSON object; write one object per line (`jq -c '.[]'` converts a list)"
)
LIKENESS: Final = 0.75
"""A column this similar to a known one counts as misspelled, such as `nmae`."""


_OF_DESIRED: Final = (
    "if it says what devices should be, as `fleet export` writes it, use `fleet drift FILE -o PLAN`"
)

_OF_TEMPLATE: Final = "`fleet template` writes a file with the right header"

OnIgnored = Callable[[Sequence[str]], None]
"""Receives the names of the ignored columns of a file."""


class FileOperations(list[Operation[Any]]):
    """The operations of a file; `rows` has the line of the file on which each begins."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        super().__init__()
        self.rows: array[int] = array("q")


def read_operations(
    path: str | os.PathLike[str], *, on_ignored: OnIgnored | None = None
) -> FileOperations:
    """Read a file of operations and check all of it; nothing is sent.

    A CSV file has a header with the columns operation and device_id, and if needed name, slug,
    blueprint_id, protocol and the columns of custom operations. Other columns are ignored and
    passed to `on_ignored`, but a column that looks like a misspelling is an error. Operations are
    device.update, device.delete, device.generate_config and device.assign_blueprint, with or
    without `device.` and with '-' or '_'. An empty cell leaves its field unchanged. Spaces around a
    cell are ignored, except inside apostrophes. A ' before = + - or @ is ignored too: it keeps a
    spreadsheet from reading a name as a formula. Delimiters are ',', ';' or tabs. JSON Lines
    contain one object per line, with the same keys and no others. Text is UTF-8, with or without a
    byte order mark. A cell of a field that is not text, such as a command's arguments, contains
    JSON. A row of `provision` stands for several operations: it creates a device, and also assigns
    a blueprint or generates a configuration if blueprint_id or protocol is set.

    Raises:
        InputError: with the line number of each problem.
        ConfigurationError: the file cannot be read.
    """
    return parse_operations(read_bytes(path), source=os.fspath(path), on_ignored=on_ignored)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{os.fspath(path)} cannot be read: {error.strerror}") from None


def parse_operations(
    data: bytes, *, source: str, on_ignored: OnIgnored | None = None
) -> FileOperations:
    """Read operations from the bytes of a file; `source` names it in errors.

    Raises:
        InputError: with the line number of each problem.
    """
    text = decode(data)
    if isinstance(text, Problem):
        raise InputError(source, (text,))
    is_json = text.lstrip().startswith(("{", "["))
    operations = FileOperations()
    problems: list[Problem] = []
    for line, found in _rows_of_json(text) if is_json else _rows_of_csv(text, on_ignored):
        if isinstance(found, str):
            problems.append(Problem(line=line, message=found))
            continue
        try:
            made = list(_operations(found))
            operations.extend(made)
            operations.rows.extend(line for _ in made)
        except ConfigurationError as error:
            problems.append(Problem(line=line, message=str(error)))
    if problems:
        raise InputError(source, tuple(problems))
    return operations


def read_objects(data: bytes, source: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the rows of any CSV file, or the objects of JSON Lines, with their lines.

    A row that cannot be read is a description of its problem.

    Raises:
        InputError: the file is not text.
    """
    text = decode(data)
    if isinstance(text, Problem):
        raise InputError(source, (text,))
    if text.lstrip().startswith(("{", "[")):
        yield from _rows_of_json(text)
        return
    header: list[str] = []
    for line, cells in read_rows(text):
        if isinstance(cells, str):
            yield line, cells
        elif not header:
            header = cells
            if twice := next((name for name in header if name and header.count(name) > 1), None):
                yield line, f"the header has {twice} twice"
                return
        elif len(cells) < len(header) or any(cells[len(header) :]):
            yield line, _uneven(len(cells), len(header))
        else:
            yield line, {key: cell for key, cell in zip(header, cells, strict=False) if key}
    if not header:
        yield 0, "it is empty; a CSV file starts with a header"


def _operations(row: dict[str, Any]) -> tuple[Operation[Any], ...]:
    """Return the operation of a row, or all those of a unit."""
    unit = UNITS.get(str(row.get("operation")).lower())
    if unit is None:
        return (_operation(row),)
    fields: Any = attrs.fields_dict(cast("Any", unit))
    given = {key: value for key, value in row.items() if key != "operation"}
    for key, field in fields.items():
        if key not in given and field.default is attrs.NOTHING:
            raise ConfigurationError(f"{unit.kind} needs {key}, which is missing")
    for key in given:
        if key not in fields:
            raise ConfigurationError(f"{unit.kind} takes {', '.join(fields)}; got {shown(key)}")
    made: tuple[Operation[Any], ...] = unit(**given).operations()
    return made


def _operation(row: dict[str, Any]) -> Operation[Any]:
    name = row.get("operation")
    kind = named(name) if isinstance(name, str) else None
    if isinstance(name, str) and (why := refusal_of(name)):
        raise ConfigurationError(f"{name} is not possible in a job: {why}")
    if isinstance(name, str) and (kind is None or kind.repeat is Repeat.READ):
        raise ConfigurationError(_unknown_operation(name, row.keys()))
    for key, value in row.items():
        if value is None or value == "":
            raise ConfigurationError(
                f"{key} is empty; leave the key out to keep the field unchanged"
            )
    operation = operation_from_json(row)
    if why := operation.not_in_jobs():
        raise ConfigurationError(f"{operation.kind} cannot be part of a job: {why}")
    return operation


def _unknown_operation(name: str, columns: Collection[str]) -> str:
    """Return what to write instead, preferably an operation that the row's columns fit."""
    given = set(columns) - {"operation"}
    fitting = [each.kind for each in writes() if needs(each) <= given <= set(fields_of((each,)))]
    known = (*(fitting or (each.kind for each in writes())), *UNITS)
    short = (verb for verb, kind in OLD_NAMES.items() if kind in known)
    meant = difflib.get_close_matches(name.lower(), (*known, *short), 1)
    remedy = f"did you mean {meant[0]}?" if meant else f"write one of {', '.join(known)}"
    return f"there is no operation {_told(name)}; {remedy}"


def _told(text: str) -> str:
    return repr(shortened(text, 60))


def _rows_of_csv(
    text: str, on_ignored: OnIgnored | None
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each row, or a description of its problem, with the number of its first line."""
    header: list[str] | None = None
    columns: tuple[str, ...] = ()
    for line, cells in read_rows(text):
        if isinstance(cells, str):
            yield line, cells
            if header is None:
                return
        elif header is None:
            header = [cell.lower() for cell in cells]
            if wrong := _wrong_header(header):
                yield line, wrong
                return
            columns = ("operation", *fields_of(writes()))
            ignored = [name for name in header if name not in (*columns, "")]
            if ignored and on_ignored is not None:
                on_ignored(ignored)
        elif len(cells) < len(header) or any(cells[len(header) :]):
            yield line, _uneven(len(cells), len(header))
        else:
            row = dict(zip(header, cells, strict=False))
            yield line, _values({key: row[key] for key in columns if row.get(key)})
    if header is None:
        yield 0, "it is empty; a CSV file starts with a header"


def _values(row: dict[str, str]) -> dict[str, Any] | str:
    """Read the cells of fields that are not text as JSON; return the row, or its problem."""
    kind = named(row.get("operation", ""))
    known = () if kind is None else fields_of((kind,))
    values: dict[str, Any] = dict(row)
    for key in row.keys() & set(known):
        if kind is not None and not is_text(kind, key):
            try:
                values[key] = json.loads(row[key])
            except (ValueError, RecursionError):
                return f"{key} must contain JSON, as it is not text; got {shown(row[key])}"
    return values


def _uneven(cells: int, columns: int) -> str:
    remedy = (
        "write the delimiters of empty cells too"
        if cells < columns
        else "quote a cell that contains a delimiter"
    )
    return f"it has {cells} cells, but the header has {columns}; {remedy}"


def _wrong_header(header: list[str]) -> str:
    columns = ("operation", *fields_of(writes()))
    missing = [column for column in columns if column not in header]
    for name in header:
        # A typo such as `nmae` is an error; if ignored, it would silently leave names unchanged.
        meant = difflib.get_close_matches(name, missing, 1, LIKENESS)
        if meant and name not in columns:
            return f"unknown column {shown(name)}; rename it to {meant[0]}, or remove it"
    # The target of an operation is in a field named after its noun, such as `device_id`.
    ids = {f"{each.kind.partition('.')[0]}_id" for each in writes()}
    usable = "operation" in header and any(needs(each) <= set(header) for each in writes())
    needed = ["operation"] if "operation" in missing else []
    needed += [] if usable or ids & set(header) else ["device_id (or another id)"]
    if needed:
        found = ", ".join(_told(name) for name in header[: len(columns)])
        lacks = f"the header lacks {' and '.join(needed)}; it has {found}"
        if len(header) == 1:
            return f"{lacks}; cells are separated by commas, semicolons or tabs"
        return f"{lacks}; {_OF_DESIRED if {'device_id', 'slug'} & set(header) else _OF_TEMPLATE}"
    twice = [column for column in columns if header.count(column) > 1]
    return f"the header contains {twice[0]} twice" if twice else ""


def _rows_of_json(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the object of each line, or a description of its problem."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_object)
        except _TwiceError as error:
            yield number, f"the key {error} occurs twice"
        except (ValueError, RecursionError):
            yield number, "it is not a JSON object on one line; `jq -c` writes this format"
        else:
            yield number, value if isinstance(value, dict) else _NO_OBJECT


class _TwiceError(Exception):
    """A key occurs twice in a JSON object, so the value is ambiguous."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(ascii(next(key for key in keys if keys.count(key) > 1))[:60])
    return found
