"""Rows: operations from a file, outcomes for `--json` and for the file of `--results`."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from enapter_async.cli.options import tell
from enapter_async.converter import operation_to_json, unstructure
from enapter_async.errors import APIError, EnapterError
from enapter_async.fleet.operation_files import COLUMNS, parse_operations, read_operations
from enapter_async.fleet.outcomes import Outcome, Report
from enapter_async.fleet.private_files import open_private
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.operation import Operation
from enapter_async.text import plain

PRESENT: Final = "present_"
"""What the columns of `fleet template` begin with that are only for people."""

_OUTCOME_COLUMNS: Final = (
    "state",
    "attempts",
    "elapsed",
    "settled",
    "error_type",
    "status",
    "request_id",
    "error",
)


def operations_of(file: str) -> list[Operation[Any]]:
    """Read the operations of a file, '-' being standard input; names the columns it ignores.

    Raises:
        ConfigurationError: the file cannot be read, or has problems.
    """
    if file != "-":
        return read_operations(file, on_ignored=_tell_ignored)
    data = sys.stdin.buffer.read()
    return parse_operations(data, source="standard input", on_ignored=_tell_ignored)


def _tell_ignored(columns: Sequence[str]) -> None:
    ours = ("item", "acknowledged_at", "at", "code", *_OUTCOME_COLUMNS)
    others = [name for name in columns if name not in ours and not name.startswith(PRESENT)]
    if others:
        tell(f"columns that are ignored: {plain(', '.join(others))}")


def outcome_row(outcome: Outcome[Any], *, with_result: bool = False) -> dict[str, Any]:
    """Write an outcome as a flat row: the operation's own fields, then what became of it.

    The result of an operation that mints credentials is never in it.
    """
    error = outcome.error
    row: dict[str, Any] = {
        **operation_to_json(outcome.operation),
        "state": str(outcome.state),
        "attempts": outcome.attempts,
        "elapsed": round(outcome.elapsed, 3),
        "settled": outcome.settled,
        "error_type": None if error is None else type(error).__name__,
        "status": error.status if isinstance(error, APIError) else None,
        "request_id": getattr(error, "request_id", None),
        "error": None if error is None else reason_of(error),
    }
    if with_result and not outcome.operation.answer.secret and outcome.result is not None:
        row["device"] = unstructure(outcome.result)
    return row


def reason_of(error: EnapterError) -> str:
    """Say in one safe line what an error says, with the code that the API gave."""
    codes = [detail.code for detail in getattr(error, "errors", ()) if detail.code]
    text = plain(error)
    missing = [plain(code) for code in codes if code not in text]
    return f"{text} ({', '.join(missing)})" if missing else text


def report_row(report: Report) -> dict[str, Any]:
    """Write a report as the last line of `--json`."""
    return {
        "report": {
            "counts": {str(state): number for state, number in report.counts.items()},
            "complete": report.complete,
            "stopped": None if report.stopped is None else reason_of(report.stopped),
            "attempts": report.attempts,
            "retried": report.retried,
            "settled": report.settled,
            "earlier": report.earlier,
            "merged": report.merged,
            "acknowledged": report.acknowledged,
            "elapsed": round(report.elapsed, 3),
        }
    }


def json_line(row: Any) -> str:
    """Write a row as JSON on one line, in ASCII, so that nothing in it reaches a terminal."""
    return json.dumps(row, ensure_ascii=True)


class ResultsFile:
    """Writes every outcome to a new file of mode 0600, as CSV where it is named so, else JSON.

    A row of CSV has the columns of an input file first, so that the rows of one state can
    be given to `fleet apply` again.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._as_csv = path.lower().endswith(".csv")
        self._file: io.TextIOWrapper | None = None
        self._write: Callable[[Outcome[Any]], None] = self._write_json

    def __enter__(self) -> Self:
        """Make the file.

        Raises:
            ConfigurationError: it exists already, or cannot be made.
        """
        descriptor = open_private(self._path)
        self._file = os.fdopen(descriptor, "w", 1, encoding="utf-8", newline="")
        if self._as_csv:
            columns = (*COLUMNS, *_OUTCOME_COLUMNS)
            write = row_writer(self._file, columns)
            self._write = lambda outcome: write(outcome_row(outcome))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._file is not None:
            # Each row was flushed when it was written, and a failure told then.
            with contextlib.suppress(OSError):
                self._file.close()

    def write(self, outcome: Outcome[Any]) -> None:
        """Add an outcome.

        Raises:
            OSError: it could not be written.
        """
        self._write(outcome)

    def _write_json(self, outcome: Outcome[Any]) -> None:
        if self._file is not None:
            self._file.write(json_line(outcome_row(outcome)) + "\n")
