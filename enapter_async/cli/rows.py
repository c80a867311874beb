"""The rows that `--json` writes."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enapter_async.fleet.outcomes import Report


def report_row(report: "Report", run: str) -> dict[str, Any]:
    """Return a report as the row for the last line of `--json`, with the id of its run."""
    return {"report": {"run": run, **report.summary()}}


def json_line(row: Any) -> str:
    """Return a row as one line of ASCII JSON, which is safe to print on a terminal."""
    return json.dumps(row, ensure_ascii=True)


def text_of(value: Any) -> str:
    """Return a string as it is, and any other value as JSON."""
    return value if isinstance(value, str) else json_line(value)
