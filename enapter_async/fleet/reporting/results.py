"""The results of a journalled run as files, one row an item: CSV, and JSON Lines."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from enapter_async.converter import operation_to_json
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.records import INTENT, Event
from enapter_async.fleet.journal.store import Journal
from enapter_async.fleet.operation_files import COLUMNS
from enapter_async.fleet.outcomes import State
from enapter_async.fleet.private_files import written_whole
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.text import plain

RESULT_COLUMNS: Final = (
    "state",
    "at",
    "attempts",
    "elapsed",
    "settled",
    "error_type",
    "status",
    "code",
    "request_id",
    "error",
    "acknowledged_at",
)
_NO_OUTCOME: Final = "it was about to be sent when the run ended, and no outcome was written"


def result_rows(journal: Journal) -> Iterator[dict[str, Any]]:
    """Yield what became of each item, in order; a row has the operation's fields first."""
    for item, event, acknowledged_ms in journal.ends():
        yield _row(item, event, acknowledged_ms)


def _row(item: WorkItem, event: Event | None, acknowledged_ms: int | None) -> dict[str, Any]:
    row = {"item": item.seq, **operation_to_json(item.operation)}
    told = dict.fromkeys(RESULT_COLUMNS)
    told["state"] = str(State.HELD)
    if event is not None and event.kind == INTENT:
        told |= {"state": str(State.UNKNOWN), "at": _time(event.at_ms), "error": _NO_OUTCOME}
    elif event is not None:
        details = event.details
        told |= {
            "state": event.kind,
            "at": _time(event.at_ms),
            "attempts": event.attempt,
            "elapsed": None if event.elapsed_ms is None else event.elapsed_ms / 1000,
            "settled": bool(details.get("settled")),
            "error_type": details.get("error"),
            "status": event.status,
            "code": event.code and plain(event.code),
            "request_id": event.request_id,
            "error": details.get("message"),
        }
    if acknowledged_ms is not None:
        told["acknowledged_at"] = _time(acknowledged_ms)
    return row | told


def write_results(journal: Journal, path: Path, form: str) -> None:
    """Write the results to a file of mode 0600, over an older one; `form` is "csv" or "jsonl".

    CSV has the columns of an input file first, so that its rows can be applied again.

    Raises:
        OSError: it cannot be written; an older file is as it was.
        ConfigurationError: the file cannot be made.
    """
    with written_whole(path) as file:
        rows = result_rows(journal)
        if form == "csv":
            write = row_writer(file, ("item", *COLUMNS, *RESULT_COLUMNS))
            for row in rows:
                write(row)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def _time(at_ms: int) -> str:
    when = datetime.fromtimestamp(at_ms / 1000, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
