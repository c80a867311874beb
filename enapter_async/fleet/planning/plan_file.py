"""The format of a plan file: JSON Lines with a version, execution order, a final checksum."""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import PlanFileError
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.effects import as_write
from enapter_async.operation import Operation

FORMAT: Final = "enapter-async plan"
VERSION: Final = 1
LONGEST_LINE: Final = 16 * 1024 * 1024

EXECUTED: Final = frozenset((Verdict.CHANGE, Verdict.UNCHANGED, Verdict.ABSENT))
"""Verdicts of items that are part of a run, whether they are sent or only reported."""

_ID: Final = re.compile("[0-9a-f]{64}")
_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@attrs.frozen(kw_only=True)
class PlanItem:
    """The plan for one operation of the input.

    `line` is its position in the input, from 1 (temporary slugs are numbered after the last line);
    `seq` its position in the execution, from 0, or None if it is not executed. `device` is the id
    of its target, whatever the noun, or the address under which none was found; `name`, `type` and
    `site` (an id) are the target's, or empty. `operation` is None if a template could not be filled
    in, or if no file may hold it. `before` contains the fields that must be as planned when it is
    sent; `after` is the `seq` that must succeed first; `unit` is the number of the group of items
    done together; `why` explains the verdict.
    """

    line: int
    verdict: Verdict
    device: str
    seq: int | None = None
    name: str = ""
    type: str = ""
    site: str = ""
    operation: Operation[Any] | None = None
    before: Mapping[str, Any] | None = None
    why: str = ""
    after: int | None = None
    unit: int | None = None


@attrs.frozen(kw_only=True)
class PlanHeader:
    """Where and when a plan was made: the API's `base_url`, and `created_at` in RFC 3339, UTC.

    `id` is unique if the plan generates configurations, and stays the same wherever the plan is
    written; otherwise it is empty. `rows` says on which rows of the input file the lines are.
    """

    base_url: str
    created_at: str
    id: str = ""
    rows: str = ""


def plan_lines(header: PlanHeader, items: Iterable[PlanItem]) -> Iterator[bytes]:
    """Yield the lines of a plan file: the header, the items, and a checksum of them all."""
    checksum = hashlib.sha256()
    told = {key: value for key, value in attrs.asdict(header).items() if value}
    first = {"format": FORMAT, "version": VERSION, **told}
    yield _line(first, checksum)
    count = 0
    for item in items:
        yield _line(_row(item), checksum)
        count += 1
    yield _encode({"items": count, "sha256": checksum.hexdigest()}).encode() + b"\n"


def _line(row: Mapping[str, Any], checksum: Any) -> bytes:
    # Lone surrogates, which a server can send, cannot be encoded in UTF-8.
    line = _encode(row).encode("utf-8", "backslashreplace") + b"\n"
    checksum.update(line)
    return line


def _row(item: PlanItem) -> dict[str, Any]:
    row = attrs.asdict(item, recurse=False)
    row["verdict"] = str(item.verdict)
    row["operation"] = None if item.operation is None else operation_to_json(item.operation)
    before = row.pop("before")
    ordered = {"seq": row.pop("seq"), **row}
    kept = {key: value for key, value in ordered.items() if value is not None and value != ""}
    return kept if before is None else {**kept, "before": dict(before)}


def is_plan(path: str | os.PathLike[str]) -> bool:
    """Return whether a file starts like a plan; False if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return is_plan_header(file.readline(LONGEST_LINE))
    except OSError:
        return False


def is_plan_header(line: bytes) -> bool:
    """Return whether this is the first line of a plan file."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("format") == FORMAT


def read_header(path: str | os.PathLike[str]) -> PlanHeader:
    """Read the header of a plan file.

    Raises:
        PlanFileError: the file is not a plan, or has a different version.
        ConfigurationError: the file cannot be read.
    """
    with _opened(path) as file:
        line = file.readline(LONGEST_LINE)
    if not is_plan_header(line):
        raise PlanFileError(f"{os.fspath(path)} is not a plan")
    value = json.loads(line)
    if value.get("version") != VERSION:
        raise PlanFileError(
            f"{os.fspath(path)} is a plan of version {value.get('version')}, but this program "
            f"reads version {VERSION}: plan again"
        )
    base_url, created_at = value.get("base_url"), value.get("created_at")
    if not isinstance(base_url, str) or not isinstance(created_at, str):
        raise PlanFileError(f"{os.fspath(path)} is a plan with an invalid header")
    plan_id = value.get("id")
    if not isinstance(plan_id, str) or not _ID.fullmatch(plan_id):
        plan_id = ""
    rows = value.get("rows")
    return PlanHeader(
        base_url=base_url,
        created_at=created_at,
        id=plan_id,
        rows=rows if isinstance(rows, str) else "",
    )


def digest_of(path: str | os.PathLike[str]) -> str:
    """Return a plan file's digest, used as the id if the header has none (version 0.1)."""
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_items(path: str | os.PathLike[str]) -> Iterator[PlanItem]:
    """Yield the items of a plan file one by one, then verify the checksum at its end.

    Raises:
        PlanFileError: a line is not an item, or the file was cut or changed. Then do not trust the
            items yielded so far either.
        ConfigurationError: the file cannot be read.
    """
    checksum = hashlib.sha256()
    count = 0
    expected_seq = 0
    with _opened(path) as file:
        checksum.update(file.readline(LONGEST_LINE))
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=2):
            where = f"{os.fspath(path)}, line {number}"
            row = _object(line, where)
            if "sha256" in row:
                if row != {"items": count, "sha256": checksum.hexdigest()} or file.read(1):
                    break
                return
            checksum.update(line)
            count += 1
            item = _item(row, where)
            if item.seq is not None:
                if item.seq != expected_seq:
                    raise PlanFileError(f"{where}: seq is {item.seq}, not {expected_seq}")
                expected_seq += 1
            yield item
    raise PlanFileError(
        f"{os.fspath(path)} was cut or changed after it was planned; a plan is applied exactly "
        "or not at all: plan again"
    )


def _opened(path: str | os.PathLike[str]) -> Any:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ConfigurationError(f"{os.fspath(path)} cannot be read: {error.strerror}") from None


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise PlanFileError(f"{where}: it is not a JSON object")
    return value


def _item(row: Mapping[str, Any], where: str) -> PlanItem:
    try:
        verdict = Verdict(row.get("verdict", ""))
        given = row.get("operation")
        operation = None if given is None else as_write(operation_from_json(given))
    except ValueError as error:
        raise PlanFileError(f"{where}: {error}") from None
    guarded = () if operation is None else operation.guards()
    well_named = row.keys() <= attrs.fields_dict(PlanItem).keys()
    if not well_named or not _well_typed(row, guarded):
        raise PlanFileError(f"{where}: it is not an item of a plan")
    executed = verdict in EXECUTED
    if executed is (row.get("seq") is None) or (executed and operation is None):
        raise PlanFileError(f"{where}: its verdict contradicts the rest of the line")
    return PlanItem(**{"device": "", **row, "verdict": verdict, "operation": operation})


def _well_typed(row: Mapping[str, Any], guarded: Collection[str]) -> bool:
    numbers = [row.get(key) for key in ("seq", "after", "unit")]
    texts = [row.get(key, "") for key in ("device", "name", "type", "site", "why")]
    before = row.get("before", {})
    return (
        type(row.get("line")) is int
        and all(number is None or (type(number) is int and number >= 0) for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and isinstance(before, dict)
        and before.keys() <= set(guarded)
    )
