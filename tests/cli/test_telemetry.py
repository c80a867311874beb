"""`telemetry` on the command line: what it writes, and its exit codes."""

import csv
import json

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator
from enapter_async.emulator.telemetry import Telemetry
from tests.cli.conftest import Run

TIMES = ("--from", "2026-02-03T05:00:00Z", "--to", "2026-02-03T06:00:00+00:00")


def test_latest_values_and_time_series(run: Run, emulator: Emulator, leaf: str) -> None:
    latest = run("telemetry", "latest", f"{leaf}=power,flow", f"{leaf}=status", "--json")
    rows = [json.loads(line) for line in latest.stdout.splitlines()]
    assert [(row["device"], row["attribute"]) for row in rows] == [
        (leaf, "power"),
        (leaf, "flow"),
        (leaf, "status"),
    ]
    assert rows[1]["warning"] == "There is no such attribute."
    written = run("telemetry", "timeseries", f"{leaf}=total_energy,alerts,status", *TIMES)
    assert written.exit_code == Exit.DONE, written.stderr
    header, *table = csv.reader(written.stdout.splitlines(keepends=True))
    assert header == ["timestamp", *(f"{leaf}.{n}" for n in ("total_energy", "alerts", "status"))]
    telemetry = emulator.noun(Telemetry)
    at_five = 1770094800
    value = telemetry.value(leaf, "total_energy", "integer", at_five + 60)
    assert ["2026-02-03T05:01:00Z", str(value)] in [row[:2] for row in table]
    assert len(table) > 40
    one = run("telemetry", "timeseries", f"{leaf}=alerts", *TIMES, "--json").stdout.splitlines()[0]
    assert isinstance(json.loads(one)["values"][f"{leaf}.alerts"], list | None)


def test_what_cannot_be_read_is_reported(run: Run, leaf: str) -> None:
    absent = run("telemetry", "timeseries", f"{leaf}=flow", *TIMES)
    assert absent.exit_code == Exit.FAILED
    assert "NO_TELEMETRY_ATTRIBUTES_FOUND" in absent.stderr
    for arguments, message in (
        (("latest", leaf), "does not name a device and attributes"),
        (("latest", f"{leaf}=a", "--relevance", "5"), "is not a duration such as 30s"),
        (("timeseries", f"{leaf}=a", "--from", "2026-02-03", "--to", "x"), "is not a time such"),
    ):
        refused = run("telemetry", *arguments)
        assert refused.exit_code == Exit.USAGE
        assert message in refused.stderr
