"""Operations read from a file, and outcomes written to a `--results` file."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from enapter_async.cli.options import tell
from enapter_async.cli.rows import json_line
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.operation_files import (
    COLUMNS,
    FileOperations,
    parse_operations,
    read_operations,
)
from enapter_async.fleet.outcomes import OUTCOME_COLUMNS, Outcome, outcome_row
from enapter_async.fleet.planning.plan_file import is_plan, is_plan_header
from enapter_async.fleet.private_files import check_new, open_private
from enapter_async.fleet.reporting.results import RESULT_COLUMNS
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.text import plain

PRESENT: Final = "present_"
"""The prefix of the columns of `fleet template` that are only for people."""


def operations_of(file: str) -> FileOperations:
    """Read operations from a file ('-' is standard input); print the columns it ignores.

    Raises:
        ConfigurationError: the file cannot be read, has errors, or is a plan.
    """
    if file != "-" and is_plan(file):
        name = plain(file)
        raise ConfigurationError(
            f"{name} is a plan; `enapter-async fleet apply {name}` shows it, and then applies it"
        )
    if file != "-":
        return read_operations(file, on_ignored=_tell_ignored)
    data = sys.stdin.buffer.read()
    if is_plan_header(data.partition(b"\n")[0]):
        raise ConfigurationError(
            "standard input is a plan, which is read more than once; pass the name of its file"
        )
    return parse_operations(data, source="standard input", on_ignored=_tell_ignored)


def _tell_ignored(columns: Sequence[str]) -> None:
    ours = ("item", *RESULT_COLUMNS)
    others = [name for name in columns if name not in ours and not name.startswith(PRESENT)]
    if others:
        tell(f"ignored columns: {plain(', '.join(others))}")


def check_output(output: str | None, *, force: bool, source: str | None = None) -> None:
    """Refuse a file to write before anything is read from the server.

    Raises:
        ConfigurationError: it cannot be created, or is the command's own input `source`.
    """
    if output is None:
        return
    given = Path(source or "-")
    if given.exists() and Path(output).exists() and given.samefile(output):
        raise ConfigurationError(f"{plain(output)} is the input; write to another file")
    check_new(output, replace=force)


@contextlib.contextmanager
def results_file(path: str, *, replace: bool = False) -> Iterator[Callable[[Outcome[Any]], object]]:
    """Create a file of mode 0600 for outcomes: CSV if its name ends in .csv, else JSON Lines.

    A CSV row starts with the columns of an input file, so the rows of one state can be passed
    to `fleet apply` again. The function that writes an outcome raises OSError if it cannot.

    Raises:
        ConfigurationError: the file already exists, or cannot be created.
    """
    if replace and Path(path).is_file() and not Path(path).is_symlink():
        Path(path).unlink()
    file = os.fdopen(open_private(path), "w", 1, encoding="utf-8", newline="")
    try:
        if path.lower().endswith(".csv"):
            write = row_writer(file, (*COLUMNS, *OUTCOME_COLUMNS))
            yield lambda outcome: write(outcome_row(outcome))
        else:
            yield lambda outcome: file.write(json_line(outcome_row(outcome)) + "\n")
    finally:
        # Each row was flushed when it was written, and an error was raised then.
        with contextlib.suppress(OSError):
            file.close()
