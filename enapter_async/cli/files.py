"""Operations read from a file, and outcomes written to a `--results` file."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from enapter_async.cli.options import tell
from enapter_async.cli.rows import json_line
from enapter_async.fleet.operation_files import (
    COLUMNS,
    FileOperations,
    parse_operations,
    read_operations,
)
from enapter_async.fleet.outcomes import OUTCOME_COLUMNS, Outcome, outcome_row
from enapter_async.fleet.private_files import open_private
from enapter_async.fleet.reporting.results import RESULT_COLUMNS
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.text import plain

PRESENT: Final = "present_"
"""The prefix of the columns of `fleet template` that are only for people."""


def operations_of(file: str) -> FileOperations:
    """Read operations from a file ('-' is standard input); print the columns it ignores.

    Raises:
        ConfigurationError: the file cannot be read, or has errors.
    """
    if file != "-":
        return read_operations(file, on_ignored=_tell_ignored)
    data = sys.stdin.buffer.read()
    return parse_operations(data, source="standard input", on_ignored=_tell_ignored)


def _tell_ignored(columns: Sequence[str]) -> None:
    ours = ("item", *RESULT_COLUMNS)
    others = [name for name in columns if name not in ours and not name.startswith(PRESENT)]
    if others:
        tell(f"ignored columns: {plain(', '.join(others))}")


class ResultsFile:
    """Writes outcomes to a new file of mode 0600: CSV if its name ends in .csv, else JSON Lines.

    A CSV row starts with the columns of an input file, so the rows of one state can be passed
    to `fleet apply` again.
    """

    def __init__(self, path: str, *, replace: bool = False) -> None:
        self._path = path
        self._replace = replace
        self._as_csv = path.lower().endswith(".csv")
        self._file: io.TextIOWrapper | None = None
        self._write: Callable[[Outcome[Any]], None] = self._write_json

    def __enter__(self) -> Self:
        """Create the file.

        Raises:
            ConfigurationError: the file already exists, or cannot be created.
        """
        if self._replace and Path(self._path).is_file() and not Path(self._path).is_symlink():
            Path(self._path).unlink()
        descriptor = open_private(self._path)
        self._file = os.fdopen(descriptor, "w", 1, encoding="utf-8", newline="")
        if self._as_csv:
            columns = (*COLUMNS, *OUTCOME_COLUMNS)
            write = row_writer(self._file, columns)
            self._write = lambda outcome: write(outcome_row(outcome))
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            # Each row was flushed when it was written, and an error was raised then.
            with contextlib.suppress(OSError):
                self._file.close()

    def write(self, outcome: Outcome[Any]) -> None:
        """Write an outcome.

        Raises:
            OSError: the outcome could not be written.
        """
        self._write(outcome)

    def _write_json(self, outcome: Outcome[Any]) -> None:
        if self._file is not None:
            self._file.write(json_line(outcome_row(outcome)) + "\n")
