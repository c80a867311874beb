"""A report can be sent to another process, written as JSON, and printed on one screen."""

import copy
import json
import pickle

from enapter_async.errors import AuthenticationError, BadRequestError, ErrorDetail
from enapter_async.fleet import Outcome, Report, State
from enapter_async.fleet.outcomes import Tally
from enapter_async.operations.devices import GenerateConfig, UpdateDevice


def report_of(failed: int) -> Report:
    """Return the report of a run in which two were done and the rest refused with long texts."""
    tally = Tally()
    for number in range(2):
        operation = UpdateDevice(device_id=f"dev-{number}", name="x")
        tally.add(Outcome(operation=operation, state=State.APPLIED, attempts=1))
    for number in range(failed):
        error = BadRequestError("no " * 200, status=400, errors=(ErrorDetail(code="bad"),))
        operation = UpdateDevice(device_id=f"bad-{number}", name="n" * 500)
        tally.add(Outcome(operation=operation, state=State.FAILED, error=error, attempts=1))
    stopped = AuthenticationError("HTTP 401\x1b[31m", status=401)
    return tally.report(elapsed=2.04, complete=failed == 0, stopped=stopped if failed else None)


def test_a_report_can_be_pickled_and_copied() -> None:
    report = report_of(3)
    for other in (pickle.loads(pickle.dumps(report)), copy.deepcopy(report), copy.copy(report)):  # noqa: S301 - our own
        assert (other.counts[State.APPLIED], other.counts[State.FAILED]) == (2, 3)
        assert other.total == 5
        assert other.failures[2].operation == report.failures[2].operation
        assert str(other.stopped) == str(report.stopped)
        assert repr(other) == repr(report)


def test_a_report_can_be_written_as_json() -> None:
    report = report_of(1)
    assert json.loads(json.dumps(report.counts))["failed"] == 1
    told = json.loads(json.dumps(report.to_json()))
    assert told["counts"]["applied"] == 2
    assert (told["elapsed"], told["complete"]) == (2.04, False)
    (failure,) = told["failures"]
    assert failure["device_id"] == "bad-0"
    assert (failure["state"], failure["error_type"]) == ("failed", "BadRequestError")


def test_no_result_is_in_a_report() -> None:
    tally = Tally()
    secret = GenerateConfig(device_id="dev-1", protocol="MQTT")
    lost = BadRequestError("no", status=400)
    tally.add(Outcome(operation=secret, state=State.UNKNOWN, result="SECRET", error=lost))
    report = tally.report(elapsed=1.0, complete=True, stopped=None)
    assert "SECRET" not in f"{report!r} {report.to_json()} {pickle.dumps(report)!r}"


def test_a_report_fits_a_screen() -> None:
    lines = repr(report_of(300)).splitlines()
    assert lines[0] == "<Report of 302 operations in 2.0 s: 2 applied, 300 failed"
    assert lines[1] == "  the input was not read completely"
    assert lines[2] == "  stopped by AuthenticationError: HTTP 401"
    assert lines[-1] == "  and 95 more in unknowns, failures, differing and pending>"
    assert len(lines) < 24
    assert max(map(len, lines)) < 280
    assert repr(report_of(0)) == "<Report of 2 operations in 2.0 s: 2 applied>"
