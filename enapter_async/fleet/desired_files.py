"""Reads desired states of a fleet as operations, for a plan that shows the differences."""

import os
from difflib import get_close_matches
from typing import Any

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import InputError, Problem
from enapter_async.fleet.operation_files import LIKENESS, OnIgnored, read_bytes, read_objects
from enapter_async.operation import Operation
from enapter_async.operations.arguments import shown
from enapter_async.operations.kinds import OLD_NOUN
from enapter_async.operations.nouns import Noun, noun_named


def read_desired(
    path: str | os.PathLike[str], *, on_ignored: OnIgnored | None = None
) -> list[Operation[Any]]:
    """Read the desired state of devices from a file, as operations that would establish it.

    A CSV file has the columns device_id (or slug, as the address), and if needed site_id, name,
    slug, blueprint_id and configuration parameters, such as network.port. JSON Lines have the same
    keys. An empty cell is ignored. The values of parameters are texts, which a plan converts by
    each device's manifest. The cell of a sensitive parameter is env:VARIABLE or file:PATH. Other
    columns are ignored and passed to `on_ignored`. `fleet.plan` then shows how the fleet differs.

    Raises:
        InputError: with the line number of each problem.
        ConfigurationError: the file cannot be read.
    """
    return parse_desired(read_bytes(path), source=os.fspath(path), on_ignored=on_ignored)


def parse_desired(
    data: bytes, *, source: str, on_ignored: OnIgnored | None = None
) -> list[Operation[Any]]:
    """Read such a file from its bytes; `source` names it in errors.

    Raises:
        InputError: with the line number of each problem.
    """
    noun = noun_named(OLD_NOUN)
    operations: list[Operation[Any]] = []
    problems: list[Problem] = []
    ignored: dict[str, None] = {}
    for line, row in read_objects(data, source):
        if isinstance(row, str):
            problems.append(Problem(line=line, message=row))
            continue
        try:
            operations += noun.desired(_said(noun, row))
        except ConfigurationError as error:
            problems.append(Problem(line=line, message=str(error)))
        ignored |= dict.fromkeys(key for key in row if not _is_said(noun, key))
    if problems:
        raise InputError(source, tuple(problems))
    if ignored and on_ignored is not None:
        on_ignored(tuple(ignored))
    return operations


def _is_said(noun: Noun[Any], column: str) -> bool:
    """Return whether a column is a field of an object or of its part, such as network.port."""
    return column in noun.columns or bool(column.partition(".")[2])


def _said(noun: Noun[Any], row: dict[str, Any]) -> dict[str, str]:
    """Return the cells that are not empty; refuse a column that looks misspelled."""
    missing = [column for column in noun.columns if column not in row]
    for key, value in row.items():
        meant = () if _is_said(noun, key) else get_close_matches(key, missing, 1, LIKENESS)
        if meant:
            raise ConfigurationError(f"unknown column {shown(key)}; rename it to {meant[0]}")
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{key} must be a string, as in a CSV file")
    return {key: value for key, value in row.items() if value and _is_said(noun, key)}
