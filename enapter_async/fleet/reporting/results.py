"""Writes the results of a journalled run to CSV or JSON Lines, one row per item."""

import contextlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, TextIO

from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.names import JournalName, read_journal
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.journal.records import INTENT, Event, earlier_outcome
from enapter_async.fleet.operation_files import COLUMNS
from enapter_async.fleet.outcomes import OUTCOME_COLUMNS, Outcome, State, outcome_row
from enapter_async.fleet.private_files import written_whole
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.text import rfc3339

RESULT_COLUMNS: Final = ("state", "at", *OUTCOME_COLUMNS[1:], "acknowledged_at")
"""The columns of an outcome, its end time, and the time when an unknown outcome was acknowledged.
"""
_UNTOLD: Final = dict.fromkeys(("attempts", "elapsed", "settled"))


def result_rows(journal: Journal) -> Generator[dict[str, Any]]:
    """Yield the result of each item, in order; a row has the operation's fields first."""
    for item, event, acknowledged_ms in journal.ends():
        yield _row(item, event, acknowledged_ms)


def _row(item: WorkItem, event: Event | None, acknowledged_ms: int | None) -> dict[str, Any]:
    if event is None:
        outcome: Outcome[Any] = Outcome(operation=item.operation, state=State.HELD)
    else:
        state = State.UNKNOWN if event.kind == INTENT else State(event.kind)
        outcome = earlier_outcome(item, state, event)
    told = {
        **outcome_row(outcome),
        "at": _time(None if event is None else event.at_ms),
        "acknowledged_at": _time(acknowledged_ms),
        **(_UNTOLD if event is None or event.kind == INTENT else {}),
    }
    fields = {key: value for key, value in told.items() if key not in RESULT_COLUMNS}
    return {"item": item.seq, **fields, **{name: told[name] for name in RESULT_COLUMNS}}


def write_result_files(journal: JournalName, folder: Path) -> list[Path]:
    """Write the results to `results.csv` and `results.jsonl` in a folder; return both.

    Raises the same errors as `write_results` and `read_journal`.
    """
    files = [folder / "results.csv", folder / "results.jsonl"]
    with contextlib.closing(read_journal(journal)) as opened:
        for file in files:
            write_results(opened, file, file.suffix[1:])
    return files


def write_results(journal: Journal, path: Path, form: str) -> None:
    """Write the results to a file of mode 0600, replacing any; `form` is "csv" or "jsonl".

    The CSV has the columns of an input file first, so that its rows can be applied again.

    Raises:
        OSError: the file cannot be written; an existing file stays unchanged.
        ConfigurationError: the file cannot be created.
    """
    with written_whole(path) as file:
        write_rows(journal, file, form)


def write_rows(journal: Journal, file: TextIO, form: str) -> None:
    """Write the results to an open text file, as `write_results` does."""
    # Closed here, as an error of the file would otherwise keep the journal's query open.
    with contextlib.closing(result_rows(journal)) as rows:
        if form == "csv":
            write = row_writer(file, ("item", *COLUMNS, *RESULT_COLUMNS))
            for row in rows:
                write(row)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms / 1000, "milliseconds")
